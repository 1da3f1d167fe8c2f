"""Asking and waiting: what every program does that asks a person, and `OpenQuestions`, which asks for a broadcaster.

A question is sent once, under its key, and its answer is looked for in the plan's log from the question on. So the answer
may arrive while the program waits or while it does not run, and through any hub. The first answer in the log counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeVar

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import Expired, InvalidEvent, LogUnavailable, PlancastError
from broadcasters.events import (
    PLAN_ENDED,
    STEP_ENDED,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanStatus,
    PlanUpdate,
    StepUpdate,
    build,
    check_plan_id,
    timestamp,
)
from broadcasters.log.answers import first_answer
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from broadcasters.questions import CLOCK, NO_DEFAULT, Answer, InputQuestion
from broadcasters.snapshot import InputState, Snapshot
from broadcasters.supervision import pauses

__all__ = ["OpenQuestions", "Reading", "SendKeyed", "answer_to", "digest_of", "key_of", "request_for", "resolved"]

MAX_KEY: Final = 200
LONGEST_PAUSE_S: Final = 2.0
STILL: Final = STEP_ENDED | {"waiting"}
"""Statuses of a step that a question leaves as they are: after an end, another status would begin another attempt."""
LEAVE_S: Final = 2.0
"""How long a program that stops waiting takes to report that."""

T = TypeVar("T")

SendKeyed = Callable[[PlanEvent, str], Awaitable[Position]]
"""Sends an event under a key."""
Reading = Callable[[], AbstractAsyncContextManager[PlanLog]]
"""Gives the log to read, such as `Broadcaster.reading`."""


# ---- what all have in common that ask


def digest_of(question: InputQuestion) -> str:
    """A short hash, the same for the same question."""
    content = json.dumps([question.kind, question.prompt, question.options, question.schema], default=str)
    return sha256(content.encode(errors="replace")).hexdigest()[:8]


def key_of(request_id: str) -> str:
    """The key under which a question is sent."""
    return f"ask:{request_id}"


def request_for(
    plan_id: str,
    request_id: str,
    question: InputQuestion,
    *,
    asked: bool,
    expires_at: str | None,
    step_id: str | None,
    agent_name: str | None,
) -> InputRequest:
    """The event that asks. One that was `asked` before keeps its `expires_at`; for another, the time begins now."""
    if not asked and question.expires_in is not None:
        expires_at = timestamp(datetime.now(UTC) + timedelta(seconds=question.expires_in))
    fields = {
        "plan_id": plan_id,
        "request_id": request_id,
        "kind": question.kind,
        "prompt": question.prompt,
        "options": None if question.options is None else list(question.options),
        "schema": question.schema,
        "step_id": step_id,
        "agent_name": agent_name,
        "expires_at": expires_at,
    }
    return build(InputRequest, fields)


async def answer_to(request: InputRequest, position: Position, send: SendKeyed, reading: Reading) -> Answer:
    """Wait for the first answer in the log to a request that was sent at `position`.

    When it expires, the clock answers too; whichever answer is first, counts."""
    answered = asyncio.ensure_future(_first_answer(request, position, send, reading))
    try:
        if request.expires_at is not None:
            left = (datetime.fromisoformat(request.expires_at) - datetime.now(UTC)).total_seconds()
            await asyncio.wait({answered}, timeout=max(0.0, left))
            if not answered.done():
                fields = {"plan_id": request.plan_id, "request_id": request.request_id, "by": CLOCK}
                await send(build(InputResponse, fields), f"answer:{request.request_id}")
        return await answered
    finally:
        answered.cancel()


async def _first_answer(request: InputRequest, position: Position, send: SendKeyed, reading: Reading) -> Answer:
    async def ask_again() -> None:
        await send(request, key_of(request.request_id))

    response = await first_answer(reading, request.plan_id, request.request_id, position, ask_again)
    return Answer(response.answer, response.by, response.at)


def resolved(question: InputQuestion, answer: Answer) -> Answer:
    """The answer; the question's default if it expired. Raises `Expired` if there is none."""
    if answer.by != CLOCK:
        return answer
    if question.default is NO_DEFAULT:
        raise Expired(question.prompt)
    return Answer(question.default, CLOCK, answer.at)


# ---- asking for a broadcaster


