"""The hub's metrics for Prometheus: their definitions, and the exposition.

Nothing is measured on the hot path: numbers are read from `HubCounts` at each scrape. Each hub has its own registry. With
several workers, any of them answers for all (`hub.telemetry.worker_metrics`): each worker's metrics carry its `worker`
label, so rates stay correct when a worker restarts, and `sum without (worker)` adds them up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isinf
from typing import Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from broadcasters.outbox import OutboxStatistics
from broadcasters.snapshot import UsageSum
from broadcasters.supervision import Part, Supervisor
from hub.core.counts import LAG_BOUNDS, Histogram, HubCounts
from hub.telemetry.worker_metrics import WorkerMetrics

__all__ = ["MEASURES", "Measure", "Metrics", "Numbers", "table"]

logger = logging.getLogger(__name__)

LAG_PERIOD: Final = 0.25
SHARE_PERIOD: Final = 1.0
OTHER: Final = "other"
"""The label of usage without a model, and of the models beyond the most that are counted one by one."""

Value: TypeAlias = float | Mapping[str, int] | Mapping[tuple[str, str], float] | Histogram


@dataclass(frozen=True, slots=True)
class Numbers:
    """What metrics are read from at a scrape."""

    counts: HubCounts
    loop_lag: Histogram
    outbox: OutboxStatistics | None
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Measure:
    """Definition of one metric. `read` returns its value, or None if it has none at the moment."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    read: Callable[[Numbers], Value | None]
    labels: tuple[str, ...] = ()

    def family(self, numbers: Numbers) -> Metric | None:
        value = self.read(numbers)
        if value is None:
            return None
        if isinstance(value, Histogram):
            buckets = [("+Inf" if isinf(bound) else str(bound), count) for bound, count in value.buckets()]
            return HistogramMetricFamily(self.name, self.about, buckets, value.total)
        metric = (CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily)(
            self.name, self.about, None, self.labels
        )
        for labels, number in value.items() if isinstance(value, Mapping) else [((), value)]:
            metric.add_metric([labels] if isinstance(labels, str) else labels, number)
        return metric


def _outbox(read: Callable[[OutboxStatistics], float]) -> Callable[[Numbers], float | None]:
    """A number of the process's own outbox, if it has one."""
    return lambda numbers: None if numbers.outbox is None else read(numbers.outbox)


def _usage(read: Callable[[UsageSum], int | None]) -> Callable[[Numbers], Value | None]:
    """A count of the usage that events of this process report, by model."""

    def by_model(numbers: Numbers) -> Value | None:
        sums = () if numbers.outbox is None else numbers.outbox.usage
        return {one.model or OTHER: count for one in sums if (count := read(one)) is not None}

    return by_model


def _costs(numbers: Numbers) -> Value | None:
    sums = () if numbers.outbox is None else numbers.outbox.usage
    costs = ((one.model or OTHER, one.costs) for one in sums)
    return {(model, currency): float(cost) for model, by in costs for currency, cost in (by or {}).items()}


