"""Limits of what one client, one plan and one process may use, with the reason for each number.

Every queue and table of the hub is bounded by a number in this module. `bounds` gives the totals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from broadcasters.events import MAX_EVENT_BYTES
from broadcasters.log.contract import MAX_APPEND_BYTES

__all__ = [
    "KIB",
    "MIB",
    "WITHHELD_BYTES",
    "BatchLimits",
    "ChannelLimits",
    "ConnectionLimits",
    "Limits",
    "OutletLimits",
    "PlanLimits",
    "RequestLimits",
    "SessionLimits",
    "bounds",
    "per_connection",
    "per_plan",
    "per_process",
    "water_marks",
]


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """The bounds and timeouts of one channel."""

    ring_bytes: int = 512 * 1024
    """About two thousand frames: half a minute of a busy plan, for clients that lag or reconnect."""
    ring_events: int = 2048
    burst_bytes: int = 64 * 1024
    """A subscriber that is behind gets about this much at a time, so that a thousand of them can share the loop."""
    merge_after: int = 256
    """More events behind than this, streamed text is merged: no person reads 256 tokens one by one."""
    snapshot_after: int = 10_000
    """More events behind than this, a client that knows positions gets a snapshot and continues from there: it is less
    to send and less to read than the events."""
    join_patience: float = 5.0
    """Seconds that a subscription waits for the log before it is refused; the client may retry."""
    fold_patience: float = 2.0
    """Seconds that a subscriber that gets streamed messages whole waits for the fold that tells which are unfinished."""


KIB: Final = 1024
MIB: Final = 1024 * KIB
WITHHELD_BYTES: Final = 512 * KIB
"""Text withheld of all streamed messages of a plan together; beyond it the oldest is sent as far as it has come."""
PARTING_SECONDS: Final = 15.0
"""Time for a client that reads nothing to receive the reason why it is closed."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one connection may send and request."""

    subscriptions: int = 256
    """A page shows a handful of plans, a dashboard a hundred. A client that needs more opens a second socket."""
    frames_per_second: float = 20.0
    """A person clicks twice a second; a page that reconnects subscribes to everything at once: hence the burst."""
    frames_burst: int = 512
    """Twice the subscriptions: a front end may subscribe to each of its plans twice."""
    bytes_per_second: float = 64 * KIB
    bytes_burst: int = 512 * KIB
    frame_bytes: int = 64 * KIB
    """Many times a person's answer. Agents publish over HTTP, at up to 256 KiB an event."""
    frame_fragments: int = 64
    """A fragment takes memory even when it is empty."""
    unauthenticated_seconds: float = 5.0
    """Long enough for `authenticate` from a phone on a train, too short to hoard sockets."""
    unauthenticated_bytes: int = 16 * KIB
    """Twice a token and its frame."""
    idle_seconds: float = 600.0
    """A client without subscriptions that sends no frame for this long is closed. WebSocket pings don't count."""
    bad_frames: int = 16
    """Invalid frames in a row after which the connection is closed (4500)."""
    pending_requests: int = 32
    """Inputs and signals of one connection that may wait for the log or the engine at once."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Connections open at once. SSE streams and long polls count as well."""

    per_address: int = 1_000
    """A company behind one address, with a few tabs for each person. An IPv6 address counts as its /64."""
    per_principal: int = 100
    """One person's tabs and machines, or one service's workers."""
    total: int = 10_000
    """Per process."""


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """Different plans followed at once. Each plan of a tail (`/api/tail`) counts as one more."""

    per_address: int = 2_048
    """Half of the process's total, so that one network can't lock out all others."""
    per_principal: int = 1_024
    """One tail with the most plans it may have, or four connections full of different plans."""
    total: int = 4_096
    """Per process."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Requests a second, on average. `hub.core.rates` has the requests that count as more than one, or as less."""

    per_address: float = 200.0
    """A company behind one address whose pages all reconnect at once has ten seconds' worth for it."""
    per_principal: float = 50.0
    """More than any person clicks; a program that needs more must pause between its requests."""
    burst_seconds: float = 10.0
    """Seconds' worth of requests that may come at once."""


