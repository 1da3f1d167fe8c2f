"""Runs one step in this worker: attempt after attempt, until it has an outcome."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pydantic_core import PydanticSerializationError, to_jsonable_python

from plan_engine.errors import MAX_WORDS, Cancelled, Expired, StepFailed, encodable
from plan_engine.model.plan import Step
from plan_engine.run.blocking import BlockingContext, in_thread
from plan_engine.run.context import Context
from plan_engine.run.reporter import Reporter
from plan_engine.run.run_history import StepHistory
from plan_engine.run.run_state import RunState
from plan_engine.run.step_reporter import StepReporter, Stopwatch

__all__ = ["StepOutcome", "StepRun", "Stopped", "jsonable"]

logger: Final = logging.getLogger(__name__)
MAX_RESTARTS: Final = 100
"""A step during which a worker died this often is taken to be the cause."""
GRACE_S: Final = 0.4
"""How long a cancelled agent may clean up. After that it is abandoned: it may keep running, but reports nothing."""


class Stopped(BaseException):
    """The run stops, so this step has no outcome."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. Recorded by DBOS, so that the step is never run again."""

    status: Literal["completed", "error"]
    attempt: int
    max_attempts: int
    restarts: int = 0
    value: Any = None
    message: str | None = None
    detail: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)


class StepRun:
    """Runs a step's attempts. `reporter` is that of the current attempt."""

    def __init__(
        self,
        step: Step,
        history: StepHistory,
        offset: int,
        reporter: Reporter,
        run_state: RunState,
        context: Callable[[StepReporter], Context],
        *,
        tracebacks: bool,
    ) -> None:
        self._tracebacks = tracebacks
        self._step, self._run_reporter, self._run_state, self._context = step, reporter, run_state, context
        self._failures = history.failures
        self._restarts = history.restarts
        self._again = history.begun
        self._pause = history.pause
        self._attempt = history.attempt
        if history.begun:
            self._attempt += 1
            self._restarts += 1
        self.reporter = self._new_reporter(offset if history.status == "waiting" else 0)

    def _new_reporter(self, resumes_after: int = 0) -> StepReporter:
        return StepReporter(
            self._run_reporter,
            self._run_state,
            self._step,
            attempt=self._attempt,
            max_attempts=self._step.retries + 1 + self._restarts,
            restarts=self._restarts,
            stopwatch=Stopwatch(self._step.timeout),
            resumes_after=resumes_after,
        )

    async def run(self) -> StepOutcome:
        """Run the step to its outcome. Raises `Stopped` when the run stops before that."""
        try:
            with self._run_state.busy():
                return await self._run_attempts()
        finally:
            self.reporter.stopwatch.close()

    async def _run_attempts(self) -> StepOutcome:
        if self._restarts > MAX_RESTARTS:
            return self._outcome(message=f"Its worker died {self._restarts} times while it ran")
        if self._again:
            await self.reporter.retrying("Continuing after a restart")
        if self._pause:
            with self.reporter.resting():
                await self._rest(self._pause)
        while True:
            try:
                await self.reporter.begin()
                value = await _run_attempt(self.reporter, self._context(self.reporter))
                return self._outcome(value=value)
            except asyncio.CancelledError:
                if self._run_state.stop:
                    raise Stopped from None
                raise
            except Exception as error:
                if (outcome := await self._failed(error)) is not None:
                    return outcome

    async def _failed(self, error: Exception) -> StepOutcome | None:
        """The step's outcome; None when it has another attempt, after reporting that and waiting for the pause."""
        self._failures += 1
        message = _for_people(error)
        final = isinstance(error, Expired) or (isinstance(error, StepFailed) and not error.retry)
        if final or self._failures > self._step.retries:
            return self._outcome(message=message, detail=self._for_engineers(error))
        self.reporter.stopwatch.close()
        self._attempt += 1
        self.reporter = self._new_reporter()
        pause = self._step.pause_after(self._failures)
        with self.reporter.resting():
            data = {"error": self._for_engineers(error), "pause": pause}
            await self.reporter.retrying(f"{message}. Trying again in {pause:.3g} s", data)
            await self._rest(pause)
        return None

    def _for_engineers(self, error: Exception) -> dict[str, Any]:
        """The exception as data. Without tracebacks only its type, and the rest is logged."""
        seen = traceback.TracebackException.from_exception(error, limit=-8)
        message, shown = encodable(str(seen)), encodable("".join(seen.format()))[-8000:]
        if self._tracebacks:
            return {"type": type(error).__name__, "message": message[:MAX_WORDS], "traceback": shown}
        run = self.reporter.plan_id, self._step.id, self._attempt
        logger.warning("plan %s, step %s, attempt %d failed\n%s", *run, shown)
        return {"type": type(error).__name__}

    async def _rest(self, seconds: float) -> None:
        await asyncio.wait({self._run_state.stopping}, timeout=seconds)
        if self._run_state.stop:
            raise Stopped

    def _outcome(self, **fields: Any) -> StepOutcome:
        status: Literal["completed", "error"] = "error" if "message" in fields else "completed"
        return StepOutcome(status, self.reporter.attempt, self.reporter.max_attempts, self._restarts, **fields)


