"""A plan that is watched through a hub: who wants to hear of it, and what they were told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from broadcasters.log.contract import Watch, Watcher
from broadcasters.log.http.tail_line import Arrived
from broadcasters.position import Position

__all__ = ["Hold", "WatchedPlan"]

_logger = logging.getLogger("plancast.log")
_BEGINNING = Position("", 0)


class Hold(Watch):
    """A watcher's hold on a plan."""

    def __init__(self, plan: WatchedPlan, watcher: Watcher, release: Callable[[Hold], None]) -> None:
        self.plan = plan
        self.watcher = watcher
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._release = release

    async def close(self) -> None:
        self._release(self)


class WatchedPlan:
    """Told of appends while it stands; `holds` hear of them, `waiting` become holds when it stands."""

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        self.holds: list[Hold] = []
        self.waiting: list[Hold] = []
        self.told = _BEGINNING
        """Up to here the holds know the story, while it stands."""
        self.standing = False
        self.refused = False
        """The hub won't have it watched (any more)."""

    def take(self, hold: Hold) -> None:
        self.refused = False
        if self.standing:
            self.holds.append(hold)
            hold.stands.set_result(None)
        else:
            self.waiting.append(hold)

    def release(self, hold: Hold) -> bool:
        """Whether nobody is left."""
        for holds in (self.holds, self.waiting):
            if hold in holds:
                holds.remove(hold)
        return not self.holds and not self.waiting

    # ---- what becomes of it

    def stand(self, place: Position) -> None:
        """It is on a line that tells what follows `place`; whoever held it while it was lost is told to compare."""
        self.standing, self.told = True, place
        back, new, self.waiting = tuple(self.holds), self.waiting, []
        self.holds += new
        for hold in new:
            if not hold.stands.done():
                hold.stands.set_result(None)
        for hold in back:
            self._call(hold, hold.watcher.resumed)

    def fall(self) -> None:
        """The line is gone."""
        if self.standing:
            self.standing = False
            self._tell(lambda watcher: watcher.lost())

    def fail(self, why: Exception) -> None:
        """Whoever still waits is not kept waiting."""
        waiting, self.waiting = self.waiting, []
        for hold in waiting:
            if not hold.stands.done():
                hold.stands.set_exception(why)
                hold.stands.exception()  # whoever waits gets it; if nobody does, that is nobody's mistake

    # ---- what is told of it

    def arrived(self, said: Arrived) -> None:
        last = said.first + len(said.payloads) - 1
        if not said.payloads or (said.epoch == self.told.epoch and last <= self.told.offset):
            return
        self.told = Position(said.epoch, last)
        self._tell(lambda watcher: watcher.arrived(said.epoch, said.first, said.payloads))

    def deleted(self) -> None:
        self.told = _BEGINNING
        self._tell(lambda watcher: watcher.deleted())

    def missed(self) -> None:
        """Something may be missing: they are to compare heads."""
        self._tell(lambda watcher: watcher.lost())
        self._tell(lambda watcher: watcher.resumed())

    def say(self, word: str) -> None:
        """What the hub's own tail was told."""
        match word:
            case "lost":
                self.fall()
            case "resumed":
                self.stand(self.told)
            case "deleted":
                self.deleted()
            case _:
                pass

    def _tell(self, tell: Callable[[Watcher], Any]) -> None:
        for hold in tuple(self.holds):
            self._call(hold, lambda hold=hold: tell(hold.watcher))  # type: ignore[misc]

    def _call(self, hold: Hold, tell: Callable[[], Any]) -> None:
        try:
            tell()
        except Exception:
            _logger.exception("a watcher of %s raised", hold.plan.plan_id)
