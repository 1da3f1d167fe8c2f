"""One run of a plan in one worker: from its beginning, or from where the worker before it stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import PlanStatus, StepStatus
from broadcasters.log.contract import PlanLog
from plan_engine.errors import Cancelled
from plan_engine.model.interaction import Answer, Signal
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.plan import Plan, Step
from plan_engine.run.context import Context
from plan_engine.run.questions import AnswerStore, Questions
from plan_engine.run.reporter import Ownership, Reporter, retry_on
from plan_engine.run.run_events import KeyedEvent, about, opening, plan_begin, plan_end, step_end
from plan_engine.run.run_history import RunHistory
from plan_engine.run.run_state import RunState, StopReason, WorkerSlot
from plan_engine.run.step_reporter import StepReporter
from plan_engine.run.step_run import StepOutcome, StepRun, Stopped

__all__ = ["Assignment", "DurableStep", "GivenUp", "PlanRun", "RunResources", "RunStore"]

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)
CLEAR_UP_S: Final = 0.5
NO_CONTENT: Final = ""
"""Clears the content that was reported while the work went on."""

DurableStep = Callable[[str, Callable[[], Awaitable[dict[str, Any]]]], Awaitable[dict[str, Any]]]
"""Do this work for the step of that id and record what it returns; or return the record, if there is one."""


class GivenUp(BaseException):
    """This worker stops running the plan, which has not ended: another worker has it, or will."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A plan to run, and what it was started with."""

    plan_id: str
    template: str
    given: Mapping[str, Any]
    owner: str | None
    plan: Plan


class RunStore(AnswerStore, Protocol):
    """What the engine's database holds of a run besides the outcomes of its steps."""

    async def signals(self, plan_id: str) -> Sequence[Signal]: ...

    async def answers(self, plan_id: str) -> Mapping[str, Answer]: ...


@dataclass(frozen=True, slots=True)
class RunResources:
    """What a worker provides to a run."""

    log: PlanLog
    broadcaster: Broadcaster
    ownership: Ownership
    store: RunStore
    slot: WorkerSlot
    model: LanguageModel
    tracebacks: bool
    """Whether events of failed steps have the exception's message and traceback."""


