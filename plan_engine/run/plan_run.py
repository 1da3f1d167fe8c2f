"""One run of a plan in one worker: from where it stands, be that the beginning or wherever the last worker left it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, cast

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import PlanStatus, PlanUpdate, StepStatus, StepUpdate, build
from broadcasters.log.contract import Head
from plan_engine.errors import Cancelled
from plan_engine.model.plan import Step
from plan_engine.run.assignment import Assignment, Signal, Tools, opening
from plan_engine.run.attempt import Stopped
from plan_engine.run.context import Answer, Context
from plan_engine.run.questions import Questions
from plan_engine.run.reporter import Keyed, Teller
from plan_engine.run.run_history import Past
from plan_engine.run.run_state import Course, Stop
from plan_engine.run.step_reporter import Voice
from plan_engine.run.step_run import Outcome, StepRun

__all__ = ["Durably", "GivenUp", "Run"]

logger: Final = logging.getLogger(__name__)
AGAIN_S: Final = 0.5
DONE: Final = ""
"""In place of what was said on the way, which is not so any more."""

Durably = Callable[[str, Callable[[], Awaitable[dict[str, Any]]]], Awaitable[dict[str, Any]]]
"""Do this work for the step of that id and record what it returned; or, if that is recorded, return the record."""


class GivenUp(BaseException):
    """This worker stops working on the run, which has not ended: another one has it, or will."""


class Run:
    """`await run.go(durably)` to its end. `signal` and `give_up` may be called meanwhile."""

    def __init__(self, work: Assignment, tools: Tools) -> None:
        self._work, self._tools = work, tools
        self._plan = work.plan
        self._steps = {step.id: step for step in work.plan.steps}
        self._teller = Teller(tools.broadcaster, tools.grip, work.plan_id)
        self._course = Course(self._teller, work.plan.steps, tools.slot)
        self._past = Past()
        self._answers: Mapping[str, Answer] = {}
        self._step_runs: dict[str, StepRun] = {}
        self._results: dict[str, Any] = {}
        self._ended: set[str] = set()
        self._missing = {step.id: len(step.needs) for step in work.plan.steps}
        self._finished: asyncio.Queue[str] = asyncio.Queue(len(self._steps))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._heard: set[int] = set()
        self._early: list[Signal] = []
        self._begun = False

    # ---- from outside

    async def signal(self, signal: Signal) -> None:
        """Obey, unless this very signal was obeyed before."""
        if not self._begun:
            self._early.append(signal)
            return
        if signal.number in self._heard:
            return
        self._heard.add(signal.number)
        obey = {"cancel": self._course.cancel, "pause": self._course.pause, "resume": self._course.resume}
        if signal.name in obey:
            await obey[signal.name](signal.by, f"~signal:{signal.number}")

    def give_up(self, *, lost: bool) -> None:
        """Stop working on it. `lost`: another worker has it already, so say nothing more."""
        if lost:
            self._teller.silenced = True
        self._course.end(Stop("lost" if lost else "handed_over"))

    # ---- the run

    async def go(self, durably: Durably) -> dict[str, Any]:
        """Run it to its end, and tell that. What it came to, to be recorded. `GivenUp` when it ends elsewhere."""
        try:
            await self._begin()
            if self._past.ended and self._past.status != "completed":  # told, and only the record of it is missing
                return {"status": self._past.status, "message": self._past.content}
            await self._go_through(durably)
            return await self._finish()
        except Cancelled:
            raise GivenUp from None
        finally:
            await self._clear_up()

    async def _clear_up(self) -> None:
        """Nothing of the run goes on, however it ended."""
        self._course.end(Stop("lost"))
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=AGAIN_S)

    async def _begin(self) -> None:
        plan_id = self._work.plan_id
        signals, self._answers = await self._tools.book.signals(plan_id), await self._tools.book.answers(plan_id)
        head = await self._head()
        await self._teller.tell_all(opening(self._work))
        begun = build(PlanUpdate, {"plan_id": plan_id, "status": "in_progress"})
        place = await self._teller.tell(begun, "~plan:begin")
        if place.offset <= head.offset:
            await self._take_over()
        self._begun = True
        for signal in (*signals, *self._early):
            await self.signal(signal)
        said = self._course.took_over(self._past.status)
        if not self._past.ended and not self._past.waiting:
            await self._teller.tell_all(said)

    async def _head(self) -> Head:
        while True:
            try:
                return await self._tools.log.head(self._work.plan_id)
            except LogUnavailable:
                await asyncio.sleep(AGAIN_S)

    async def _take_over(self) -> None:
        while True:
            try:
                snapshot, _ = await snapshot_of(self._tools.log, self._work.plan_id)
                break
            except LogUnavailable:
                await asyncio.sleep(AGAIN_S)
        self._past = Past.of(snapshot, self._steps)
        begun = self._course
        steps, slot = self._plan.steps, self._tools.slot
        self._course = Course(self._teller, steps, slot, self._past.told, self._past.percent)
        if begun.stop:
            self._course.end(begun.stop)
        if not self._past.ended:
            await self._teller.tell_all(self._past.loose_ends)

    # ---- its steps

    async def _go_through(self, durably: Durably) -> None:
        """Begin each step as soon as it can be. Ends when all have ended, or, if the run is to stop, have stopped."""
        for step in self._plan.steps:
            if not step.needs:
                self._start(step, durably)
        while self._tasks:
            step_id = await self._finished.get()
            await self._tasks.pop(step_id)
            if self._course.stop:
                continue
            for dependent in self._plan.dependents[step_id]:
                self._missing[dependent] -= 1
                if not self._missing[dependent] and dependent not in self._ended:
                    self._start(self._steps[dependent], durably)

    def _start(self, step: Step, durably: Durably) -> None:
        name = f"step {step.id} of plan {self._work.plan_id}"
        task = self._tasks[step.id] = asyncio.create_task(self._perform(step, durably), name=name)
        task.add_done_callback(lambda _: self._finished.put_nowait(step.id))

    async def _perform(self, step: Step, durably: Durably) -> None:
        try:
            await self._course.going.wait()
            if not self._course.stop:
                record = await durably(step.id, lambda: self._work_on(step))
                await self._tell_outcome(step, Outcome(**record))
        except Stopped:
            pass
        except (GivenUp, Cancelled):
            self.give_up(lost=True)
        except Exception as error:
            logger.exception("plan %s, step %s", self._work.plan_id, step.id)
            data = {"error": {"type": type(error).__name__, "message": str(error)}}
            self._course.end(Stop("failed", "The engine could not run this plan", data=data))

    async def _work_on(self, step: Step) -> dict[str, Any]:
        if self._past.ended:
            raise RuntimeError(f"the end of the plan was told, and there is no record of step {step.id}")
        needed = {need: self._results[need] for need in step.needs if need in self._results}
        questions = Questions(self._tools.log, self._tools.book, self._answers, self._past.asked)

        def context(voice: Voice) -> Context:
            questions.begin_attempt()
            return Context(voice, questions, self._work.given, needed, self._work.owner, self._tools.model)

        past, told = self._past.step(step.id), self._past.told
        step_run = StepRun(step, past, told, self._teller, self._course, context)
        self._step_runs[step.id] = step_run
        return (await step_run.work()).record()

    async def _tell_outcome(self, step: Step, outcome: Outcome) -> None:
        self._ended.add(step.id)
        if outcome.status == "completed":
            self._results[step.id] = outcome.value
            await self._tell_end(step, "completed", outcome, DONE, data=_as_data(outcome.value))
            return
        data = {"error": outcome.detail} if outcome.detail else None
        if step.on_failure == "skip":
            await self._tell_end(step, "skipped", outcome, outcome.message, data=data)
            await self._skip_dependents(step)
            return
        await self._tell_end(step, "error", outcome, outcome.message, data=data)
        text = f"“{step.title}” failed: {outcome.message}"
        self._course.end(Stop("failed", text, data={**(data or {}), "step_id": step.id}))

    async def _skip_dependents(self, step: Step) -> None:
        """None of those that need it, nor of those that need them, can begin."""
        reasons = [step]
        for reason in reasons:
            for dependent in self._plan.dependents[reason.id]:
                if dependent not in self._ended:
                    self._ended.add(dependent)
                    reasons.append(self._steps[dependent])
                    why = f"It needs “{reason.title}”, which was skipped"
                    await self._tell_end(self._steps[dependent], "skipped", None, why)

    async def _tell_end(
        self,
        step: Step,
        status: StepStatus,
        outcome: Outcome | None,
        content: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """The last word on a step: one, whoever says it and however often."""
        more = [*self._course.progress(step.id, 100.0)] if status in ("completed", "skipped") else []
        if self._past.step(step.id).ended:
            await self._teller.tell_all(more)
            return
        fields: dict[str, Any] = {"plan_id": self._work.plan_id, "step_id": step.id, "status": status}
        fields["content"] = content
        if outcome is not None:
            fields |= {"attempt": outcome.attempt, "max_attempts": outcome.max_attempts}
            if outcome.restarts:
                data = {**(data or {}), "restarts": outcome.restarts}
        key = f"{step.id}:end"
        try:
            await self._teller.tell_all([(build(StepUpdate, {**fields, "data": data}), key), *more])
        except InvalidEvent:  # too large to be told; whoever needs it gets it nevertheless
            await self._teller.tell_all([(build(StepUpdate, fields), key), *more])

    # ---- the end

    async def _finish(self) -> dict[str, Any]:
        stop = self._course.stop
        if stop is None:
            return await self._complete()
        if stop.why == "lost":
            raise GivenUp
        if stop.why == "handed_over":
            await self._teller.tell_all(self._stalled())
            raise GivenUp
        await self._teller.tell_all(self._stopped(stop))
        status: PlanStatus = "cancelled" if stop.why == "cancelled" else "error"
        await self._tell_plan_end(status, content=stop.text, data=stop.data)
        return {"status": status, "message": stop.text}

    async def _complete(self) -> dict[str, Any]:
        try:
            result = self._plan.result_of(self._results)
        except Exception as error:
            logger.exception("the result of plan %s", self._work.plan_id)
            data = {"error": {"type": type(error).__name__, "message": str(error)}}
            text = "All steps are done, but putting their results together failed"
            await self._tell_plan_end("error", content=text, data=data)
            return {"status": "error", "message": text}
        await self._tell_plan_end("completed", content=DONE, progress=100.0, data=_as_data(result))
        return {"status": "completed", "result": result}

    async def _tell_plan_end(self, status: PlanStatus, **fields: Any) -> None:
        fields |= {"plan_id": self._work.plan_id, "status": status}
        try:
            await self._teller.tell(build(PlanUpdate, fields), "~plan:end")
        except InvalidEvent:
            del fields["data"]
            await self._teller.tell(build(PlanUpdate, fields), "~plan:end")

    def _stopped(self, stop: Stop) -> Iterator[Keyed]:
        """The last words on every step that had not ended."""
        for step in self._plan.steps:
            if step.id in self._ended or self._past.step(step.id).ended:
                continue
            begun = self._step_runs.get(step.id)
            if begun is not None:
                yield begun.voice.update("cancelled", stop.text, key=f"{step.id}:end")
                continue
            status = "cancelled" if stop.why == "cancelled" else "skipped"
            fields = {"plan_id": self._work.plan_id, "step_id": step.id, "status": status, "content": stop.text}
            yield build(StepUpdate, fields), f"{step.id}:end"

    def _stalled(self) -> Iterator[Keyed]:
        """What waits, for a person or for its next attempt, stands still only when that is over."""
        for step_id, step_run in self._step_runs.items():
            if step_id not in self._ended and step_run.voice.told == "in_progress":
                key = f"{step_id}:{step_run.voice.attempt}:stalled"
                yield step_run.voice.update("stalled", "Its worker is stopping; another one will go on", key=key)


def _as_data(value: Any) -> Mapping[str, Any] | None:
    """A result as an event's data: an object as it is, anything else in one."""
    if value is None:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"result": value}
