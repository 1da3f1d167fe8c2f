"""`Work`: what a program without an engine does to a plan that people can stop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from broadcasters.asking import OpenQuestions, Reading
from broadcasters.errors import InvalidEvent, LogUnavailable, PlanBusy, PlanCancelled, PlancastError
from broadcasters.event_bytes import is_type
from broadcasters.events import (
    STEP_ENDED,
    PlanEvent,
    PlanUpdate,
    SignalName,
    StepUpdate,
    WorkerUpdate,
    build,
    parse,
)
from broadcasters.log.follow import Received
from broadcasters.position import Position
from broadcasters.signals import PlanReader, SignalRequest, acknowledgement
from broadcasters.snapshot import Snapshot, WorkerStatus
from broadcasters.supervision import Supervisor
from broadcasters.workers import begin_key, works_now

__all__ = ["EVERY_SIGNAL", "Work", "WorkOutlets", "signals_after"]

T = TypeVar("T")

EVERY_SIGNAL: Final[tuple[SignalName, ...]] = ("cancel", "pause", "resume")
REST_S: Final = 0.5
"""Pause before the log is followed again."""
END_S: Final = 5.0
"""How long the end of the work waits until it is reported."""


@dataclass(frozen=True, slots=True)
class WorkOutlets:
    """What a broadcaster provides to `Work`."""

    send: Callable[[PlanEvent, str | None], Awaitable[Position]]
    following: Reading
    questions: OpenQuestions


class Work:
    """The work of one program on one plan. Made by `Broadcaster.working`; use it as a context manager.

    Attributes:
        plan_id: The plan.
        worker_id: The id of this worker, unique.
    """

    def __init__(
        self,
        outlets: WorkOutlets,
        plan_id: str,
        worker_id: str,
        *,
        name: str | None,
        lease: float,
        obeys: Sequence[SignalName],
        take_over: bool,
    ) -> None:
        self.plan_id, self.worker_id = plan_id, worker_id
        known_as = name or f"{socket.gethostname()}:{os.getpid()}"
        fields = {"name": known_as, "lease_s": float(lease), "obeys": [*obeys]}
        self._begun = build(WorkerUpdate, {**fields, "plan_id": plan_id, "worker_id": worker_id, "state": "begun"})
        self._named, self._lease, self._take_over = name is not None, lease, take_over
        self._outlets = outlets
        self._supervisor = Supervisor()
        self._requests: asyncio.Queue[SignalRequest] = asyncio.Queue()
        self._followers: list[asyncio.Queue[SignalRequest]] = []
        self._cancelled: SignalRequest | None = None
        self._going = asyncio.Event()
        self._going.set()
        self._stopping = asyncio.Event()
        self._lost_to: str | None = None
        self._offset = 0
        """That of the event with which this work began."""

    # ---- the state

    @property
    def cancelled(self) -> bool:
        """Whether someone has cancelled the plan. Nothing is interrupted: check it, or call `checkpoint`."""
        return self._cancelled is not None

    @property
    def paused(self) -> bool:
        """Whether the plan is paused."""
        return not self._going.is_set()

    @property
    def taken_over(self) -> bool:
        """Whether another worker has begun to work on the plan."""
        return self._lost_to is not None

    async def checkpoint(self) -> None:
        """Wait while the plan is paused. Call it wherever the work can stop.

        Raises:
            PlanCancelled: The plan was cancelled. Let it pass: the block of `working` ends with it, and reports the end.
            PlanBusy: Another worker has taken the plan over.
        """
        await self._going.wait()
        self.check()

    @asynccontextmanager
    async def interrupting(self) -> AsyncGenerator[None]:
        """Cancel what the block awaits when the plan is cancelled, and raise `PlanCancelled` instead.

        Raises:
            PlanCancelled: The plan was cancelled.
            PlanBusy: Another worker has taken the plan over.

        Example:
            async with broadcaster.working("plan-1") as work, work.interrupting():
                await agent.run()
        """
        self.check()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        before, interrupted = task.cancelling(), False

        async def interrupt() -> None:
            nonlocal interrupted
            await self._stopping.wait()
            interrupted = True
            task.cancel()

        watching = self._supervisor.run(f"interrupting the work on plan {self.plan_id}", interrupt())
        try:
            yield
        except asyncio.CancelledError:
            if interrupted and task.cancelling() <= before + 1:
                self.check()
            raise
        finally:
            watching.cancel()
            if interrupted:
                task.uncancel()

    async def unless_cancelled(self, work: Awaitable[T]) -> T:
        """Wait for something that may take long, such as a person's answer, or until the plan is cancelled.

        Returns:
            What the awaitable returns.

        Raises:
            PlanCancelled: The plan was cancelled; the awaitable is cancelled, too.
            PlanBusy: Another worker has taken the plan over.

        Example:
            city = await work.unless_cancelled(broadcaster.ask(work.plan_id, "Which city?", key="city"))
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.check()
            return await task
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def signals(self) -> AsyncGenerator[SignalRequest]:
        """Yield each request to the plan that arrives after this call, also one that this worker does not obey."""
        queue: asyncio.Queue[SignalRequest] = asyncio.Queue()
        self._followers.append(queue)
        return self._each(queue)

    async def _each(self, queue: asyncio.Queue[SignalRequest]) -> AsyncGenerator[SignalRequest]:
        try:
            while not self.taken_over:
                yield await queue.get()
        finally:
            self._followers.remove(queue)

    async def plan(self) -> Snapshot:
        """The plan as the log has it. Its `worker` is this one."""
        return await self._outlets.questions.plan(self.plan_id)

    def check(self) -> None:
        """Raise as `checkpoint`, without waiting."""
        if self._cancelled is not None:
            raise PlanCancelled(self.plan_id, self._cancelled.by)
        if self._lost_to is not None:
            raise PlanBusy(
                f"{self._lost_to} has taken over plan {self.plan_id!r}; this program must stop working on it"
            )

    # ---- beginning and end

    async def __aenter__(self) -> Self:
        before = await self._outlets.questions.plan(self.plan_id)
        self._refuse_if_busy(before)
        await self._send(self._begun, begin_key(before))
        worker = (await self._outlets.questions.plan(self.plan_id)).worker
        if worker is None or worker.worker_id != self.worker_id:  # another one began at the same moment
            raise _busy(self.plan_id, worker)
        self._offset = worker.offset
        self._outlets.questions.ended[self.plan_id] = False
        repeat = self._supervisor.repeat
        after = Position(await self._epoch(), worker.signals_after)
        reader = PlanReader(self._outlets.following, self.plan_id, after, self._requests.put_nowait, self._received)
        repeat(f"following plan {self.plan_id}", reader.turn, every=REST_S, first=0.0)
        repeat(f"signs of life for plan {self.plan_id}", self._live, every=self._lease / 3)
        repeat(f"signals of plan {self.plan_id}", self._obey, every=0.0, first=0.0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        await self._supervisor.close()
        self._outlets.questions.resume(self.plan_id)
        ended = self._outlets.questions.ended.pop(self.plan_id, False)
        try:
            async with asyncio.timeout(END_S):
                if not self.taken_over:
                    await self._end(ended=ended)
        except (PlancastError, TimeoutError):
            if error is None:
                raise
        return isinstance(error, PlanCancelled) and error.plan_id == self.plan_id

    async def _end(self, *, ended: bool) -> None:
        """Report that the program no longer works on the plan; before that, if it was cancelled, that it has stopped."""
        events: list[tuple[PlanEvent, str | None]] = []
        if (request := self._cancelled) is not None and not ended:
            plan = await self._outlets.questions.plan(self.plan_id)
            if plan.ended_at is None:
                events = [self._acknowledgement(request, plan), *((event, None) for event in _stopped(plan, request))]
        released = {"plan_id": self.plan_id, "worker_id": self.worker_id, "state": "released"}
        events.append((build(WorkerUpdate, released), None))
        await asyncio.gather(*(self._send(event, key) for event, key in events))

    def _refuse_if_busy(self, plan: Snapshot) -> None:
        worker = works_now(plan)
        same = worker is not None and self._named and worker.name == self._begun.name
        if worker is not None and not same and not self._take_over:
            raise _busy(self.plan_id, worker)

    async def _epoch(self) -> str:
        async with self._outlets.following() as log:
            return (await log.head(self.plan_id)).lineage.epoch

    async def _send(self, event: PlanEvent, key: str | None) -> None:
        await self._outlets.send(event, key)

    # ---- meanwhile

    async def _live(self) -> None:
        alive = {"plan_id": self.plan_id, "worker_id": self.worker_id, "state": "alive"}
        with suppress(LogUnavailable, TimeoutError):  # the next one may get through
            async with asyncio.timeout(self._lease / 3):
                await self._send(build(WorkerUpdate, alive), None)

    def _received(self, item: Received) -> None:
        if not is_type(item.payload, WorkerUpdate.type):
            return
        with suppress(InvalidEvent):
            event = parse(item.payload)
            if isinstance(event, WorkerUpdate) and event.state == "begun" and event.worker_id != self.worker_id:
                self._displaced(event, item.position.offset)

    def _displaced(self, other: WorkerUpdate, offset: int) -> None:
        if offset > self._offset:
            self._lost_to = other.name or other.worker_id
            self._stop()

    def _stop(self) -> None:
        """End all waits, also those of a paused plan."""
        self._stopping.set()
        self._going.set()

    async def _obey(self) -> None:
        request = await self._requests.get()
        for follower in self._followers:
            follower.put_nowait(request)
        if self._cancelled is not None or request.name not in (self._begun.obeys or ()):
            return
        match request.name:
            case "cancel":
                self._cancelled = request
                self._stop()
            case "pause" if not self.paused:
                self._going.clear()
                self._outlets.questions.pause(self.plan_id)
            case "resume" if self.paused:
                self._going.set()
                self._outlets.questions.resume(self.plan_id)
            case _:
                return
        await self._acknowledge(request)

    async def _acknowledge(self, request: SignalRequest) -> None:
        questions = self._outlets.questions
        plan = await questions.plan(self.plan_id)
        if plan.ended_at is not None or questions.ended.get(self.plan_id):  # another status would continue it
            return
        await questions.send_patiently(*self._acknowledgement(request, plan))

    def _acknowledgement(self, request: SignalRequest, plan: Snapshot) -> tuple[PlanEvent, str]:
        """The event that acknowledges a request. An event replaces the plan's data, so it repeats what is there, or has no
        data if both together are too large."""
        content, data = acknowledgement(request.name, request.by)
        status = self._outlets.questions.status(self.plan_id)
        known = {"plan_id": self.plan_id, "status": status, "content": content}
        event = build(PlanUpdate, {**known, "data": {**(plan.data or {}), **data}})
        try:
            event.payload(self.worker_id)
        except InvalidEvent:
            event = build(PlanUpdate, known)
        return event, f"~signal:{request.offset}"


def _busy(plan_id: str, worker: WorkerStatus | None) -> PlanBusy:
    who = "another program" if worker is None else f"{worker.name}, since {worker.since},"
    lease = "" if worker is None else f" (its lease is {worker.lease_s:g} s, last seen at {worker.seen_at})"
    return PlanBusy(f"{who} works on plan {plan_id!r}{lease}; wait for its end, or pass take_over=True")


def _stopped(plan: Snapshot, request: SignalRequest) -> list[PlanEvent]:
    """The ends of a plan that was cancelled, and of its steps."""
    text = f"Stopped by {request.by}"
    known = {"plan_id": plan.plan_id, "status": "cancelled", "content": text}
    steps = [step.step_id for step in plan.steps if step.status not in STEP_ENDED]
    data = {"signal": request.name, "state": "stopped", "by": request.by}
    ends: list[PlanEvent] = [build(StepUpdate, {**known, "step_id": step_id}) for step_id in steps]
    return [*ends, build(PlanUpdate, {**known, "data": data})]


async def signals_after(outlets: WorkOutlets, plan_id: str) -> AsyncGenerator[SignalRequest]:
    """Yield each request to the plan, from now on, as it arrives."""
    queue: asyncio.Queue[SignalRequest] = asyncio.Queue()
    async with outlets.following() as log:
        after = (await log.head(plan_id)).position
    supervisor = Supervisor()
    reader = PlanReader(outlets.following, plan_id, after, queue.put_nowait)
    supervisor.repeat(f"following plan {plan_id}", reader.turn, every=REST_S, first=0.0)
    try:
        while True:
            yield await queue.get()
    finally:
        await supervisor.close()
