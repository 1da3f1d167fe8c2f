"""Refused pages that retry: each socket is held open for a while before it is closed, longer each time.

A page sees the close code only of a socket that was opened, and an old front end resets its count of attempts whenever a
socket opens. If its sockets were closed at once, it would reconnect every second for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from hub.core.shares import ConnectionCounts, TooManyConnections, network
from hub.wire.codes import CloseCode

__all__ = ["HeldSocket", "Refusals"]

FIRST_SECONDS: Final = 1.0
"""A page's first refusal is sent at once, the second after this long, and each later one after twice the time before."""
LONGEST_SECONDS: Final = 30.0
FORGET_SECONDS: Final = 120.0
"""A page that did not connect for this long is treated as new."""
REMEMBERED: Final = 4_096
HELD: Final = 256
HELD_PER_ADDRESS: Final = 16


class HeldSocket:
    """A refused socket. If it is `accepted`, complete the handshake and call `begin`, which calls `end` at once or later;
    otherwise refuse the handshake, although a page then sees no reason. Call `leave` when the socket has closed."""

    def __init__(self, end: Callable[[], None], *, accepted: bool = True) -> None:
        self.accepted = accepted
        self.left: Callable[[], None] | None = None
        """Set if it counts as a connection."""
        self.seconds = 0.0
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self.seconds:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self.end)
        else:
            self.end()

    def end(self) -> None:
        """Closes the socket."""
        end = self._end
        self.leave()
        end()

    def leave(self) -> None:
        """Counts the socket no longer. May be called again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._end = None, _nothing  # breaks the cycle: the socket refers to this
        left, self.left = self.left, None
        if left is not None:
            left()


def _nothing() -> None:
    """Replaces `end` once the socket was closed."""


class Refusals:
    """Recent refusals by address and origin, and the held sockets. These count as connections; both are bounded."""

    def __init__(self, present: ConnectionCounts) -> None:
        self._present = present
        self._times: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        """By address and origin: how often it was refused, and when last."""
        self._held: set[HeldSocket] = set()
        self._held_by: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, address: str | None, origin: str | None, code: CloseCode, end: Callable[[], None]) -> HeldSocket:
        """Returns what to do with a socket that is refused with this code; `end` closes it."""
        if origin is None or not 4500 <= code <= 4599:
            return HeldSocket(end)  # a program, or a refusal that is not final: the client waits by itself
        if not (seconds := self._seconds(network(address), origin)):
            return HeldSocket(end)
        if len(self._held) >= HELD or self._held_by[network(address)] >= HELD_PER_ADDRESS:
            return HeldSocket(end, accepted=False)
        try:
            entered = self._present.enter(address)
        except TooManyConnections:
            return HeldSocket(end, accepted=False)
        held = HeldSocket(end)
        held.seconds, held.left = seconds, partial(self._left, held, entered)
        self._held.add(held)
        self._held_by[entered] += 1
        return held

    def end_all(self) -> None:
        """Closes all held sockets; the hub is being drained."""
        for held in list(self._held):
            held.end()

    def _left(self, held: HeldSocket, entered: str) -> None:
        self._held.discard(held)
        self._held_by -= Counter([entered])  # drops counts of zero
        self._present.leave(entered)

    def _seconds(self, address: str, origin: str) -> float:
        now = asyncio.get_running_loop().time()
        times, at = self._times.pop((address, origin), (0, now))
        times = 0 if now - at > FORGET_SECONDS else times
        self._times[address, origin] = times + 1, now
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(times - 1, 16)) if times else 0.0