async def _run_attempt(reporter: StepReporter, context: Context) -> Any:
    """What the agent returns, as JSON. Raises what it raises, `StepFailed` on timeout, and `Stopped`."""
    step, run_state = reporter.step, reporter.run_state
    if run_state.stop:
        raise Stopped
    if step.synchronous:
        name = f"{reporter.plan_id} {step.id}"
        work: Awaitable[Any] = in_thread(step.agent, BlockingContext(context, reporter), name)
    else:
        work = step.agent(context)
    task = asyncio.ensure_future(_contained(work))
    reporter.stopwatch.start()
    try:
        until = {task, run_state.stopping, reporter.stopwatch.over}
        await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return jsonable(_result_of(task))
        if run_state.stop:
            await _stop(reporter, task, Cancelled("the plan is stopping"))
            raise Stopped
        await _stop(reporter, task, TimeoutError())
        raise StepFailed(f"It took longer than {step.timeout:g} s")
    finally:
        reporter.stopwatch.close()
        reporter.shut()
        task.cancel()
        await reporter.close()


async def _contained(work: Awaitable[Any]) -> Any:
    """asyncio would let SystemExit end this process, and then every other process that retries the step."""
    try:
        return await work
    except SystemExit as error:
        raise StepFailed(f"The agent tried to end its process ({error!r})") from error


def _result_of(task: asyncio.Future[Any]) -> Any:
    if task.cancelled():
        raise StepFailed("The agent was cancelled by its own code")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise StepFailed(f"The agent ended with {type(error).__name__}") from error
    return task.result()


async def _stop(reporter: StepReporter, task: asyncio.Future[Any], why: BaseException) -> None:
    """Cancel the agent, give it a moment to clean up, and close what it left open."""
    reporter.shut()
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE_S)
    await reporter.close(why)
    if task.done() and not task.cancelled():
        task.exception()  # mark as retrieved, so asyncio does not log it


def jsonable(value: Any) -> Any:
    """A value as JSON data: models, dataclasses, dates and so on are converted. Raises `StepFailed` for anything else."""
    try:
        return to_jsonable_python(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError) as error:
        problem = f"The agent returned a value that cannot be converted to JSON ({error})"
        raise StepFailed(problem, retry=False) from error


def _for_people(error: Exception) -> str:
    if isinstance(error, StepFailed | Expired):
        return encodable(str(error))[:MAX_WORDS].rstrip(".") or "It could not be done"
    if isinstance(error, TimeoutError):
        return "Something it waited for took too long"
    if isinstance(error, ConnectionError):
        return "Something it needs could not be reached"
    return "Something went wrong"