class PlanRun:
    """`await run.go(durable_step)` runs it to its end. `signal` and `give_up` may be called meanwhile."""

    def __init__(self, assignment: Assignment, resources: RunResources) -> None:
        self._assignment, self._resources = assignment, resources
        self._plan = plan = assignment.plan
        self._steps = {step.id: step for step in plan.steps}
        self._reporter = Reporter(resources.broadcaster, resources.ownership, assignment.plan_id)
        self._about = about(assignment.template, plan)
        self._state = RunState(self._reporter, plan.steps, resources.slot, self._about)
        self._history = RunHistory()
        self._answers: Mapping[str, Answer] = {}
        self._step_runs: dict[str, StepRun] = {}
        self._results: dict[str, Any] = {}
        self._ended: set[str] = set()
        self._missing = {step.id: len(step.needs) for step in plan.steps}
        self._finished: asyncio.Queue[str] = asyncio.Queue(len(self._steps))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._obeyed: set[int] = set()
        self._early: list[Signal] = []
        self._begun = False

    # ---- from outside

    @property
    def idle(self) -> bool:
        """Whether it only waits, as described for `RunState.idle`."""
        return self._state.idle

    async def signal(self, signal: Signal) -> None:
        """Obey a signal; does nothing if it was obeyed before."""
        if not self._begun:
            self._early.append(signal)
            return
        if signal.number in self._obeyed:
            return
        self._obeyed.add(signal.number)
        obey = {"cancel": self._state.cancel, "pause": self._state.pause, "resume": self._state.resume}
        if signal.name in obey:
            await obey[signal.name](signal.by, f"~signal:{signal.number}")

    def give_up(self, *, lost: bool) -> None:
        """Stop running it. With `lost`, another worker owns it already, and nothing more is reported."""
        if lost:
            self._reporter.silenced = True
        self._state.end(StopReason("lost" if lost else "handed_over"))

    # ---- the run

    async def go(self, durable_step: DurableStep) -> dict[str, Any]:
        """Run it to its end, and report that.

        Returns:
            The outcome, to be recorded.

        Raises:
            GivenUp: it will end in another worker.
        """
        try:
            await self._begin()
            if self._history.ended and self._history.status != "completed":  # reported, but not recorded yet
                return {"status": self._history.status, "message": self._history.content}
            await self._run_steps(durable_step)
            return await self._finish()
        except Cancelled:
            raise GivenUp from None
        finally:
            await self._clear_up()

    async def _clear_up(self) -> None:
        """Leave no task behind, however the run ended."""
        self._state.end(StopReason("lost"))
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=CLEAR_UP_S)

    async def _begin(self) -> None:
        work = self._assignment
        store, plan_id = self._resources.store, work.plan_id
        signals, self._answers = await store.signals(plan_id), await store.answers(plan_id)
        head = await self._read(lambda log: log.head(plan_id))
        await self._reporter.send_all(opening(plan_id, work.template, work.owner, work.plan))
        position = await self._reporter.send(*plan_begin(plan_id))
        if position.offset <= head.offset:
            await self._take_over()
        self._begun = True
        for signal in (*signals, *self._early):
            await self.signal(signal)
        status_update = self._state.taken_over(self._history.status)
        if not self._history.ended and not self._history.waiting:
            await self._reporter.send_all(status_update)

    async def _read(self, read: Callable[[PlanLog], Awaitable[T]]) -> T:
        """Read from the log; waits while it is unavailable."""
        warning = f"plan {self._assignment.plan_id} can't begin until its log is available"
        return await retry_on((LogUnavailable,), lambda: read(self._resources.log), warning)

    async def _take_over(self) -> None:
        plan_id = self._assignment.plan_id
        snapshot, _ = await self._read(lambda log: snapshot_of(log, plan_id))
        self._history = history = RunHistory.of(snapshot, self._steps)
        stop = self._state.stop
        slot, offset = self._resources.slot, history.offset
        self._state = RunState(self._reporter, self._plan.steps, slot, self._about, offset, history.percent)
        if stop:
            self._state.end(stop)
        if not history.ended:
            await self._reporter.send_all(history.loose_ends)

    # ---- its steps

    async def _run_steps(self, durable_step: DurableStep) -> None:
        """Start each step as soon as those it needs are done. Returns when all have ended or, if the run stops, stopped."""
        for step in self._plan.steps:
            if not step.needs:
                self._start(step, durable_step)
        while self._tasks:
            step_id = await self._finished.get()
            await self._tasks.pop(step_id)
            if self._state.stop:
                continue
            for dependent in self._plan.dependents[step_id]:
                self._missing[dependent] -= 1
                if not self._missing[dependent] and dependent not in self._ended:
                    self._start(self._steps[dependent], durable_step)

    def _start(self, step: Step, durable_step: DurableStep) -> None:
        name = f"step {step.id} of plan {self._assignment.plan_id}"
        task = self._tasks[step.id] = asyncio.create_task(self._run_step(step, durable_step), name=name)
        task.add_done_callback(lambda _: self._finished.put_nowait(step.id))

    async def _run_step(self, step: Step, durable_step: DurableStep) -> None:
        try:
            await self._state.going.wait()
            if not self._state.stop:
                record = await durable_step(step.id, lambda: self._attempts_of(step))
                await self._report_outcome(step, StepOutcome(**record))
        except Stopped:
            pass
        except (GivenUp, Cancelled):
            self.give_up(lost=True)
        except Exception as error:
            logger.exception("plan %s, step %s", self._assignment.plan_id, step.id)
            message = {"message": str(error)} if self._resources.tracebacks else {}
            data = {"error": {"type": type(error).__name__, **message}}
            self._state.end(StopReason("failed", "The engine could not run this plan", data=data))

    async def _attempts_of(self, step: Step) -> dict[str, Any]:
        if self._history.ended:
            raise RuntimeError(f"the plan's end is in the log, but step {step.id} has no recorded outcome")
        needed = {need: self._results[need] for need in step.needs if need in self._results}
        work, resources, history = self._assignment, self._resources, self._history
        questions = Questions(resources.log, resources.store, self._answers, history.questions)

        def context(reporter: StepReporter) -> Context:
            questions.begin_attempt()
            return Context(reporter, questions, work.given, needed, work.owner, resources.model)

        run = history.step(step.id), history.offset, self._reporter, self._state
        step_run = StepRun(step, *run, context, tracebacks=resources.tracebacks)
        self._step_runs[step.id] = step_run
        return (await step_run.run()).record()

    async def _report_outcome(self, step: Step, outcome: StepOutcome) -> None:
        self._ended.add(step.id)
        if outcome.status == "completed":
            self._results[step.id] = outcome.value
            await self._end_step(step, "completed", outcome, NO_CONTENT, data=_as_data(outcome.value))
            return
        data = {"error": outcome.detail} if outcome.detail else None
        if step.on_failure == "skip":
            await self._end_step(step, "skipped", outcome, outcome.message, data=data)
            await self._skip_dependents(step)
            return
        await self._end_step(step, "error", outcome, outcome.message, data=data)
        text = f"“{step.title}” failed: {outcome.message}"
        self._state.end(StopReason("failed", text, data={**(data or {}), "step_id": step.id}))

    async def _skip_dependents(self, step: Step) -> None:
        """Skip the steps that need it, and those that need these."""
        reasons = [step]
        for reason in reasons:
            for dependent in self._plan.dependents[reason.id]:
                if dependent not in self._ended:
                    self._ended.add(dependent)
                    reasons.append(self._steps[dependent])
                    why = f"It needs “{reason.title}”, which was skipped"
                    await self._end_step(self._steps[dependent], "skipped", None, why)

    async def _end_step(
        self,
        step: Step,
        status: StepStatus,
        outcome: StepOutcome | None,
        content: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Report the step's end, unless an earlier worker did."""
        more = [*self._state.progress(step.id, 100.0)] if status in ("completed", "skipped") else []
        if self._history.step(step.id).ended:
            await self._reporter.send_all(more)
            return
        fields: dict[str, Any] = {}
        if outcome is not None:
            fields = {"attempt": outcome.attempt, "max_attempts": outcome.max_attempts}
            if outcome.restarts:
                data = {**(data or {}), "restarts": outcome.restarts}
        plan_id = self._assignment.plan_id
        try:
            await self._reporter.send_all([step_end(plan_id, step.id, status, content, data=data, **fields), *more])
        except InvalidEvent:  # the result is too large for an event; the steps that need it get it nevertheless
            await self._reporter.send_all([step_end(plan_id, step.id, status, content, **fields), *more])

    # ---- the end

    async def _finish(self) -> dict[str, Any]:
        stop = self._state.stop
        if stop is None:
            return await self._complete()
        if stop.why == "lost":
            raise GivenUp
        if stop.why == "handed_over":
            await self._reporter.send_all(self._stalled())
            raise GivenUp
        await self._reporter.send_all(self._stopped(stop))
        status: PlanStatus = "cancelled" if stop.why == "cancelled" else "error"
        await self._end_plan(status, content=stop.text, data=stop.data)
        return {"status": status, "message": stop.text}

    async def _complete(self) -> dict[str, Any]:
        try:
            result = self._plan.result_of(self._results)
        except Exception as error:
            logger.exception("the result of plan %s", self._assignment.plan_id)
            message = {"message": str(error)} if self._resources.tracebacks else {}
            data = {"error": {"type": type(error).__name__, **message}}
            text = "All steps are done, but combining their results failed"
            await self._end_plan("error", content=text, data=data)
            return {"status": "error", "message": text}
        await self._end_plan("completed", content=NO_CONTENT, progress=100.0, data=_as_data(result))
        return {"status": "completed", "result": result}

    async def _end_plan(self, status: PlanStatus, *, data: Mapping[str, Any] | None, **fields: Any) -> None:
        plan_id = self._assignment.plan_id
        try:
            await self._reporter.send(*plan_end(plan_id, status, data=data, **fields))
        except InvalidEvent:  # the data is too large for an event
            await self._reporter.send(*plan_end(plan_id, status, **fields))

    def _stopped(self, stop: StopReason) -> Iterator[KeyedEvent]:
        """The ends of all steps that have not ended."""
        for step in self._plan.steps:
            if step.id in self._ended or self._history.step(step.id).ended:
                continue
            step_run = self._step_runs.get(step.id)
            if step_run is not None:
                yield step_run.reporter.update("cancelled", stop.text, key=f"{step.id}:end")
                continue
            status: StepStatus = "cancelled" if stop.why == "cancelled" else "skipped"
            yield step_end(self._assignment.plan_id, step.id, status, stop.text)

    def _stalled(self) -> Iterator[KeyedEvent]:
        """The steps at work, as stalled. A step that only waits isn't: nothing holds it up yet."""
        for step_id, step_run in self._step_runs.items():
            reporter = step_run.reporter
            if step_id not in self._ended and reporter.reported == "in_progress":
                key = f"{step_id}:{reporter.attempt}:stalled"
                yield reporter.update("stalled", "Its worker is stopping; another one will continue it", key=key)


def _as_data(value: Any) -> Mapping[str, Any] | None:
    """A result as an event's data: an object as it is, any other value as `{"result": value}`."""
    if value is None:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"result": value}
