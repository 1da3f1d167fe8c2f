"""The tail: one stream from the hub for all plans that are watched here.

When another plan is watched, a stream with all of them is opened, and replaces the old one once the hub has confirmed it:
events that the old one had not delivered yet are read from the log (up to one page), so watchers don't notice. A stream
that breaks is opened again after growing pauses; meanwhile its plans are lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from broadcasters.errors import LogError, LogMisconfigured, LogUnavailable, PlancastError
from broadcasters.log.contract import Head, Page, Watch, Watcher
from broadcasters.log.http.link import HubLink, HubRefused
from broadcasters.log.http.tail_stream import TailState, TailStream
from broadcasters.log.watched import Hold, WatchedPlan
from broadcasters.position import Position
from broadcasters.supervision import Supervisor, pauses

__all__ = ["HttpTail"]

_logger = logging.getLogger("plancast.log")

MOST_PLANS: Final = 1_000
"""Plans that a hub allows on one stream."""
CHECK_S: Final = 5.0
"""How often to check whether the stream serves the watched plans, even if nothing has changed."""
LONGEST_PAUSE_S: Final = 2.0
CALM_S: Final = 10.0
"""After a stream that was open for so long, pauses begin short again."""
_BEGINNING: Final = Position("", 0)

Read = Callable[[str, int], Awaitable[Page]]


class HttpTail:
    """`open` it, `watch` plans, `close` it. `read` reads the page after an offset of a plan."""

    def __init__(self, link: HubLink, read: Read) -> None:
        self._link = link
        self._read = read
        self._plans: dict[str, _HttpPlan] = {}
        self._changed = asyncio.Event()
        self._opened = False
        self._tries, self._began = pauses(LONGEST_PAUSE_S), 0.0
        self.supervisor = Supervisor()
        self._listening: asyncio.Task[None] | None = None
        self._stream: TailStream | None = None
        self._served: set[_HttpPlan] = set()  # by that stream

    def open(self) -> None:
        """Allow watches. The first one opens a stream."""
        self._opened = True
        self.supervisor.repeat("tail of a hub", self._keep, every=CHECK_S, wake=self._changed)

    async def close(self) -> None:
        self._opened = False
        await self.supervisor.close()
        plans, self._plans = self._plans, {}
        for plan in plans.values():
            plan.end(LogUnavailable("the log was closed"))
        await self._leave_stream()

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        """Call the watcher for every later append; returns once the hub has confirmed that."""
        if not self._opened:
            raise LogUnavailable(f"the log at {self._link.address} is not open")
        if plan_id not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                raise LogMisconfigured(f"at most {MOST_PLANS} plans can be watched at once through a hub")
            self._plans[plan_id] = _HttpPlan(plan_id, self._deserted)
        plan = self._plans[plan_id]
        hold = plan.take(watcher)
        self._changed.set()
        try:
            await hold.stands
        except BaseException:
            plan.release(hold)
            raise
        return hold

    def _deserted(self, plan: _HttpPlan) -> None:
        if self._plans.get(plan.plan_id) is plan:
            del self._plans[plan.plan_id]
            self._changed.set()

    # ---- keeping a stream open

    async def _keep(self) -> None:
        watched = [plan for plan in self._plans.values() if not plan.refused]
        if not watched:
            await self._leave_stream()
        elif not self._serves(watched):
            now = asyncio.get_running_loop().time()
            if self._stream is None and now - self._began > CALM_S:
                self._tries = pauses(LONGEST_PAUSE_S)
            self._began = now
            if not await self._renew_or_fail(watched):
                await asyncio.sleep(next(self._tries))
                self._changed.set()

    def _serves(self, watched: list[_HttpPlan]) -> bool:
        """Whether the stream has all of these plans, and not mainly others."""
        stream = self._stream
        return stream is not None and self._served.issuperset(watched) and len(stream.heads) <= 2 * len(watched) + 8

    async def _renew_or_fail(self, watched: list[_HttpPlan]) -> bool:
        """As `_renew`; an unexpected error fails the waiting calls, and is raised."""
        try:
            return await self._renew(watched)
        except Exception as error:
            await self._leave_stream()
            self._fall()
            self._fail_waiting(LogUnavailable(f"the tail of {self._link.address} failed: {error!r}"))
            raise

    async def _renew(self, watched: list[_HttpPlan]) -> bool:
        """Open a stream with all of these plans; False if that failed."""
        try:
            stream = await TailStream.open(self._link, [plan.plan_id for plan in watched])
        except HubRefused as refused:
            self._refused(refused)
            return False
        except LogError as error:
            self._fail_waiting(error)
            return False
        await self._leave_stream()
        self._stream, self._served = stream, set()
        try:
            for plan in watched:
                if self._plans.get(plan.plan_id) is plan:  # its last watcher may have left meanwhile
                    await self._move(plan, stream.heads[plan.plan_id])
                    self._served.add(plan)
        except (LogError, HubRefused) as error:
            _logger.warning("the tail of %s can't continue: %s", self._link.address, error)
            await self._leave_stream()
            self._fall()
            return False
        self._listening = self.supervisor.run("listening to a hub", self._listen(stream))
        return True

    def _refused(self, refused: HubRefused) -> None:
        """A refused plan must not keep the others from being watched."""
        plan = self._plans.get(refused.plan_id)
        if plan is None:
            self._fail_waiting(refused.error)
            return
        plan.refused = True
        if plan.holds:
            _logger.warning("plan %s can no longer be watched: %s", plan.plan_id, refused.error)
        self._fail(plan, refused.error)

    def _fail_waiting(self, error: PlancastError) -> None:
        for plan in list(self._plans.values()):
            self._fail(plan, error.copy())

    def _fail(self, plan: _HttpPlan, error: Exception) -> None:
        plan.fail(error)
        if not plan.held:
            self._deserted(plan)

    async def _move(self, plan: _HttpPlan, head: Head) -> None:
        """Serve the plan by the new stream, which delivers what follows `head`; the old one may have delivered less."""
        if not plan.standing:
            plan.stand_at(head.position)
            return
        reached = plan.position
        if reached.epoch == head.lineage.epoch and reached.offset >= head.offset:
            return
        page = await self._read(plan.plan_id, reached.offset)
        continuity = page.head.continuity(reached)
        if continuity == "ok":
            plan.arrived(page.head.lineage.epoch, page.first, page.payloads)
            if plan.position.offset >= head.offset:
                return
        elif continuity == "epoch":
            plan.deleted()
        plan.fall()
        plan.stand_at(page.head.position)

    # ---- listening to it

    async def _listen(self, stream: TailStream) -> None:
        try:
            async for item in stream.events():
                if (plan := self._plans.get(item.plan_id)) is None:
                    continue
                if isinstance(item, TailState):
                    plan.change(item.state)
                else:
                    plan.arrived(item.epoch, item.first, item.payloads)
        except LogError as error:
            _logger.info("a tail of %s broke: %s", self._link.address, error)
        except Exception as error:  # of any kind: the watchers' stream is gone
            _logger.warning("the tail of %s can't be parsed: %r", self._link.address, error)
        self._stream = None
        self._fall()
        self._changed.set()
        with suppress(LogError):
            await stream.close()

    async def _leave_stream(self) -> None:
        listening, self._listening = self._listening, None
        stream, self._stream = self._stream, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        if stream is not None:
            with suppress(LogError):
                await stream.close()

    def _fall(self) -> None:
        for plan in list(self._plans.values()):
            plan.fall()


class _HttpPlan(WatchedPlan):
    """A watched plan, and the position up to which its watchers have its events while it stands."""

    __slots__ = ("position", "refused")

    def __init__(self, plan_id: str, deserted: Callable[[_HttpPlan], None]) -> None:
        super().__init__(plan_id, deserted)
        self.position = _BEGINNING
        self.refused = False
        """The hub does not allow watching it."""

    def take(self, watcher: Watcher) -> Hold:
        self.refused = False
        return super().take(watcher)

    def stand_at(self, position: Position) -> None:
        self.position = position
        self.stand()

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        last = first + len(payloads) - 1
        if not payloads or (epoch == self.position.epoch and last <= self.position.offset):
            return
        self.position = Position(epoch, last)
        super().arrived(epoch, first, payloads)

    def deleted(self) -> None:
        self.position = _BEGINNING
        super().deleted()

    def change(self, state: str) -> None:
        """The state of the hub's own tail of this plan has changed."""
        match state:
            case "lost":
                self.fall()
            case "resumed":
                self.stand()
            case "deleted":
                self.deleted()
            case _:
                pass
