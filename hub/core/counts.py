"""What the hub counts while it works: plain numbers, read when somebody asks.

Counting costs one integer addition; `hub.telemetry.metrics` turns the numbers into Prometheus metrics at scrape time.
One `HubCounts` belongs to one hub in one process; whoever does the thing counts it:

- `connections`, `connections_total`   by transport (native, asgi, sse, poll): open now, and ever opened
- `subscribers_live`, `subscribers_behind`, `channels`, `tailed_plans`   how many there are now (the registry's sweep
                                       sets them)
- `lag_events`                         by how many events the furthest of those behind is behind (set likewise)
- `deliveries`, `delivered_bytes`      an event handed to a client; the bytes of them
- `frames_received`, `frames_refused`  from clients; refused ones by reason
- `holes`, `continuity_lost`           holes found and read from the log; channels that had to start over
- `log_errors`                         by the error's class name
- `slow_consumers`                     clients closed because they took nothing for too long
- `auth_failures`                      by error code (unauthenticated, invalid_token, token_expired, unavailable), or
                                       `origin`
- `refused_connections`                by reason: address, principal, process, draining
- `refused_requests`                   answered with 429 or `too_many_requests`, by reason: address, principal
- `refused_plans`                      plans that could not be followed, by reason: address, principal, process
- `latency`                            publish to write: from an event's timestamp to its hand-over to those who are live;
                                       one event of a burst, and so often in a second
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from broadcasters.event_bytes import sent_at
from hub.core.burst import Burst

__all__ = ["LAG_BOUNDS", "LATENCY_BOUNDS", "Histogram", "HubCounts", "Latency"]

LATENCY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MEASURE_EVERY: Final = 0.001
"""Seconds from one measured burst to the next: measuring costs about as much as handing an event to a client."""
LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """How often something took how long, in a fixed number of buckets."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one. Less than nothing (two machines' clocks differ) counts as nothing."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[float, int]]:
        """(upper bound, how many took at most that), the last bound being infinite."""
        sums, so_far = list[tuple[float, int]](), 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            sums.append((bound, so_far))
        return sums


class Latency(Histogram):
    """How long ago what is handed out was said."""

    __slots__ = ("_measured_at",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self._measured_at = 0.0

    def told(self, event: bytes, now: float) -> None:
        """Everybody who is live was handed this one, and maybe more of its burst, just now (Unix time)."""
        if 0 <= now - self._measured_at < MEASURE_EVERY:
            return
        self._measured_at = now
        if (said := sent_at(event)) is not None:
            self.observe(now - said)


@dataclass(slots=True)
class HubCounts:
    """See above."""

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
    latency: Latency = field(default_factory=lambda: Latency(LATENCY_BOUNDS))

    def handed(self, burst: Burst, clients: int) -> None:
        """So many clients are handed these events."""
        self.deliveries += len(burst.frames) * clients
        self.delivered_bytes += burst.size * clients
