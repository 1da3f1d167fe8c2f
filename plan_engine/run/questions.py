"""Questions to people, and their answers.

A question is told once, whichever attempt asks it, and its answer is looked for in the plan's log, from the question
on: so it doesn't matter whether it comes while the agent waits, while no worker runs, or from which hub. The first
answer in the log is the answer. It is then recorded in the engine's database, and had from there after a restart.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from broadcasters.errors import LogUnavailable
from broadcasters.event_bytes import is_type
from broadcasters.events import InputRequest, InputResponse, build, timestamp
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Broken, Received, follow
from broadcasters.position import Position
from broadcasters.snapshot import decode
from broadcasters.snapshot_model import InputState
from plan_engine.errors import Expired
from plan_engine.run.context import NO_DEFAULT, Answer, Question
from plan_engine.run.step_reporter import Voice

__all__ = ["CLOCK", "AnswerBook", "Asked", "Questions"]

CLOCK: Final = "the clock"
"""Who answers a question that nobody answered in time."""
AGAIN_S: Final = 0.5


class AnswerBook(Protocol):
    """Where answers are kept for good."""

    async def keep_answer(self, plan_id: str, request_id: str, answer: Answer) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was told before this worker took the plan over."""

    expires_at: str | None = None


class Questions:
    """The questions of one step in one run. `answers` are those known already, `asked` what was told already."""

    def __init__(
        self, log: PlanLog, book: AnswerBook, answers: Mapping[str, Answer], asked: Mapping[str, Asked] | None = None
    ) -> None:
        self._log = log
        self._book = book
        self._answers = dict(answers)
        self._asked = asked or {}
        self._times: Counter[str] = Counter()
        self._awaited = 0

    def begin_attempt(self) -> None:
        """The same question counts as the same again, and keeps its answer."""
        self._times.clear()

    async def ask(self, voice: Voice, question: Question) -> Answer:
        request_id = self._name(voice, question)
        if (known := self._answers.get(request_id)) is None:
            with voice.resting():
                known = await self._put(voice, request_id, question)
            self._answers[request_id] = known
        if known.by != CLOCK:
            return known
        if question.default is NO_DEFAULT:
            raise Expired(question.prompt)
        return Answer(question.default, CLOCK, known.at)

    def _name(self, voice: Voice, question: Question) -> str:
        """The n-th time this very question is asked in an attempt: the same in every attempt."""
        told = json.dumps([question.kind, question.prompt, question.options, question.schema], default=str)
        digest = sha256(told.encode(errors="replace")).hexdigest()[:8]
        self._times[digest] += 1
        return f"{voice.step.id}.{digest}.{self._times[digest]}"

    async def _put(self, voice: Voice, request_id: str, question: Question) -> Answer:
        request = self._request(voice, request_id, question)
        place = await voice.tell_asked(request, f"ask:{request_id}")
        voice.retells = voice.retells and request_id in self._asked
        try:
            await self._wait(voice, +1, question.prompt)
            voice.retells = False
            answer = await self._answer(voice, request, place)
        finally:
            await self._wait(voice, -1)
        if not voice.closed:  # a step that was told to wait has an answer to wait for
            await self._book.keep_answer(voice.plan_id, request_id, answer)
        return answer

    async def _wait(self, voice: Voice, more: int, content: str = "") -> None:
        """Several may be asked at once: the step waits for as long as one of them does."""
        before, self._awaited = self._awaited, self._awaited + more
        said = [*(voice.course.awaits_person() if more > 0 else voice.course.got_person())]
        if not voice.closed and not (before and self._awaited):
            await voice.status("waiting" if more > 0 else "in_progress", content, *said)

    def _request(self, voice: Voice, request_id: str, question: Question) -> InputRequest:
        expires_at: str | None = None
        if request_id in self._asked:
            expires_at = self._asked[request_id].expires_at
        elif question.expires_in is not None:
            expires_at = timestamp(datetime.now(UTC) + timedelta(seconds=question.expires_in))
        fields = {
            "plan_id": voice.plan_id,
            "request_id": request_id,
            "kind": question.kind,
            "prompt": question.prompt,
            "options": None if question.options is None else list(question.options),
            "schema": question.schema,
            "step_id": voice.step.id,
            "agent_name": voice.step.agent_name,
            "expires_at": expires_at,
        }
        return build(InputRequest, fields)

    async def _answer(self, voice: Voice, request: InputRequest, place: Position) -> Answer:
        """The first answer in the log. When time is over, the clock answers too; whoever was first, counts."""
        key = f"answer:{request.request_id}"
        listening = asyncio.ensure_future(self._listen(voice, request, place))
        try:
            if request.expires_at is not None:
                left = (datetime.fromisoformat(request.expires_at) - datetime.now(UTC)).total_seconds()
                await asyncio.wait({listening}, timeout=max(0.0, left))
                if not listening.done():
                    fields = {"plan_id": request.plan_id, "request_id": request.request_id, "by": CLOCK}
                    await voice.tell_asked(build(InputResponse, fields), key)
            return await listening
        finally:
            listening.cancel()

    async def _listen(self, voice: Voice, request: InputRequest, place: Position) -> Answer:
        while True:
            try:
                async with aclosing(self._answers_after(voice, request, place)) as answers:
                    return await anext(answers)
            except LogUnavailable:
                await asyncio.sleep(AGAIN_S)

    async def _answers_after(self, voice: Voice, request: InputRequest, place: Position) -> AsyncGenerator[Answer]:
        async with aclosing(follow(self._log, request.plan_id, place)) as story:
            async for item in story:
                if isinstance(item, Received) and is_type(item.payload, InputResponse.type):
                    said = json.loads(item.payload)["data"]
                    if said["request_id"] == request.request_id:
                        yield Answer(said.get("answer"), said.get("by"), said.get("at"))
                elif isinstance(item, Broken):
                    state = _found(item, request.request_id)
                    if state is None:  # the log was lost, and the question with it
                        await voice.tell_asked(request, f"ask:{request.request_id}")
                    elif state.answered_at is not None:
                        yield Answer(state.answer, state.by, state.answered_at)


def _found(broken: Broken, request_id: str) -> InputState | None:
    inputs = decode(broken.checkpoint.snapshot).inputs if broken.checkpoint else ()
    return next((state for state in inputs if state.request_id == request_id), None)