MEASURES: Final = (
    Measure("plancast_connections", "gauge", "Clients connected now.", lambda n: n.counts.connections, ("transport",)),
    Measure(
        "plancast_connections_opened_total",
        "counter",
        "Connections that clients have opened.",
        lambda n: n.counts.connections_total,
        ("transport",),
    ),
    Measure(
        "plancast_connections_refused_total",
        "counter",
        "Connections refused because of a limit or while draining.",
        lambda n: n.counts.refused_connections,
        ("reason",),
    ),
    Measure(
        "plancast_subscribers",
        "gauge",
        "Subscribers at the head of their plan (live) and those catching up (behind).",
        lambda n: {"live": n.counts.subscribers_live, "behind": n.counts.subscribers_behind},
        ("standing",),
    ),
    Measure(
        "plancast_lag_events",
        "gauge",
        "Events by which the slowest subscriber is behind the head of its plan.",
        lambda n: n.counts.lag_events,
    ),
    Measure(
        "plancast_channels",
        "gauge",
        "Plans followed now; a plan is released 3 to 4 seconds after its last subscriber has left.",
        lambda n: n.counts.channels,
    ),
    Measure("plancast_tailed_plans", "gauge", "Plans followed through /api/tail.", lambda n: n.counts.tailed_plans),
    Measure(
        "plancast_plans_refused_total",
        "counter",
        "Subscriptions refused because of a limit on followed plans.",
        lambda n: n.counts.refused_plans,
        ("reason",),
    ),
    Measure(
        "plancast_requests_refused_total",
        "counter",
        "Requests refused because an address or a principal exceeded its rate.",
        lambda n: n.counts.refused_requests,
        ("reason",),
    ),
    Measure("plancast_deliveries_total", "counter", "Events delivered to clients.", lambda n: n.counts.deliveries),
    Measure(
        "plancast_delivered_bytes_total",
        "counter",
        "Bytes of events delivered to clients.",
        lambda n: n.counts.delivered_bytes,
    ),
    Measure(
        "plancast_publish_to_write_seconds",
        "histogram",
        "Seconds from an event's timestamp until it is handed to a transport.",
        lambda n: n.counts.latency,
    ),
    Measure(
        "plancast_loop_lag_seconds",
        "histogram",
        "Seconds by which the event loop runs late, measured every 0.25 s.",
        lambda n: n.loop_lag,
    ),
    Measure(
        "plancast_frames_received_total", "counter", "Frames received from clients.", lambda n: n.counts.frames_received
    ),
    Measure(
        "plancast_frames_refused_total",
        "counter",
        "Frames from clients answered with an error.",
        lambda n: n.counts.frames_refused,
        ("reason",),
    ),
    Measure(
        "plancast_auth_failures_total",
        "counter",
        "Tokens, tickets and origins refused.",
        lambda n: n.counts.auth_failures,
        ("reason",),
    ),
    Measure(
        "plancast_slow_consumers_total",
        "counter",
        "Connections closed because the client stopped reading.",
        lambda n: n.counts.slow_consumers,
    ),
    Measure(
        "plancast_holes_total",
        "counter",
        "Gaps in the live feed of a log that were filled by reading the log.",
        lambda n: n.counts.holes,
    ),
    Measure(
        "plancast_continuity_lost_total",
        "counter",
        "Plans whose events could not be continued, so subscribers got a snapshot.",
        lambda n: n.counts.continuity_lost,
    ),
    Measure(
        "plancast_log_errors_total",
        "counter",
        "Failed operations of the log.",
        lambda n: n.counts.log_errors,
        ("kind",),
    ),
    Measure(
        "plancast_outbox_queued_events",
        "gauge",
        "Events of this process that the log has not accepted yet.",
        _outbox(lambda outbox: outbox.queued_events),
    ),
    Measure(
        "plancast_outbox_queued_bytes",
        "gauge",
        "Bytes of events of this process that the log has not accepted yet.",
        _outbox(lambda outbox: outbox.queued_bytes),
    ),
    Measure(
        "plancast_outbox_longest_wait_seconds",
        "gauge",
        "Seconds for which the oldest event of this process has waited for the log.",
        _outbox(lambda outbox: outbox.longest_wait),
    ),
    Measure(
        "plancast_outbox_appended_total",
        "counter",
        "Events of this process that the log accepted.",
        _outbox(lambda outbox: outbox.appended),
    ),
    Measure(
        "plancast_outbox_retries_total",
        "counter",
        "Appends of this process that were retried.",
        _outbox(lambda outbox: outbox.retries),
    ),
    Measure(
        "plancast_outbox_given_up_total",
        "counter",
        "Events of this process dropped because the log did not accept them before their deadline.",
        _outbox(lambda outbox: outbox.given_up),
    ),
    Measure(
        "plancast_model_requests_total",
        "counter",
        "Requests to language models, as reported by events that this process published.",
        _usage(lambda usage: usage.requests),
        ("model",),
    ),
    Measure(
        "plancast_model_input_tokens_total",
        "counter",
        "Input tokens of language models, as reported by events that this process published.",
        _usage(lambda usage: usage.input_tokens),
        ("model",),
    ),
    Measure(
        "plancast_model_cached_tokens_total",
        "counter",
        "Those of the input tokens that were read from a cache.",
        _usage(lambda usage: usage.cached_tokens),
        ("model",),
    ),
    Measure(
        "plancast_model_output_tokens_total",
        "counter",
        "Output tokens of language models, as reported by events that this process published.",
        _usage(lambda usage: usage.output_tokens),
        ("model",),
    ),
    Measure(
        "plancast_model_reasoning_tokens_total",
        "counter",
        "Those of the output tokens that were used for reasoning.",
        _usage(lambda usage: usage.reasoning_tokens),
        ("model",),
    ),
    Measure(
        "plancast_model_cost_total",
        "counter",
        "Cost of language models, as reported by events that this process published.",
        _costs,
        ("model", "currency"),
    ),
    Measure(
        "plancast_part_down",
        "gauge",
        "1 while a part of this process (a task that runs for its lifetime) is failing, otherwise 0.",
        lambda n: {name: int(part.down) for name, part in n.parts.items()},
        ("part",),
    ),
    Measure(
        "plancast_part_failures_total",
        "counter",
        "Failures of a part of this process; it is restarted after each.",
        lambda n: {name: part.failures for name, part in n.parts.items()},
        ("part",),
    ),
)


