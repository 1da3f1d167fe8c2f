"""Questions to people, and their answers.

A question is sent once, whichever attempt asks it, and its answer is looked for in the plan's log from the question on. So
the answer may arrive while the agent waits or while no worker runs, and through any hub. The first answer in the log counts;
it is then recorded in the engine's database, and read from there after a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

from broadcasters.asking import answer_to, digest_of, key_of, request_for, resolved
from broadcasters.events import InputRequest
from broadcasters.log.contract import PlanLog
from plan_engine.model.interaction import Answer, InputQuestion
from plan_engine.run.run_history import RecordedQuestion
from plan_engine.run.step_reporter import StepReporter

__all__ = ["AnswerStore", "Questions"]


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
        return resolved(question, known)

    def _request_id(self, reporter: StepReporter, question: InputQuestion) -> str:
        """The same in every attempt for the n-th time that this question is asked in one."""
        digest = digest_of(question)
        self._times[digest] += 1
        return f"{reporter.step.id}.{digest}.{self._times[digest]}"

    async def _put(self, reporter: StepReporter, request_id: str, question: InputQuestion) -> Answer:
        request = self._request(reporter, request_id, question)
        position = await reporter.send_keyed(request, key_of(request_id))
        reporter.replaying = reporter.replaying and request_id in self._recorded
        try:
            await self._wait(reporter, +1, question.prompt)
            reporter.replaying = False
            answer = await answer_to(request, position, reporter.send_keyed, lambda: nullcontext(self._log))
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
        recorded = self._recorded.get(request_id)
        return request_for(
            reporter.plan_id,
            request_id,
            question,
            asked=recorded is not None,
            expires_at=None if recorded is None else recorded.expires_at,
            step_id=reporter.step.id,
            agent_name=reporter.step.agent_name,
        )
