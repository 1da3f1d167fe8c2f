"""deploy/prometheus and deploy/grafana: they use metrics and labels that hubs export, and promtool's tests pass."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import MISSING, fields
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from broadcasters.outbox import OutboxStatistics
from hub.config.settings import Settings
from hub.core.counts import HubCounts
from hub.engine_port import EngineStatistics
from hub.telemetry.measures import MEASURES
from hub.telemetry.metrics import Metrics
from hub.telemetry.worker_metrics import WorkerMetrics

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus/alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/plancast.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
ADDED_BY_PROMETHEUS = {"up", "ALERTS"}
OWN = {measure.name: set(measure.labels) for measure in MEASURES}
LABELS = set().union(*OWN.values()) | {"le", "worker", "job", "instance", "alertname", "alertstate"}
FUNCTIONS = {"absent", "count", "histogram_quantile", "increase", "label_values", "max", "min", "rate", "sum", "time"}
WORDS = {"and", "by", "offset", "on"}


def exported(folder: Path) -> set[str]:
    """The names of all samples that a hub with several workers exports."""
    numbers: dict[str, Any] = {field.name: 0 for field in fields(OutboxStatistics) if field.default is MISSING}
    outbox = OutboxStatistics(**numbers)
    with closing(WorkerMetrics(folder)) as workers:
        text = (
            Metrics(HubCounts(), lambda: outbox, workers, engine=lambda: EngineStatistics(leased=True))
            .render()[0]
            .decode()
        )
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    families = text_string_to_metric_families(text)
    return {family.name + ending for family in families for ending in endings.get(family.type, ("",))}


def queries() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of the rules and the dashboard, with the place it is used in."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def names(query: str) -> set[str]:
    """The metrics that a query uses."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on) ?\([^)]*\)|, (job|instance)\)", " ", query)
    return {name for name in re.findall(r"[A-Za-z_:]\w*", bare) if name not in FUNCTIONS | WORDS and name != "d"}


def labels(query: str) -> set[str]:
    """The labels that a query selects or groups by."""
    selected = {
        label for group in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+) ?(?:=~|!=|=)", group)
    }
    grouped = {label for group in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", query) for label in re.findall(r"\w+", group)}
    return selected | grouped


def test_queries_use_exported_metrics_and_labels_only(tmp_path: Path) -> None:
    known = exported(tmp_path) | ADDED_BY_PROMETHEUS
    for place, query in queries():
        assert names(query), place
        assert names(query) - known == set(), f"{place}: {query}"
        assert labels(query) - LABELS == set(), f"{place}: {query}"


def test_a_query_with_an_unknown_metric_or_label_is_detected(tmp_path: Path) -> None:
    query = 'sum by (place) (rate(plancast_nothing_total{kind="x"}[5m])) / plancast_channels > 0'
    assert names(query) - exported(tmp_path) == {"plancast_nothing_total"}
    assert labels(query) - LABELS == {"place"}


def test_each_metric_is_used_with_its_own_labels() -> None:
    every = set().union(*OWN.values())
    for place, query in queries():
        allowed = set().union(*(OWN.get(name, set()) for name in names(query)))
        assert labels(query) & every <= allowed, f"{place}: {query}"


def test_the_dashboard_shows_every_metric_of_the_hub() -> None:
    shown = {re.sub(r"_bucket$", "", name) for _, query in queries() for name in names(query)}
    assert {measure.name for measure in MEASURES} - shown == set()


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule
        assert set(rule["annotations"]) == {"summary", "description"}, rule


def test_the_connections_alert_fires_at_four_fifths_of_the_limit() -> None:
    [rule] = [rule for rule in RULES if rule["alert"] == "PlancastConnectionsNearLimit"]
    assert rule["expr"].endswith(f"> {Settings().max_connections * 4 // 5}")


def test_every_alert_has_a_test() -> None:
    tests = (ALERTS.parent / "alerts.test.yml").read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in tests] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check rules alerts.yml", "test rules alerts.test.yml"])
def test_promtool_accepts_the_alert_rules(command: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (on Debian: apt-get install prometheus)")
    done = subprocess.run(["promtool", *command.split()], cwd=ALERTS.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
