"""The metrics of hubs and workers: their names, kinds and labels, and how each is read from counters and statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isinf
from typing import Final, Literal, TypeAlias

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from broadcasters.outbox import OutboxStatistics
from broadcasters.snapshot import UsageSum
from broadcasters.supervision import Part
from broadcasters.usage import EXACT
from hub.core.counts import Histogram, HubCounts
from hub.engine_port import EngineStatistics

__all__ = ["MEASURES", "Measure", "Numbers", "table"]

OTHER: Final = "other"
"""The label of usage without a model, and of the models beyond the most that are counted one by one."""

Value: TypeAlias = float | Mapping[str, int] | Mapping[tuple[str, str], float] | Histogram


@dataclass(frozen=True, slots=True)
class Numbers:
    """What metrics are read from at a scrape."""

    counts: HubCounts | None
    loop_lag: Histogram
    outboxes: Sequence[OutboxStatistics]
    parts: Mapping[str, Part]
    engine: EngineStatistics | None

    @property
    def usage(self) -> Iterable[UsageSum]:
        """Of the events that this process published, and of those that others published through its log over HTTP."""
        groups: list[Sequence[UsageSum]] = [outbox.usage for outbox in self.outboxes]
        return (one for group in (*groups, self.counts.usage if self.counts else ()) for one in group)


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


def _hub(read: Callable[[HubCounts], Value]) -> Callable[[Numbers], Value | None]:
    """A number of the process's hub, if it has one."""
    return lambda numbers: None if numbers.counts is None else read(numbers.counts)


def _engine(read: Callable[[EngineStatistics], Value | None]) -> Callable[[Numbers], Value | None]:
    """A number of the process's engine, if it has one."""
    return lambda numbers: None if numbers.engine is None else read(numbers.engine)


def _outbox(
    read: Callable[[OutboxStatistics], float], together: Callable[[Iterable[float]], float] = sum
) -> Callable[[Numbers], float | None]:
    """A number of the process's outboxes (the hub and its engine have one each), if it has any."""
    return lambda numbers: together(map(read, numbers.outboxes)) if numbers.outboxes else None


def _usage(read: Callable[[UsageSum], int | None]) -> Callable[[Numbers], Value | None]:
    """A count of the usage that events report, by model."""

    def by_model(numbers: Numbers) -> Value | None:
        counts = Counter[str]()
        for one in numbers.usage:
            if (count := read(one)) is not None:
                counts[one.model or OTHER] += count
        return counts

    return by_model


def _costs(numbers: Numbers) -> Value | None:
    costs: dict[tuple[str, str], Decimal] = {}
    for one in numbers.usage:
        for currency, cost in (one.costs or {}).items():
            label = one.model or OTHER, currency
            costs[label] = EXACT.add(costs.get(label, Decimal(0)), cost)
    return {label: float(cost) for label, cost in costs.items()}


MEASURES: Final = (
    Measure(
        "plancast_connections",
        "gauge",
        "Clients connected now.",
        _hub(lambda counts: counts.connections),
        ("transport",),
    ),
    Measure(
        "plancast_connections_opened_total",
        "counter",
        "Connections that clients have opened.",
        _hub(lambda counts: counts.connections_total),
        ("transport",),
    ),
    Measure(
        "plancast_connections_refused_total",
        "counter",
        "Connections refused because of a limit or while draining.",
        _hub(lambda counts: counts.refused_connections),
        ("reason",),
    ),
    Measure(
        "plancast_subscribers",
        "gauge",
        "Subscribers at the head of their plan (live) and those catching up (behind).",
        _hub(lambda counts: {"live": counts.subscribers_live, "behind": counts.subscribers_behind}),
        ("standing",),
    ),
    Measure(
        "plancast_lag_events",
        "gauge",
        "Events by which the slowest subscriber is behind the head of its plan.",
        _hub(lambda counts: counts.lag_events),
    ),
    Measure(
        "plancast_channels",
        "gauge",
        "Plans followed now; a plan is released 3 to 4 seconds after its last subscriber has left.",
        _hub(lambda counts: counts.channels),
    ),
    Measure(
        "plancast_tailed_plans", "gauge", "Plans followed through /api/tail.", _hub(lambda counts: counts.tailed_plans)
    ),
    Measure(
        "plancast_plans_refused_total",
        "counter",
        "Subscriptions refused because of a limit on followed plans.",
        _hub(lambda counts: counts.refused_plans),
        ("reason",),
    ),
    Measure(
        "plancast_requests_refused_total",
        "counter",
        "Requests refused because an address or a principal exceeded its rate.",
        _hub(lambda counts: counts.refused_requests),
        ("reason",),
    ),
    Measure(
        "plancast_deliveries_total", "counter", "Events delivered to clients.", _hub(lambda counts: counts.deliveries)
    ),
    Measure(
        "plancast_delivered_bytes_total",
        "counter",
        "Bytes of events delivered to clients.",
        _hub(lambda counts: counts.delivered_bytes),
    ),
    Measure(
        "plancast_publish_to_write_seconds",
        "histogram",
        "Seconds from an event's timestamp until it is handed to a transport.",
        _hub(lambda counts: counts.latency),
    ),
    Measure(
        "plancast_loop_lag_seconds",
        "histogram",
        "Seconds by which the event loop runs late, measured every 0.25 s.",
        lambda n: n.loop_lag,
    ),
    Measure(
        "plancast_frames_received_total",
        "counter",
        "Frames received from clients.",
        _hub(lambda counts: counts.frames_received),
    ),
    Measure(
        "plancast_frames_refused_total",
        "counter",
        "Frames from clients answered with an error.",
        _hub(lambda counts: counts.frames_refused),
        ("reason",),
    ),
    Measure(
        "plancast_auth_failures_total",
        "counter",
        "Tokens, tickets and origins refused.",
        _hub(lambda counts: counts.auth_failures),
        ("reason",),
    ),
    Measure(
        "plancast_slow_consumers_total",
        "counter",
        "Connections closed because the client stopped reading.",
        _hub(lambda counts: counts.slow_consumers),
    ),
    Measure(
        "plancast_holes_total",
        "counter",
        "Gaps in the live feed of a log that were filled by reading the log.",
        _hub(lambda counts: counts.holes),
    ),
    Measure(
        "plancast_continuity_lost_total",
        "counter",
        "Plans whose events could not be continued, so subscribers got a snapshot.",
        _hub(lambda counts: counts.continuity_lost),
    ),
    Measure(
        "plancast_log_errors_total",
        "counter",
        "Failed operations of the log.",
        _hub(lambda counts: counts.log_errors),
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
        _outbox(lambda outbox: outbox.longest_wait, max),
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
        "Requests to language models, as reported by events published through this process.",
        _usage(lambda usage: usage.requests),
        ("model",),
    ),
    Measure(
        "plancast_model_input_tokens_total",
        "counter",
        "Input tokens of language models, as reported by events published through this process.",
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
        "Output tokens of language models, as reported by events published through this process.",
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
        "Cost of language models, as reported by events published through this process.",
        _costs,
        ("model", "currency"),
    ),
    Measure(
        "plancast_engine_plans",
        "gauge",
        "Plans that this process has begun: running ones, and those that only wait (for a person, a retry, a resume).",
        _engine(lambda engine: engine.plans),
        ("state",),
    ),
    Measure(
        "plancast_engine_leased",
        "gauge",
        "1 while this process renews its lease in the engine's database in time, otherwise 0.",
        _engine(lambda engine: engine.leased),
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
