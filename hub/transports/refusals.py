"""Pages that are refused again and again: their sockets are held a while before they are closed.

A page sees the close code only of a socket that was open; and an old front end forgets, when a socket opens, how often it
has tried. Closed at once, it would come back every second for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from hub.core.shares import ConnectionCounts, TooManyConnections, network
from hub.wire.codes import CloseCode

__all__ = ["Held", "Refusals"]

FIRST_SECONDS: Final = 1.0
"""A page's first refusal is sent at once, the second after so long, and each later one after twice the time before."""
LONGEST_SECONDS: Final = 30.0
FORGET_SECONDS: Final = 120.0
"""A page that wasn't seen for this long begins anew."""
REMEMBERED: Final = 4_096
HELD: Final = 256
HELD_PER_ADDRESS: Final = 16


class Held:
    """What becomes of one socket that is refused. `accepted` (or the handshake is refused, of which a page sees no
    reason), it is closed by `end`, sooner or later after `begin`; `leave` when it has gone."""

    def __init__(self, end: Callable[[], None], *, accepted: bool = True) -> None:
        self.accepted = accepted
        self.left: Callable[[], None] | None = None
        """Set for one that takes a place."""
        self.seconds = 0.0
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self.seconds:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self.end)
        else:
            self.end()

    def end(self) -> None:
        """It was held long enough."""
        end = self._end
        self.leave()
        end()

    def leave(self) -> None:
        """It is held no more. Harmless when it left before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._end = None, _ended  # no cycle: the socket refers to this
        left, self.left = self.left, None
        if left is not None:
            left()


def _ended() -> None:
    """The socket was closed."""


class Refusals:
    """What was refused lately, and the sockets that are held for it: counted as connections, and bounded."""

    def __init__(self, present: ConnectionCounts) -> None:
        self._present = present
        self._times: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        """By address and origin: how often, and when last."""
        self._held: set[Held] = set()
        self._held_by: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, address: str | None, origin: str | None, code: CloseCode, end: Callable[[], None]) -> Held:
        """What to do with a socket that is refused with this code."""
        if origin is None or not 4500 <= code <= 4599:
            return Held(end)  # a program; or one that may come back, and waits by itself
        if not (seconds := self._seconds(network(address), origin)):
            return Held(end)
        if len(self._held) >= HELD or self._held_by[network(address)] >= HELD_PER_ADDRESS:
            return Held(end, accepted=False)
        try:
            entered = self._present.enter(address)
        except TooManyConnections:
            return Held(end, accepted=False)
        held = Held(end)
        held.seconds, held.left = seconds, partial(self._left, held, entered)
        self._held.add(held)
        self._held_by[entered] += 1
        return held

    def end_all(self) -> None:
        """Close them now: the hub is drained."""
        for held in list(self._held):
            held.end()

    def _left(self, held: Held, entered: str) -> None:
        self._held.discard(held)
        self._held_by -= Counter([entered])  # what comes to nothing is not kept
        self._present.leave(entered)

    def _seconds(self, address: str, origin: str) -> float:
        now = asyncio.get_running_loop().time()
        times, at = self._times.pop((address, origin), (0, now))
        times = 0 if now - at > FORGET_SECONDS else times
        self._times[address, origin] = times + 1, now
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(times - 1, 16)) if times else 0.0
