"""Every metric of the hub: what it is called, what it says, where its value stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isinf
from typing import Final, Literal, TypeAlias

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from broadcasters.outbox import OutboxStatistics
from broadcasters.supervision import Part
from hub.core.counts import Histogram, HubCounts

__all__ = ["MEASURES", "Measure", "Numbers", "table"]

Value: TypeAlias = float | Mapping[str, int] | Histogram


@dataclass(frozen=True, slots=True)
class Numbers:
    """All that is read at a scrape."""

    counts: HubCounts
    loop_lag: Histogram
    outbox: OutboxStatistics | None
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: what it is called, and where its value stands. None: there is none just now."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    read: Callable[[Numbers], Value | None]
    label: str = ""

    def family(self, numbers: Numbers) -> Metric | None:
        value = self.read(numbers)
        if value is None:
            return None
        if isinstance(value, Histogram):
            buckets = [("+Inf" if isinf(bound) else str(bound), count) for bound, count in value.buckets()]
            return HistogramMetricFamily(self.name, self.about, buckets, value.total)
        labels = [self.label] if self.label else []
        metric = (CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily)(
            self.name, self.about, None, labels
        )
        for label, number in value.items() if isinstance(value, Mapping) else [("", value)]:
            metric.add_metric([label] if self.label else [], number)
        return metric


def _outbox(read: Callable[[OutboxStatistics], float]) -> Callable[[Numbers], float | None]:
    """A number of the process's own outbox, if it has one."""
    return lambda numbers: None if numbers.outbox is None else read(numbers.outbox)


MEASURES: Final = (
    Measure("plancast_connections", "gauge", "Clients connected now.", lambda n: n.counts.connections, "transport"),
    Measure(
        "plancast_connections_opened_total",
        "counter",
        "Clients ever connected.",
        lambda n: n.counts.connections_total,
        "transport",
    ),
    Measure(
        "plancast_connections_refused_total",
        "counter",
        "Connections refused by a limit, or while draining.",
        lambda n: n.counts.refused_connections,
        "reason",
    ),
    Measure(
        "plancast_subscribers",
        "gauge",
        "Subscribers at the head (live), and on their way to it (behind).",
        lambda n: {"live": n.counts.subscribers_live, "behind": n.counts.subscribers_behind},
        "standing",
    ),
    Measure(
        "plancast_lag_events", "gauge", "How far the furthest subscriber is behind.", lambda n: n.counts.lag_events
    ),
    Measure(
        "plancast_channels",
        "gauge",
        "Plans followed now; each until 3 to 4 seconds after its last subscriber has left.",
        lambda n: n.counts.channels,
    ),
    Measure("plancast_tailed_plans", "gauge", "Plans followed by tails of agents.", lambda n: n.counts.tailed_plans),
    Measure(
        "plancast_plans_refused_total",
        "counter",
        "Plans that could not be followed because of a limit.",
        lambda n: n.counts.refused_plans,
        "reason",
    ),
    Measure(
        "plancast_requests_refused_total",
        "counter",
        "Requests beyond what an address or a principal may ask for.",
        lambda n: n.counts.refused_requests,
        "reason",
    ),
    Measure("plancast_deliveries_total", "counter", "Events handed to clients.", lambda n: n.counts.deliveries),
    Measure("plancast_delivered_bytes_total", "counter", "Bytes of them.", lambda n: n.counts.delivered_bytes),
    Measure(
        "plancast_publish_to_write_seconds",
        "histogram",
        "From an event's timestamp to its hand-over to a transport.",
        lambda n: n.counts.latency,
    ),
    Measure(
        "plancast_loop_lag_seconds",
        "histogram",
        "How late the event loop is, each quarter of a second.",
        lambda n: n.loop_lag,
    ),
    Measure("plancast_frames_received_total", "counter", "Frames from clients.", lambda n: n.counts.frames_received),
    Measure(
        "plancast_frames_refused_total",
        "counter",
        "Frames answered with an error.",
        lambda n: n.counts.frames_refused,
        "reason",
    ),
    Measure(
        "plancast_auth_failures_total",
        "counter",
        "Tokens, tickets and origins refused.",
        lambda n: n.counts.auth_failures,
        "reason",
    ),
    Measure(
        "plancast_slow_consumers_total",
        "counter",
        "Clients closed because they took nothing.",
        lambda n: n.counts.slow_consumers,
    ),
    Measure(
        "plancast_holes_total",
        "counter",
        "Holes in a tail that were found and read from the log.",
        lambda n: n.counts.holes,
    ),
    Measure(
        "plancast_continuity_lost_total",
        "counter",
        "Plans whose story could not simply go on.",
        lambda n: n.counts.continuity_lost,
    ),
    Measure(
        "plancast_log_errors_total",
        "counter",
        "What the log answered other than asked.",
        lambda n: n.counts.log_errors,
        "kind",
    ),
    Measure(
        "plancast_outbox_queued_events",
        "gauge",
        "Events of this process that the log has not taken yet.",
        _outbox(lambda outbox: outbox.queued_events),
    ),
    Measure(
        "plancast_outbox_queued_bytes",
        "gauge",
        "Bytes of them.",
        _outbox(lambda outbox: outbox.queued_bytes),
    ),
    Measure(
        "plancast_outbox_longest_wait_seconds",
        "gauge",
        "How long the oldest of them has waited.",
        _outbox(lambda outbox: outbox.longest_wait),
    ),
    Measure(
        "plancast_outbox_appended_total",
        "counter",
        "Events of this process that the log took.",
        _outbox(lambda outbox: outbox.appended),
    ),
    Measure(
        "plancast_outbox_retries_total",
        "counter",
        "Appends that had to be repeated.",
        _outbox(lambda outbox: outbox.retries),
    ),
    Measure(
        "plancast_outbox_given_up_total",
        "counter",
        "Events whose deadline passed.",
        _outbox(lambda outbox: outbox.given_up),
    ),
    Measure(
        "plancast_part_down",
        "gauge",
        "1 while a part of this process (a task that is to run for good) fails, 0 while it works.",
        lambda n: {name: int(part.down) for name, part in n.parts.items()},
        "part",
    ),
    Measure(
        "plancast_part_failures_total",
        "counter",
        "How often a part of this process failed; it was tried again each time.",
        lambda n: {name: part.failures for name, part in n.parts.items()},
        "part",
    ),
)


def table() -> str:
    """All metrics as the Markdown table of docs/OPERATIONS.md."""
    lines = ["| metric | kind | label | |", "|---|---|---|---|"]
    lines += [f"| `{at.name}` | {at.kind} | {at.label and f'`{at.label}`'} | {at.about} |" for at in MEASURES]
    return "\n".join(lines)
