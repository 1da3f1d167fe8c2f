"""Questions to people, and their answers.

A question is sent once, whichever attempt asks it, and its answer is looked for in the plan's log from the question on. So
the answer may arrive while the agent waits or while no worker runs, and through any hub. The first answer in the log counts;
it is then recorded in the engine's database, and read from there after a restart.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from broadcasters.events import InputRequest, InputResponse, build, timestamp
from broadcasters.log.answers import first_answer
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from plan_engine.errors import Expired
from plan_engine.model.interaction import NO_DEFAULT, Answer, InputQuestion
from plan_engine.run.run_history import RecordedQuestion
from plan_engine.run.step_reporter import StepReporter

__all__ = ["CLOCK", "AnswerStore", "Questions"]

CLOCK: Final = "the clock"
"""Who answers a question that expired."""


class AnswerStore(Protocol):
    """Stores answers for good."""

    async def keep_answer(self, plan_id: str, request_id: str, answer: Answer) -> None: ...


class Questions:
    """The questions of one step in one run.

    `answers` are the answers in the store, `recorded` the questions in the log, both by request id."""

    def __init__(
        self,
        log: PlanLog,
        store: AnswerStore,
        answers: Mapping[str, Answer],
        recorded: Mapping[str, RecordedQuestion] | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._answers = dict(answers)
        self._recorded = recorded or {}
        self._times: Counter[str] = Counter()
        self._waits = 0

    def begin_attempt(self) -> None:
        """From here on, a question asked before is that question again, and keeps its answer."""
        self._times.clear()

    async def ask(self, reporter: StepReporter, question: InputQuestion) -> Answer:
        """Ask it, if it has no answer yet, and wait. Raises `Expired` if it expires and has no default."""
        request_id = self._request_id(reporter, question)
        if (known := self._answers.get(request_id)) is None:
            with reporter.resting():
                known = await self._put(reporter, request_id, question)
            self._answers[request_id] = known
        if known.by != CLOCK:
            return known
        if question.default is NO_DEFAULT:
            raise Expired(question.prompt)
        return Answer(question.default, CLOCK, known.at)

    def _request_id(self, reporter: StepReporter, question: InputQuestion) -> str:
        """The same in every attempt for the n-th time that this question is asked in one."""
        content = json.dumps([question.kind, question.prompt, question.options, question.schema], default=str)
        digest = sha256(content.encode(errors="replace")).hexdigest()[:8]
        self._times[digest] += 1
        return f"{reporter.step.id}.{digest}.{self._times[digest]}"

    async def _put(self, reporter: StepReporter, request_id: str, question: InputQuestion) -> Answer:
        request = self._request(reporter, request_id, question)
        position = await reporter.send_keyed(request, f"ask:{request_id}")
        reporter.replaying = reporter.replaying and request_id in self._recorded
        try:
            await self._wait(reporter, +1, question.prompt)
            reporter.replaying = False
            answer = await self._answer(reporter, request, position)
        finally:
            await self._wait(reporter, -1)
        if not reporter.closed:  # a step whose last status is waiting must find no answer in the store
            await self._store.keep_answer(reporter.plan_id, request_id, answer)
        return answer

    async def _wait(self, reporter: StepReporter, more: int, content: str = "") -> None:
        """The step waits while at least one of its questions is open."""
        before, self._waits = self._waits, self._waits + more
        state = reporter.run_state
        of_the_plan = [*(state.wait_begins() if more > 0 else state.wait_ends())]
        if not reporter.closed and not (before and self._waits):
            await reporter.status("waiting" if more > 0 else "in_progress", content, *of_the_plan)

    def _request(self, reporter: StepReporter, request_id: str, question: InputQuestion) -> InputRequest:
        expires_at: str | None = None
        if request_id in self._recorded:
            expires_at = self._recorded[request_id].expires_at
        elif question.expires_in is not None:
            expires_at = timestamp(datetime.now(UTC) + timedelta(seconds=question.expires_in))
        fields = {
            "plan_id": reporter.plan_id,
            "request_id": request_id,
            "kind": question.kind,
            "prompt": question.prompt,
            "options": None if question.options is None else list(question.options),
            "schema": question.schema,
            "step_id": reporter.step.id,
            "agent_name": reporter.step.agent_name,
            "expires_at": expires_at,
        }
        return build(InputRequest, fields)

    async def _answer(self, reporter: StepReporter, request: InputRequest, position: Position) -> Answer:
        """The first answer in the log. On expiry the clock answers too; whichever answer is first, counts."""
        key = f"answer:{request.request_id}"
        answered = asyncio.ensure_future(self._first_answer(reporter, request, position))
        try:
            if request.expires_at is not None:
                left = (datetime.fromisoformat(request.expires_at) - datetime.now(UTC)).total_seconds()
                await asyncio.wait({answered}, timeout=max(0.0, left))
                if not answered.done():
                    fields = {"plan_id": request.plan_id, "request_id": request.request_id, "by": CLOCK}
                    await reporter.send_keyed(build(InputResponse, fields), key)
            return await answered
        finally:
            answered.cancel()

    async def _first_answer(self, reporter: StepReporter, request: InputRequest, position: Position) -> Answer:
        async def ask_again() -> None:
            await reporter.send_keyed(request, f"ask:{request.request_id}")

        def reading() -> AbstractAsyncContextManager[PlanLog]:
            return nullcontext(self._log)

        response = await first_answer(reading, request.plan_id, request.request_id, position, ask_again)
        return Answer(response.answer, response.by, response.at)
