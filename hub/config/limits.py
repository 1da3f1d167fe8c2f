"""How much of everything one client, one plan and one process may use, and why that much.

Every queue and table of the hub is bounded by a number that stands here. `bounds` says what they come to.
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
    "TokenBucket",
    "Waters",
    "bounds",
    "per_connection",
    "per_plan",
    "per_process",
]


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """The bounds of one channel, and its patience."""

    ring_bytes: int = 512 * 1024
    """About two thousand frames: half a minute of a plan that talks fast, for those who lag or come back."""
    ring_events: int = 2048
    burst_bytes: int = 64 * 1024
    """A subscriber that is behind gets about this much at a time, so that a thousand of them share the loop."""
    merge_after: int = 256
    """Further behind than this many events, streamed text is merged: nobody reads 256 tokens one by one."""
    snapshot_after: int = 10_000
    """Further behind than this, whoever understands positions gets a snapshot and goes on from there: it is less to
    send and less to read than the events."""
    join_patience: float = 5.0
    """A subscription that the log keeps waiting for longer is refused, to be tried again."""
    fold_patience: float = 2.0
    """A subscriber that gets streamed messages whole waits this long to be placed until it is known which are under way."""


KIB: Final = 1024
MIB: Final = 1024 * KIB
WITHHELD_BYTES: Final = 512 * KIB
"""Text withheld of all streamed messages of a plan together; beyond it the oldest is sent as far as it is known."""
PARTING_SECONDS: Final = 15.0
"""A client that takes nothing has this long to hear why it is closed."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one connection may ask for."""

    subscriptions: int = 256
    """A page shows a handful of plans; a wall of them a hundred. What needs more opens a second socket."""
    frames_per_second: float = 20.0
    """A person clicks twice a second; a page that comes back subscribes to everything at once: hence the burst."""
    frames_burst: int = 512
    """Twice the subscriptions: a front end may well ask for each of its plans two times over."""
    bytes_per_second: float = 64 * KIB
    bytes_burst: int = 512 * KIB
    frame_bytes: int = 64 * KIB
    """A person's answer fits in it many times over. What agents publish comes over HTTP, at up to 256 KiB an event."""
    frame_fragments: int = 64
    """A fragment costs memory even when it is empty."""
    unauthenticated_seconds: float = 5.0
    """Long enough to send `authenticate` from a phone on a train, too short to collect sockets."""
    unauthenticated_bytes: int = 16 * KIB
    """A token and its frame, twice."""
    idle_seconds: float = 600.0
    """No subscription and no frame for this long: nobody is there. Pings of the protocol don't count."""
    bad_frames: int = 16
    """Frames in a row that make no sense, until the client is taken for a stranger (4500)."""
    pending_requests: int = 32
    """Inputs and signals of one connection that wait for the log or the engine."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be at once. SSE streams and long polls count as well."""

    per_address: int = 1_000
    """A company behind one address, each of its people with a few tabs. An IPv6 address counts as its /64."""
    per_principal: int = 100
    """One person's tabs and machines, or one service's workers."""
    total: int = 10_000
    """Requests a second in the long run. `hub.core.rates` says what counts as more than one, or as less."""


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How many different plans may be followed at once. Each plan of a tail (`/api/tail`) counts as one more."""

    per_address: int = 2_048
    """Half of the process: one network can't keep all others from theirs."""
    per_principal: int = 1_024
    """One tail of as many plans as it may have, or four connections full of different ones."""
    total: int = 4_096
    """Per process."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Requests a second in the long run. `hub.core.rates` says what counts as more than one, or as less."""

    per_address: float = 200.0
    """A company behind one address whose pages all come back at once has ten seconds' worth for it."""
    per_principal: float = 50.0
    """Nobody clicks so often; a program that asks more often waits a little between its questions."""
    burst_seconds: float = 10.0
    """So many seconds' worth may be asked for at once."""