def table() -> str:
    """The table of all metrics in Markdown, for docs/OPERATIONS.md."""
    lines = ["| metric | kind | label | |", "|---|---|---|---|"]
    lines += [
        f"| `{at.name}` | {at.kind} | {', '.join(f'`{label}`' for label in at.labels)} | {at.about} |"
        for at in MEASURES
    ]
    return "\n".join(lines)


class _Counted(Collector):
    """The hub's metrics, read when they are collected."""

    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterable[Metric]:
        numbers = self._numbers()
        return [family for measure in MEASURES if (family := measure.family(numbers)) is not None]


class Metrics:
    """The metrics of one hub in one process. `start` measures the event loop's lag and shares metrics with other workers."""

    def __init__(
        self,
        counts: HubCounts,
        outbox: Callable[[], OutboxStatistics] | None = None,
        workers: WorkerMetrics | None = None,
        parts: Callable[[], Mapping[str, Part]] = dict,
    ) -> None:
        self.loop_lag = Histogram(LAG_BOUNDS)
        self._counts = counts
        self._outbox = outbox
        self._workers = workers
        self._parts = parts
        self._due = 0.0
        self._own = CollectorRegistry(auto_describe=False)
        self._own.register(_Counted(self._read))
        ProcessCollector(registry=self._own)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The response to a scrape and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._own if self._workers is None else self._workers.merged(self._own.collect())
        return encode(registry), content_type

    def start(self, supervisor: Supervisor) -> None:
        """Measure the event loop's lag, and share metrics with the other workers, until the supervisor closes."""
        self._due = asyncio.get_running_loop().time() + LAG_PERIOD
        supervisor.repeat("measurement of the event loop", self._measure_lag, every=LAG_PERIOD)
        if self._workers is not None:
            supervisor.repeat("sharing of metrics", self._share, every=SHARE_PERIOD)

    async def _measure_lag(self) -> None:
        now = asyncio.get_running_loop().time()
        self.loop_lag.observe(now - self._due)
        self._due = now + LAG_PERIOD

    async def _share(self) -> None:
        self.share()

    def share(self) -> None:
        """Share the current metrics with the other workers."""
        if self._workers is not None:
            try:
                self._workers.share(self._own.collect())
            except OSError as error:  # the disk is full, or the run directory was removed
                logger.warning("can't share metrics with the other workers: %s", error)

    def _read(self) -> Numbers:
        outbox = self._outbox() if self._outbox is not None else None
        return Numbers(self._counts, self.loop_lag, outbox, self._parts())
