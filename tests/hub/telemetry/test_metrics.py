"""The hub's metrics as Prometheus parses them."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from broadcasters.errors import PlancastError
from broadcasters.outbox import OutboxStatistics
from broadcasters.snapshot import AgentUsage, UsageSum
from broadcasters.supervision import Supervisor
from hub.core.counts import HubCounts
from hub.engine_port import EngineStatistics
from hub.telemetry.measures import MEASURES, table
from hub.telemetry.metrics import Metrics
from hub.telemetry.worker_metrics import MAX_WORKERS, WorkerMetrics

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"


def open_metrics(text: str) -> Iterator[Metric]:
    return iter(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(metrics: Metrics) -> Samples:
    families = plain(metrics.render()[0].decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_the_table_in_the_operations_document_is_current() -> None:
    assert table() in OPERATIONS.read_text(encoding="utf-8"), (
        "docs/OPERATIONS.md: python -c 'from hub.telemetry.measures import *; print(table())'"
    )


def test_counts_are_read_at_each_scrape() -> None:
    counts = HubCounts()
    metrics = Metrics(counts)
    counts.connections["native"] += 3
    counts.connections["sse"] += 1
    counts.subscribers_live, counts.subscribers_behind, counts.channels, counts.lag_events = 5, 2, 4, 77
    counts.deliveries, counts.delivered_bytes, counts.slow_consumers = 1000, 250_000, 1
    counts.log_errors["LogUnavailable"] += 2
    counts.latency.observe(0.004)
    samples = scraped(metrics)
    assert samples[key("plancast_connections", transport="native")] == 3
    assert samples[key("plancast_connections", transport="sse")] == 1
    assert samples[key("plancast_subscribers", standing="live")] == 5
    assert samples[key("plancast_subscribers", standing="behind")] == 2
    assert samples[key("plancast_channels")] == 4
    assert samples[key("plancast_lag_events")] == 77
    assert samples[key("plancast_deliveries_total")] == 1000
    assert samples[key("plancast_delivered_bytes_total")] == 250_000
    assert samples[key("plancast_slow_consumers_total")] == 1
    assert samples[key("plancast_log_errors_total", kind="LogUnavailable")] == 2
    assert samples[key("plancast_publish_to_write_seconds_bucket", le="0.0025")] == 0
    assert samples[key("plancast_publish_to_write_seconds_bucket", le="0.005")] == 1
    assert samples[key("plancast_publish_to_write_seconds_bucket", le="+Inf")] == 1
    assert samples[key("plancast_publish_to_write_seconds_count")] == 1
    assert samples[key("plancast_publish_to_write_seconds_sum")] == pytest.approx(0.004)
    assert samples[key("process_resident_memory_bytes")] > 1_000_000
    counts.deliveries += 1
    assert scraped(metrics)[key("plancast_deliveries_total")] == 1001


def test_every_count_is_a_metric() -> None:
    """Fills each field with a different number; all numbers must be in the scrape."""
    counts = HubCounts()
    for value, name in enumerate(HubCounts.__slots__, 1001):
        held = getattr(counts, name)
        if isinstance(held, int):
            setattr(counts, name, value)
        elif isinstance(held, dict):
            held["x"] = value
        elif isinstance(held, tuple):
            setattr(counts, name, (AgentUsage(requests=value),))
        else:
            held.total = value
    values = set(scraped(Metrics(counts)).values())
    assert set(range(1001, 1001 + len(HubCounts.__slots__))) <= values


STATISTICS = OutboxStatistics(
    queued_events=1,
    queued_bytes=2,
    events_under_way=3,
    waiting_senders=4,
    longest_wait=5.5,
    appends=6,
    appended=7,
    retries=8,
    given_up=9,
)


def test_the_outbox_has_metrics_if_there_is_one() -> None:
    samples = scraped(Metrics(HubCounts(), outbox=lambda: STATISTICS))
    told = {name: value for (name, _), value in samples.items() if name.startswith("plancast_outbox_")}
    assert set(told.values()) == {1, 2, 5.5, 7, 8, 9}
    assert not any(name.startswith("plancast_outbox_") for name, _ in scraped(Metrics(HubCounts())))


def test_usage_is_counted_by_model() -> None:
    usage = [
        UsageSum(
            model="m", input_tokens=100, output_tokens=7, requests=2, costs={"USD": Decimal("0.5"), "EUR": Decimal(2)}
        ),
        UsageSum(input_tokens=3, cached_tokens=2, reasoning_tokens=1),
    ]
    samples = scraped(Metrics(HubCounts(), outbox=lambda: replace(STATISTICS, usage=usage)))
    found = {(name, *sorted(labels)): value for (name, labels), value in samples.items() if "_model_" in name}
    assert found == {
        ("plancast_model_input_tokens_total", ("model", "m")): 100,
        ("plancast_model_input_tokens_total", ("model", "other")): 3,
        ("plancast_model_cached_tokens_total", ("model", "other")): 2,
        ("plancast_model_output_tokens_total", ("model", "m")): 7,
        ("plancast_model_reasoning_tokens_total", ("model", "other")): 1,
        ("plancast_model_requests_total", ("model", "m")): 2,
        ("plancast_model_cost_total", ("currency", "EUR"), ("model", "m")): 2,
        ("plancast_model_cost_total", ("currency", "USD"), ("model", "m")): 0.5,
    }


def test_a_hub_and_its_engine_have_one_outbox_each_and_usage_is_summed_over_all() -> None:
    def of(cost: str, **more: int) -> list[UsageSum]:
        return [UsageSum(model="m", costs={"USD": Decimal(cost)}, **more)]

    counts = HubCounts(usage=(AgentUsage(model="m", requests=3, costs={"USD": Decimal("0.1")}),))
    engine = EngineStatistics(replace(STATISTICS, longest_wait=9.5, usage=of("0.2", requests=2)))
    hubs = replace(STATISTICS, usage=of("0.7"))
    samples = scraped(Metrics(counts, outbox=lambda: hubs, engine=lambda: engine))
    assert samples[key("plancast_model_requests_total", model="m")] == 5
    assert samples[key("plancast_model_cost_total", model="m", currency="USD")] == 1.0
    assert samples[key("plancast_outbox_appended_total")] == 14
    assert samples[key("plancast_outbox_longest_wait_seconds")] == 9.5


def test_a_process_without_a_hub_exports_no_metrics_of_hubs() -> None:
    engine = EngineStatistics(STATISTICS, {"running": 2, "waiting": 1}, leased=False)
    samples = scraped(Metrics(None, engine=lambda: engine))
    assert samples[key("plancast_engine_plans", state="running")] == 2
    assert samples[key("plancast_engine_plans", state="waiting")] == 1
    assert samples[key("plancast_engine_leased")] == 0
    assert samples[key("plancast_outbox_queued_events")] == 1
    assert {name.split("_")[1] for name, _ in samples if name.startswith("plancast_")} == {"engine", "outbox", "loop"}


def test_both_formats_of_prometheus_can_be_parsed() -> None:
    metrics = Metrics(counts := HubCounts())
    counts.frames_refused['a "label"\n\\'] += 1
    body, content_type = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    names = {family.name for family in open_metrics(body.decode())}
    assert {
        measure.name.removesuffix("_total")
        for measure in MEASURES
        if not re.search("_(outbox|model|engine)_", measure.name)
    } <= names
    assert scraped(metrics)[key("plancast_frames_refused_total", reason='a "label"\n\\')] == 1


def test_two_hubs_in_one_process_have_separate_counts() -> None:
    one, other = HubCounts(), HubCounts()
    one.deliveries = 5
    assert scraped(Metrics(one))[key("plancast_deliveries_total")] == 5
    assert scraped(Metrics(other))[key("plancast_deliveries_total")] == 0


async def test_a_blocked_loop_is_measured_as_late() -> None:
    metrics = Metrics(HubCounts())
    supervisor = Supervisor()
    metrics.start(supervisor)
    async with asyncio.timeout(30):
        while not sum(metrics.loop_lag.counts):
            await asyncio.sleep(0.01)
        before = metrics.loop_lag.total
        time.sleep(0.6)  # noqa: ASYNC251 - blocks the loop on purpose
        seen = sum(metrics.loop_lag.counts)
        while sum(metrics.loop_lag.counts) == seen:
            await asyncio.sleep(0.01)
    await supervisor.close()
    assert metrics.loop_lag.total - before >= 0.3


# -- several workers -------------------------------------------------------------------------------------------------

WORKER = """
import sys
from pathlib import Path
from broadcasters.supervision import Supervisor
from hub.core.counts import HubCounts
from hub.telemetry.metrics import Metrics
from hub.telemetry.worker_metrics import WorkerMetrics
workers = WorkerMetrics(Path(sys.argv[1]))
counts = HubCounts()
counts.deliveries = int(sys.argv[2])
Metrics(counts, workers=workers).share()
print(workers.worker, flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(directory: Path, deliveries: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Another worker process, and its number."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(directory), str(deliveries)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.communicate()


def test_any_worker_answers_for_all_running_workers(tmp_path: Path) -> None:
    counts = HubCounts()
    counts.deliveries = 7
    workers = WorkerMetrics(tmp_path)
    metrics = Metrics(counts, workers=workers)
    with worker(tmp_path, 100) as (first, process), worker(tmp_path, 200) as (second, _):
        assert (workers.worker, first, second) == (0, 1, 2)
        samples = scraped(metrics)
        each = [samples[key("plancast_deliveries_total", worker=str(n))] for n in range(3)]
        assert each == [7, 100, 200]
        assert samples[key("plancast_worker_age_seconds", worker="0")] == 0
        assert key("process_cpu_seconds_total", worker="2") in samples
        process.kill()
        process.wait()
        samples = scraped(metrics)
        assert key("plancast_deliveries_total", worker="1") not in samples
        assert samples[key("plancast_deliveries_total", worker="2")] == 200
        with worker(tmp_path, 1) as (again, _):
            assert again == 1, "a restarted worker takes its predecessor's place"
            assert scraped(metrics)[key("plancast_deliveries_total", worker="1")] == 1
    workers.close()


def test_a_scrape_of_all_workers_can_be_parsed_in_both_formats(tmp_path: Path) -> None:
    counts = HubCounts()
    counts.latency.observe(0.1)
    one, other = WorkerMetrics(tmp_path), WorkerMetrics(tmp_path)
    metrics = Metrics(counts, workers=one)
    Metrics(counts, workers=other).share()
    body, _ = metrics.render("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in open_metrics(body.decode())}
    workers = [sample.labels["worker"] for sample in families["plancast_deliveries"].samples]
    assert workers == ["0", "1"]
    assert scraped(metrics)[key("plancast_publish_to_write_seconds_count", worker="1")] == 1
    other.close()
    assert key("plancast_publish_to_write_seconds_count", worker="1") not in scraped(metrics)
    one.close()


async def test_a_running_worker_shares_its_metrics(tmp_path: Path) -> None:
    mine, theirs = WorkerMetrics(tmp_path), WorkerMetrics(tmp_path)
    supervisor = Supervisor()
    Metrics(HubCounts(), workers=theirs).start(supervisor)
    metrics = Metrics(HubCounts(), workers=mine)
    async with asyncio.timeout(30):
        while key("plancast_deliveries_total", worker="1") not in scraped(metrics):
            await asyncio.sleep(0.05)
    await supervisor.close()
    assert scraped(metrics)[key("plancast_worker_age_seconds", worker="1")] >= 0
    theirs.close()
    mine.close()


async def test_a_worker_that_cannot_share_keeps_counting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workers = WorkerMetrics(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    metrics = Metrics(HubCounts(), workers=workers)
    supervisor = Supervisor()
    metrics.start(supervisor)
    async with asyncio.timeout(30):
        while "can't share metrics with the other workers" not in caplog.text:
            await asyncio.sleep(0.05)
        before = list(metrics.loop_lag.counts)
        while metrics.loop_lag.counts == before:
            await asyncio.sleep(0.05)
    await supervisor.close()
    workers.close()


def test_a_new_worker_does_not_report_its_predecessors_metrics(tmp_path: Path) -> None:
    mine = WorkerMetrics(tmp_path)
    with worker(tmp_path, 100) as (place, process):
        process.kill()
        process.wait()
    successor = WorkerMetrics(tmp_path)
    assert successor.worker == place
    assert key("plancast_deliveries_total", worker=str(place)) not in scraped(Metrics(HubCounts(), workers=mine))
    successor.close()
    mine.close()


def test_the_number_of_workers_is_bounded(tmp_path: Path) -> None:
    taken = [WorkerMetrics(tmp_path) for _ in range(MAX_WORKERS)]
    with pytest.raises(PlancastError, match="run directory"):
        WorkerMetrics(tmp_path)
    for one in taken:
        one.close()


def workers_in(samples: Samples) -> set[str]:
    return {dict(labels)["worker"] for name, labels in samples if name == "plancast_deliveries_total"}


@pytest.mark.parametrize("name", ["worker-one.json", "worker-1_0.json", "worker-.json", "worker-7.json", "notes.txt"])
def test_files_of_others_in_the_run_directory_are_ignored(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("not JSON")
    with closing(WorkerMetrics(tmp_path)) as mine, closing(WorkerMetrics(tmp_path)) as theirs:
        Metrics(HubCounts(), workers=theirs).share()
        assert workers_in(scraped(Metrics(HubCounts(), workers=mine))) == {"0", "1"}


@pytest.mark.parametrize(
    "numbers", ["", "[]", '{"at": 1}', '{"at": 1, "families": [["x"]]}', '{"at": "?", "families": []}']
)
def test_a_worker_whose_metrics_cannot_be_parsed_is_left_out(numbers: str, tmp_path: Path) -> None:
    """Another version may have written them."""
    with closing(WorkerMetrics(tmp_path)) as mine, closing(WorkerMetrics(tmp_path)) as theirs:
        (tmp_path / f"worker-{theirs.worker}.json").write_text(numbers)
        assert workers_in(scraped(Metrics(HubCounts(), workers=mine))) == {"0"}