class OpenQuestions:
    """The questions that one broadcaster waits for.

    Args:
        send: Sends an event under a key, and raises `LogUnavailable` after its deadline.
        reading: Gives the log to read.
        following: Gives it to follow.
        next_id: Makes an id that no other program makes.
        deadline: Seconds for which the log is tried before `LogUnavailable` is raised.
    """

    def __init__(
        self, send: SendKeyed, reading: Reading, following: Reading, next_id: Callable[[], str], deadline: float
    ) -> None:
        self._send, self._reading, self._following = send, reading, following
        self._next_id, self._deadline = next_id, deadline
        self._open: dict[str, list[InputRequest]] = {}
        self._paused: set[str] = set()
        self.ended: dict[str, bool] = {}
        """Whether this program has ended the plan, for those that it works on."""

    def sending(self, event: PlanUpdate) -> None:
        """The broadcaster sends this event."""
        if event.plan_id in self.ended and event.step_id is None:
            self.ended[event.plan_id] = event.status in PLAN_ENDED

    def status(self, plan_id: str) -> PlanStatus:
        """The plan's status, as far as it depends on its open questions and on a pause."""
        return "waiting" if plan_id in self._paused or self._open.get(plan_id) else "in_progress"

    def pause(self, plan_id: str) -> None:
        """The plan waits until `resume`, whether or not questions are open."""
        self._paused.add(plan_id)

    def resume(self, plan_id: str) -> None:
        self._paused.discard(plan_id)

    async def ask(
        self, plan_id: str, question: InputQuestion, *, key: str | None, step_id: str | None, agent_name: str | None
    ) -> Answer:
        check_plan_id(plan_id)
        plan = await self.plan(plan_id)
        request_id = self._new_id(plan, question) if key is None else _checked(key)
        known = next((one for one in plan.inputs if one.request_id == request_id), None)
        request = request_for(
            plan_id,
            request_id,
            question,
            asked=known is not None,
            expires_at=None if known is None else known.expires_at,
            step_id=step_id,
            agent_name=agent_name,
        )
        answer = _answer_in(known)
        if answer is None:
            answer = await self._wait(request, plan)
        else:  # the program that asked may have ended before it reported that it goes on
            await self._report(plan, [*self._going_on(plan, request)])
        return resolved(question, answer)

    async def _wait(self, request: InputRequest, plan: Snapshot) -> Answer:
        waiting = [*self._waiting(plan, request)]
        here = self._open.setdefault(request.plan_id, [])
        here.append(request)
        try:
            sent = self._send(request, key_of(request.request_id))
            position, _ = await asyncio.gather(sent, self._report(plan, waiting))
            answer = await answer_to(request, position, self.send_patiently, self._following)
        except BaseException:
            self._leave(here, request)
            with suppress(PlancastError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._go_on(request)
            raise
        self._leave(here, request)
        await self._go_on(request)
        return answer

    def _leave(self, here: list[InputRequest], request: InputRequest) -> None:
        here[:] = [one for one in here if one is not request]
        if not here:
            self._open.pop(request.plan_id, None)

    def _new_id(self, plan: Snapshot, question: InputQuestion) -> str:
        """Of the same question, if that is open and this broadcaster does not wait for it."""
        prefix = f"{digest_of(question)}."
        here = {request.request_id for request in self._open.get(plan.plan_id, ())}
        for known in plan.inputs:
            if known.request_id.startswith(prefix) and known.answered_at is None and known.request_id not in here:
                return known.request_id
        return prefix + self._next_id()

    # ---- what is reported around it

    def _waiting(self, plan: Snapshot, request: InputRequest) -> Iterator[StepUpdate | PlanUpdate]:
        """The plan waits from its first open question on, and the step from its own first one."""
        here = self._open.get(plan.plan_id, ())
        step_id = request.step_id
        if step_id is not None and _status_of(plan, step_id) not in STILL and not _asked_by(step_id, here):
            fields = {"plan_id": plan.plan_id, "step_id": step_id, "status": "waiting", "content": request.prompt}
            yield build(StepUpdate, fields)
        if plan.status != "waiting" and not here:
            yield build(PlanUpdate, {"plan_id": plan.plan_id, "status": "waiting"})

    def _going_on(self, plan: Snapshot, request: InputRequest) -> Iterator[StepUpdate | PlanUpdate]:
        """Nothing for a plan that ended meanwhile."""
        here = self._open.get(plan.plan_id, ())
        step_id = request.step_id
        if step_id is not None and _status_of(plan, step_id) == "waiting" and not _asked_by(step_id, here):
            fields = {"plan_id": plan.plan_id, "step_id": step_id, "status": "in_progress", "content": ""}
            yield build(StepUpdate, fields)
        if plan.status == "waiting" and self.status(plan.plan_id) != "waiting":
            yield build(PlanUpdate, {"plan_id": plan.plan_id, "status": "in_progress"})

    async def _go_on(self, request: InputRequest) -> None:
        plan = await self.plan(request.plan_id)
        await self._report(plan, [*self._going_on(plan, request)])

    async def _report(self, plan: Snapshot, events: Sequence[StepUpdate | PlanUpdate]) -> None:
        """In one append. The keys belong to this moment: if two tasks report the same at once, one event is stored."""
        await asyncio.gather(*(self._send(event, _key_at(plan, event)) for event in events))

    # ---- the log

    async def plan(self, plan_id: str) -> Snapshot:
        """The plan as the log has it; retries until the deadline while the log is unavailable."""

        async def read() -> Snapshot:
            async with self._reading() as log:
                return (await snapshot_of(log, plan_id))[0]

        ends = asyncio.get_running_loop().time() + self._deadline
        for pause in pauses(LONGEST_PAUSE_S):
            try:
                return await read()
            except LogUnavailable:
                if asyncio.get_running_loop().time() + pause > ends:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("pauses() is infinite")

    async def send_patiently(self, event: PlanEvent, key: str) -> Position:
        """For a program that waits anyway."""
        for pause in pauses(LONGEST_PAUSE_S):
            try:
                return await self._send(event, key)
            except LogUnavailable:
                await asyncio.sleep(pause)
        raise AssertionError("pauses() is infinite")


def _answer_in(known: InputState | None) -> Answer | None:
    if known is None or known.answered_at is None:
        return None
    return Answer(known.answer, known.by, known.answered_at)


def _asked_by(step_id: str, requests: Sequence[InputRequest]) -> bool:
    return any(request.step_id == step_id for request in requests)


def _status_of(plan: Snapshot, step_id: str) -> str:
    return next((step.status for step in plan.steps if step.step_id == step_id), "pending")


def _key_at(plan: Snapshot, event: StepUpdate | PlanUpdate) -> str:
    about = sha256((event.step_id or "").encode()).hexdigest()[:8]
    return f"~{event.status}:{plan.offset}:{about}"


def _checked(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidEvent("key", f"expected 1 to {MAX_KEY} printable characters; got {key!r:.60}")
    return key
