"""Counters of one hub in one process: plain numbers, incremented where things happen and read when scraped.

Counting costs one integer addition; `hub.telemetry.metrics` turns the numbers into Prometheus metrics.

- `connections`, `connections_total`   by transport (native, asgi, sse, poll): open now, and ever opened
- `subscribers_live`, `subscribers_behind`, `channels`, `tailed_plans`   how many there are now (set by the registry's
                                       sweep)
- `lag_events`                         events between the head and the subscriber that is furthest behind (set likewise)
- `deliveries`, `delivered_bytes`      events delivered to clients, and their bytes
- `frames_received`, `frames_refused`  frames from clients; refused ones by error code
- `holes`, `continuity_lost`           holes in what the log reported, read afterwards; channels that had to restart
- `log_errors`                         by the error's class name
- `slow_consumers`                     clients closed because they read nothing for too long
- `auth_failures`                      by error code (unauthenticated, invalid_token, token_expired, unavailable), or
                                       `origin`
- `refused_connections`                by reason: address, principal, process, draining
- `refused_requests`                   requests answered with 429 or `too_many_requests`, by reason: address, principal
- `refused_plans`                      plans that could not be followed, by reason: address, principal, process
- `usage`                              what events report that were appended through the log over HTTP, by model
- `latency`                            seconds from an event's timestamp to its delivery to live subscribers, sampled
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from broadcasters.event_bytes import sent_at
from broadcasters.snapshot import AgentUsage
from hub.core.burst import Burst

__all__ = ["LAG_BOUNDS", "LATENCY_BOUNDS", "Histogram", "HubCounts", "Latency"]

LATENCY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MEASURE_EVERY: Final = 0.001
"""Least seconds between two samples: taking one costs about as much as delivering an event to a client."""
LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """Histogram of durations, with fixed buckets."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration. A negative one (the clocks of two machines differ) counts as 0."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[float, int]]:
        """Upper bounds with the cumulative count of each; the last bound is infinite."""
        sums, so_far = list[tuple[float, int]](), 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            sums.append((bound, so_far))
        return sums


class Latency(Histogram):
    """Time from publishing to delivery."""

    __slots__ = ("_measured_at",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self._measured_at = 0.0

    def record(self, event: bytes, now: float) -> None:
        """Record that the live subscribers were handed this event `now` (Unix time): call it once a burst."""
        if 0 <= now - self._measured_at < MEASURE_EVERY:
            return
        self._measured_at = now
        if (sent := sent_at(event)) is not None:
            self.observe(now - sent)


@dataclass(slots=True)
class HubCounts:
    """The counters of one hub in one process; the module's docstring describes each."""

    connections: Counter[str] = field(default_factory=Counter[str])
    connections_total: Counter[str] = field(default_factory=Counter[str])
    subscribers_live: int = 0
    subscribers_behind: int = 0
    channels: int = 0
    tailed_plans: int = 0
    lag_events: int = 0
    deliveries: int = 0
    delivered_bytes: int = 0
    frames_received: int = 0
    frames_refused: Counter[str] = field(default_factory=Counter[str])
    holes: int = 0
    continuity_lost: int = 0
    log_errors: Counter[str] = field(default_factory=Counter[str])
    slow_consumers: int = 0
    auth_failures: Counter[str] = field(default_factory=Counter[str])
    refused_connections: Counter[str] = field(default_factory=Counter[str])
    refused_requests: Counter[str] = field(default_factory=Counter[str])
    refused_plans: Counter[str] = field(default_factory=Counter[str])
    usage: tuple[AgentUsage, ...] = ()
    latency: Latency = field(default_factory=lambda: Latency(LATENCY_BOUNDS))

    def delivered(self, burst: Burst, clients: int) -> None:
        """Count the delivery of a burst to this many clients."""
        self.deliveries += len(burst.frames) * clients
        self.delivered_bytes += burst.size * clients
