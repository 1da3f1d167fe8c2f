"""A plan with watchers in this process, as the tail of a log serves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from broadcasters.log.contract import Watch, Watcher
from broadcasters.supervision import fail_future

__all__ = ["Hold", "WatchedPlan"]

_logger = logging.getLogger("plancast.log")


class Hold(Watch):
    """One watcher's hold on a plan. `stands` resolves once the plan's tail serves it."""

    def __init__(self, plan: WatchedPlan, watcher: Watcher) -> None:
        self.plan = plan
        self.watcher = watcher
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self.plan.release(self)


class WatchedPlan:
    """The watchers of one plan: `holds` are served by its tail, `waiting` will be once the plan stands.

    A log subclasses it to add what its tail keeps per plan. Every method runs in the event loop. A watcher that raises
    is logged and does not disturb the others. `deserted` is called with the plan when its last watcher leaves.
    """

    __slots__ = ("_deserted", "holds", "plan_id", "standing", "waiting")

    def __init__(self, plan_id: str, deserted: Callable[[Any], None]) -> None:
        self.plan_id = plan_id
        self.standing = False
        """The tail forwards what is appended."""
        self.holds: tuple[Hold, ...] = ()
        self.waiting: tuple[Hold, ...] = ()
        self._deserted = deserted

    @property
    def held(self) -> bool:
        return bool(self.holds or self.waiting)

    def take(self, watcher: Watcher) -> Hold:
        """A hold for this watcher; await its `stands`."""
        hold = Hold(self, watcher)
        if self.standing:
            self.holds = (*self.holds, hold)
            hold.stands.set_result(None)
        else:
            self.waiting = (*self.waiting, hold)
        return hold

    def release(self, hold: Hold) -> None:
        """End a hold; releasing it twice is harmless."""
        if hold not in self.holds and hold not in self.waiting:
            return
        self.holds = tuple(other for other in self.holds if other is not hold)
        self.waiting = tuple(other for other in self.waiting if other is not hold)
        if not self.held:
            self._deserted(self)

    # ---- the state of the tail

    def stand(self) -> None:
        """The tail serves the plan: watchers it was lost to are `resumed`, and those waiting are let in."""
        if self.standing:
            return
        self.standing = True
        returning, waiting = self.holds, self.waiting
        self.holds, self.waiting = (*returning, *waiting), ()
        for hold in waiting:
            if not hold.stands.done():
                hold.stands.set_result(None)
        _call_each(returning, lambda watcher: watcher.resumed())

    def fall(self) -> None:
        """The tail no longer serves the plan: its watchers are called `lost`."""
        if self.standing:
            self.standing = False
            _call_each(self.holds, lambda watcher: watcher.lost())

    def fail(self, error: Exception) -> None:
        """Raise `error` in every caller that waits for the plan to stand."""
        waiting, self.waiting = self.waiting, ()
        for hold in waiting:
            fail_future(hold.stands, error)

    def end(self, error: Exception) -> None:
        """The log is closed: no watcher is called again, and callers that wait get `error`."""
        self.holds, self.standing = (), False
        self.fail(error)

    # ---- what the tail reports

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        for hold in self.holds:
            try:
                hold.watcher.arrived(epoch, first, payloads)
            except Exception:
                _log_raised(hold)

    def deleted(self) -> None:
        _call_each(self.holds, lambda watcher: watcher.deleted())


def _call_each(holds: Iterable[Hold], call: Callable[[Watcher], object]) -> None:
    for hold in holds:
        try:
            call(hold.watcher)
        except Exception:
            _log_raised(hold)


def _log_raised(hold: Hold) -> None:
    _logger.exception("a watcher of %s raised", hold.plan.plan_id)