@dataclass(frozen=True, slots=True)
class OutletLimits:
    """How much written data may wait for one client, and for how long."""

    high_water: int = 256 * KIB
    """Bytes that may wait in the process for one client, plus the burst that crosses the mark; above it, the client is
    behind and gets more after it has read some. The largest event fits in it."""
    low_water: int = 64 * KIB
    """Below this, more is written, so that a connection never runs dry while there are events to send."""
    slow_seconds: float = 30.0
    """A client that reads nothing for this long is closed (4408); it may reconnect and resume."""
    send_buffer: int = 128 * KIB
    """SO_SNDBUF of each connection (the kernel doubles it). What waits there can't be taken back and does not count as
    read. A larger buffer only makes the events of a slow client older."""

    @property
    def peer_timeout_seconds(self) -> float:
        """TCP_USER_TIMEOUT: the kernel drops a peer that acknowledges nothing for this long, or reads nothing."""
        return self.slow_seconds + PARTING_SECONDS


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Sizes of one HTTP request and its response."""

    body_bytes: int = 1 * MIB
    """The largest append of the log: `MAX_APPEND_BYTES`."""
    batch_events: int = 256
    page_events: int = 1_000
    poll_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a hub."""

    session: SessionLimits = field(default_factory=SessionLimits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    outlet: OutletLimits = field(default_factory=OutletLimits)
    channel: ChannelLimits = field(default_factory=ChannelLimits)
    batch: BatchLimits = field(default_factory=BatchLimits)
    plans: PlanLimits = field(default_factory=PlanLimits)
    requests: RequestLimits = field(default_factory=RequestLimits)
    written_total: int = 512 * MIB
    """Bytes that may wait in this process for all slow clients together: see `hub.core.connections.WaterMarks`."""


LEAST_HIGH_WATER: Final = 16 * KIB


def water_marks(limits: Limits, connections: int) -> tuple[int, int]:
    """The high and the low water mark of each outlet when this many connections are open."""
    share = limits.written_total // max(1, connections) - limits.channel.burst_bytes
    high = max(LEAST_HIGH_WATER, min(limits.outlet.high_water, share))
    return high, min(limits.outlet.low_water, high // 2)


_CONNECTION: Final = 24 * KIB
"""A connection before it does anything, on the most expensive transport."""
_SUBSCRIPTION: Final = 768
"""A subscriber with its entries in session, channel, and the counts of its address and its principal."""
_SNAPSHOT: Final = 1 * MIB
"""The fold keeps a snapshot to about this size for any plan."""
_CHANNEL: Final = 8 * KIB
"""A channel with its watch and its tasks, without its ring."""


def per_connection(limits: Limits) -> int:
    """The most bytes of process memory that one client can make the hub hold."""
    session = limits.session
    written = limits.outlet.high_water + max(limits.channel.burst_bytes + MAX_EVENT_BYTES, _SNAPSHOT)
    return _CONNECTION + written + session.frame_bytes * 2 + session.subscriptions * _SUBSCRIPTION


def per_plan(limits: Limits) -> int:
    """The most bytes of process memory for one followed plan: its ring and as many bytes of early arrivals, the ring of
    whole messages and the text withheld for them, the pages and the snapshot read last, and a running read of the log."""
    kept = limits.channel.ring_bytes * 3 + WITHHELD_BYTES + limits.channel.burst_bytes * 4 + _SNAPSHOT
    return _CHANNEL + kept + MAX_APPEND_BYTES


def per_process(limits: Limits) -> int:
    """The most bytes that all clients and all followed plans together can make the process hold."""
    connections = limits.connections.total
    high, _ = water_marks(limits, connections)
    each = per_connection(limits) - limits.outlet.high_water + high
    return connections * each + limits.plans.total * per_plan(limits)


def bounds(limits: Limits) -> str:
    """The totals of the limits as text, for `plancast serve` and the logs."""
    connections, plans = limits.connections, limits.plans
    return (
        f"memory per connection at most {_size(per_connection(limits))} ({_size(_CONNECTION)} when idle), "
        f"per plan {_size(per_plan(limits))};\n"
        f"at most {connections.total:,} connections ({connections.per_address:,} per address, "
        f"{connections.per_principal:,} per principal) and {plans.total:,} plans ({plans.per_address:,} per address, "
        f"{plans.per_principal:,} per principal);\n"
        f"process at most {_size(per_process(limits))}, if every one of them were full"
    )


def _size(count: int) -> str:
    for unit, size in (("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 10 * size else f"{count / size:.0f} {unit}"
    return f"{count} bytes"