@dataclass(frozen=True, slots=True)
class OutletLimits:
    """How far one client may lag behind what was written to it."""

    high_water: int = 256 * KIB
    """So much waits in the process for one client at most (and the burst that crossed the mark); beyond it, the client
    is behind and gets more when it took some. The largest event fits in it."""
    low_water: int = 64 * KIB
    """With this little left, more is written: a line never runs dry while there is something to say."""
    slow_seconds: float = 30.0
    """A client that takes nothing for this long is closed (4408) and may come back to its place."""
    send_buffer: int = 128 * KIB
    """SO_SNDBUF of each connection (the kernel doubles it): what waits there is out of our hands, and does not count
    as taken. Larger only makes a slow reader's story older."""

    @property
    def peer_timeout_seconds(self) -> float:
        """TCP_USER_TIMEOUT: a peer that acknowledges nothing for this long is dead, whatever its socket says. To the kernel
        so is one that reads nothing."""
        return self.slow_seconds + PARTING_SECONDS


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one HTTP request may weigh."""

    body_bytes: int = 1 * MIB
    """As much as one append takes: `MAX_APPEND_BYTES` of the log."""
    batch_events: int = 256
    page_events: int = 1_000
    poll_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """All of them. `written_total` is the bound that makes a process's memory one: see `Waters`."""

    session: SessionLimits = field(default_factory=SessionLimits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    outlet: OutletLimits = field(default_factory=OutletLimits)
    channel: ChannelLimits = field(default_factory=ChannelLimits)
    batch: BatchLimits = field(default_factory=BatchLimits)
    plans: PlanLimits = field(default_factory=PlanLimits)
    requests: RequestLimits = field(default_factory=RequestLimits)
    written_total: int = 512 * MIB
    """What waits in this process for all slow clients together."""


class Waters:
    """The water marks of every outlet of a process, shared by all of them and lower the more there are.

    So what waits for slow clients is bounded for the process without adding it up: connections x `high`, and one burst
    each, is never more than `written_total` allows (until there are so many that `LEAST` each is more). A snapshot is
    handed to whoever has room, and weighs what it weighs.
    """

    __slots__ = ("_limits", "high", "low")
    LEAST: Final = 16 * KIB

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.share(1)

    def share(self, connections: int) -> None:
        """Tell how many connections are open now, whenever that changes."""
        outlet = self._limits.outlet
        share = self._limits.written_total // max(1, connections) - self._limits.channel.burst_bytes
        self.high = max(self.LEAST, min(outlet.high_water, share))
        self.low = min(outlet.low_water, self.high // 2)


class TokenBucket:
    """So much at once, and so much a second. Knows no clock: the time, in seconds and never going back, is given."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Take the amount if there is as much; otherwise take nothing."""
        level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now
        self._level = level - amount if (enough := level >= amount) else level
        return enough

    def owe(self, amount: float, now: float) -> None:
        """Take the amount, whether or not there is as much: what is missing has to flow in before anybody can take more."""
        self._level = min(self.burst, self._level + (now - self._at) * self.rate) - amount
        self._at = now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; infinite if it never can."""
        if amount > self.burst:
            return float("inf")
        missing = amount - min(self.burst, self._level + (now - self._at) * self.rate)
        return max(0.0, missing / self.rate) if self.rate else (0.0 if missing <= 0 else float("inf"))


_CONNECTION: Final = 24 * KIB
"""A connection before it does anything, on the heavier of the transports."""
_SUBSCRIPTION: Final = 768
"""A subscriber with its entries in session and channel, and in the counts of its address and its principal."""
_SNAPSHOT: Final = 1 * MIB
"""A folded plan is kept to about this, whatever happened in it."""
_CHANNEL: Final = 8 * KIB
"""A channel with its watch and its tasks, without its ring."""


def per_connection(limits: Limits) -> int:
    """Bytes of process memory that one client can make the hub hold, at most."""
    session = limits.session
    written = limits.outlet.high_water + max(limits.channel.burst_bytes + MAX_EVENT_BYTES, _SNAPSHOT)
    return _CONNECTION + written + session.frame_bytes * 2 + session.subscriptions * _SUBSCRIPTION


def per_plan(limits: Limits) -> int:
    """Bytes of process memory for one followed plan, at most: its ring and as much that came too early for it, the same
    events with whole messages and what is withheld for these, the pages and the snapshot that were read last, and a read
    from the log under way."""
    kept = limits.channel.ring_bytes * 3 + WITHHELD_BYTES + limits.channel.burst_bytes * 4 + _SNAPSHOT
    return _CHANNEL + kept + MAX_APPEND_BYTES


def per_process(limits: Limits) -> int:
    """Bytes that all clients and all followed plans together can make the process hold, at most."""
    connections = limits.connections.total
    waters = Waters(limits)
    waters.share(connections)
    each = per_connection(limits) - limits.outlet.high_water + waters.high
    return connections * each + limits.plans.total * per_plan(limits)


def bounds(limits: Limits) -> str:
    """What the limits come to, in words, for whoever starts the hub and for the logs."""
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
