"""Positions up to which a page has a plan: the page sends none, and opens its socket right after it got the plan.

The hub keeps the position that it gave with the plan, and the one that it had sent when a socket was cut. The next socket of
the same user for the same plan continues from there. A socket without such a position (this hub was restarted, or another
one gave the plan) begins at the head; shortly after the hub's start, with what began since.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from broadcasters.position import Position

__all__ = ["Places"]

GIVEN_SECONDS: Final = 15.0
"""How long after it got the plan a page may open its socket."""
CUT_SECONDS: Final = 120.0
"""How long after a cut a page may reconnect: its last attempt comes after 31 s."""
SOCKETS: Final = 16
"""Positions kept for one user and plan."""
KEPT: Final = 4_096
"""Users and plans with positions."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Positions with the time until which they are kept, oldest first."""

    given: deque[tuple[float, Position]] = field(default_factory=lambda: deque(maxlen=SOCKETS))
    cut: deque[tuple[float, Position]] = field(default_factory=lambda: deque(maxlen=SOCKETS))


class Places:
    """Positions by user and plan. Each one is for one socket."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def given(self, user: str, plan_id: str, position: Position) -> None:
        """A page got the plan up to this position."""
        self._of(user, plan_id).given.append((self._clock() + GIVEN_SECONDS, position))

    def cut(self, user: str, plan_id: str, position: Position) -> None:
        """A page's socket was cut after everything up to this position."""
        self._of(user, plan_id).cut.append((self._clock() + CUT_SECONDS, position))

    def take(self, user: str, plan_id: str) -> Position | None:
        """Where the socket of a page continues; None if that is unknown."""
        kept = self._kept.get((user, plan_id), _Kept())
        for places in (kept.given, kept.cut):
            while places:
                until, position = places.popleft()
                if until >= self._clock():
                    return position
        return None

    def _of(self, user: str, plan_id: str) -> _Kept:
        kept = self._kept[user, plan_id] = self._kept.pop((user, plan_id), _Kept())
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept
