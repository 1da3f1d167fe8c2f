"""The tail: one line from the hub for all the plans that are watched here.

When a plan more is watched, a line with all of them is opened beside the old one, and takes over once it stands: what
the old one had still to tell is read from the log (up to a page of it), so nobody notices. A line that breaks is opened
anew, with pauses; meanwhile its plans are lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from broadcasters.errors import LogError, LogMisconfigured, LogUnavailable
from broadcasters.log.contract import Head, Page, Watch, Watcher
from broadcasters.log.http.link import Link, Refused
from broadcasters.log.http.tail_line import Arrived, Said, TailLine
from broadcasters.log.http.watched import Hold, WatchedPlan
from broadcasters.supervision import Supervisor, pauses

__all__ = ["HttpTail"]

_logger = logging.getLogger("plancast.log")

MOST_PLANS: Final = 1_000
"""As many as a hub tells of on one line."""
LOOK_S: Final = 5.0
"""How often it is looked whether the line is the right one, although nothing has changed."""
LONGEST_PAUSE_S: Final = 2.0
CALM_S: Final = 10.0
"""After a line that stood for so long, pauses begin short again."""

Read = Callable[[str, int], Awaitable[Page]]


class HttpTail:
    """`open` it, `watch` plans, `close` it. `read` reads a page behind an offset of a plan."""

    def __init__(self, link: Link, read: Read) -> None:
        self._link = link
        self._read = read
        self._plans: dict[str, WatchedPlan] = {}
        self._changed = asyncio.Event()
        self._opened = False
        self._tries, self._began = pauses(LONGEST_PAUSE_S), 0.0
        self.supervisor = Supervisor()
        self._listening: asyncio.Task[None] | None = None
        self._line: TailLine | None = None
        self._placed: set[WatchedPlan] = set()  # on that line

    def open(self) -> None:
        """A line is opened when the first plan is watched."""
        self._opened = True
        self.supervisor.repeat("tail of a hub", self._keep, every=LOOK_S, wake=self._changed)

    async def close(self) -> None:
        """Nobody is told anything any more."""
        self._opened = False
        await self.supervisor.close()
        plans, self._plans = self._plans, {}
        for plan in plans.values():
            plan.holds.clear()
            plan.fail(LogUnavailable("the log was closed"))
        await self._leave_line()

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        if not self._opened:
            raise LogUnavailable(f"the log at {self._link.address} is not open")
        if plan_id not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                raise LogMisconfigured(f"through a hub, at most {MOST_PLANS} plans are watched at once")
            self._plans[plan_id] = WatchedPlan(plan_id)
        hold = Hold(self._plans[plan_id], watcher, self._release)
        hold.plan.take(hold)
        self._changed.set()
        try:
            await hold.stands
        except BaseException:
            self._release(hold)
            raise
        return hold

    def _release(self, hold: Hold) -> None:
        if hold.plan.release(hold) and self._plans.get(hold.plan.plan_id) is hold.plan:
            del self._plans[hold.plan.plan_id]
            self._changed.set()

    # ---- keeping a line

    async def _keep(self) -> None:
        wanted = [plan for plan in self._plans.values() if not plan.refused]
        if not wanted:
            await self._leave_line()
        elif not self._serves(wanted):
            now = asyncio.get_running_loop().time()
            if self._line is None and now - self._began > CALM_S:
                self._tries = pauses(LONGEST_PAUSE_S)
            self._began = now
            if not await self._renew_or_tell(wanted):
                await asyncio.sleep(next(self._tries))
                self._changed.set()

    def _serves(self, wanted: list[WatchedPlan]) -> bool:
        """The line tells of all of them, and not mostly of others."""
        line = self._line
        return line is not None and self._placed.issuperset(wanted) and len(line.heads) <= 2 * len(wanted) + 8

    async def _renew_or_tell(self, wanted: list[WatchedPlan]) -> bool:
        """As `_renew`; an unexpected error fails the waiting calls, and is raised."""
        try:
            return await self._renew(wanted)
        except Exception as error:
            await self._leave_line()
            self._fall()
            self._failed(LogUnavailable(f"the tail of {self._link.address} failed: {error!r}"))
            raise

    async def _renew(self, wanted: list[WatchedPlan]) -> bool:
        """Whether a line tells of all of them now."""
        try:
            fresh = await TailLine.open(self._link, [plan.plan_id for plan in wanted])
        except Refused as refused:
            self._refused(refused)
            return False
        except LogError as error:
            self._failed(error)
            return False
        await self._leave_line()
        self._line, self._placed = fresh, set()
        try:
            for plan in wanted:
                if self._plans.get(plan.plan_id) is plan:  # it may have been left meanwhile
                    await self._place(plan, fresh.heads[plan.plan_id])
                    self._placed.add(plan)
        except (LogError, Refused) as error:
            _logger.warning("the tail of %s can't go on: %s", self._link.address, error)
            await self._leave_line()
            self._fall()
            return False
        self._listening = self.supervisor.run("listening to a hub", self._listen(fresh))
        return True

    def _refused(self, refused: Refused) -> None:
        """A plan that may not be watched must not keep the others from it."""
        error = refused.refusal.error(refused.about)
        plan = self._plans.get(refused.refusal.plan_id)
        if plan is None:
            self._failed(error)
            return
        plan.refused = True
        plan.fail(error)
        if plan.holds:
            _logger.warning("plan %s is not told of any more: %s", plan.plan_id, error)

    def _failed(self, error: Exception) -> None:
        for plan in list(self._plans.values()):
            plan.fail(type(error)(*error.args))

    async def _place(self, plan: WatchedPlan, head: Head) -> None:
        """The plan goes on by the new line, which tells what follows `head`; and the old one told less, or more."""
        if not plan.standing:
            plan.stand(head.position)
            return
        told = plan.told
        if told.epoch == head.lineage.epoch and told.offset >= head.offset:
            return
        page = await self._read(plan.plan_id, told.offset)
        now = page.head
        verdict = now.lineage.continuity(told, now.offset, now.floor)
        if verdict == "ok":
            plan.arrived(Arrived(plan.plan_id, now.lineage.epoch, page.first, page.payloads))
            if plan.told.offset >= head.offset:
                return
        elif verdict == "epoch":
            plan.deleted()
        plan.told = now.position
        plan.missed()

    # ---- listening to it

    async def _listen(self, line: TailLine) -> None:
        try:
            async for said in line.listen():
                if (plan := self._plans.get(said.plan_id)) is None:
                    continue
                if isinstance(said, Said):
                    plan.say(said.word)
                else:
                    plan.arrived(said)
        except LogError as error:
            _logger.info("a tail of %s broke: %s", self._link.address, error)
        except Exception as error:  # whatever it is, the watchers must hear that the line is gone
            _logger.warning("the tail of %s can't be understood: %r", self._link.address, error)
        self._line = None
        self._fall()
        self._changed.set()
        with suppress(LogError):
            await line.close()

    async def _leave_line(self) -> None:
        listening, self._listening = self._listening, None
        line, self._line = self._line, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        if line is not None:
            with suppress(LogError):
                await line.close()

    def _fall(self) -> None:
        for plan in list(self._plans.values()):
            plan.fall()
