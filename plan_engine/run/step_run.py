"""One step from its first attempt in this worker to its outcome."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from plan_engine.errors import MAX_WORDS, StepFailed, encodable
from plan_engine.model.plan import Step
from plan_engine.run.attempt import Stopped, at_work
from plan_engine.run.context import Context
from plan_engine.run.reporter import Teller
from plan_engine.run.run_history import PastStep
from plan_engine.run.run_state import Course
from plan_engine.run.step_reporter import Voice
from plan_engine.run.stopwatch import Stopwatch

__all__ = ["Outcome", "StepRun"]

MAX_RESTARTS: Final = 100
"""A step whose worker died so often while it ran is taken to be the reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step. Recorded, so that it is never worked on again."""

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
    """Works on a step, attempt after attempt. `voice` is that of the current one."""

    def __init__(
        self,
        step: Step,
        past: PastStep,
        told: int,
        teller: Teller,
        course: Course,
        context: Callable[[Voice], Context],
    ) -> None:
        self._step, self._teller, self._course, self._context = step, teller, course, context
        self._failures = past.failures
        self._restarts = past.restarts
        self._again = past.begun
        self._pause = past.pause
        self._attempt = past.attempt
        if past.begun:
            self._attempt += 1
            self._restarts += 1
        self.voice = self._new_voice(told if past.status == "waiting" else 0)

    def _new_voice(self, goes_on_after: int = 0) -> Voice:
        return Voice(
            self._teller,
            self._course,
            self._step,
            attempt=self._attempt,
            max_attempts=self._step.retries + 1 + self._restarts,
            restarts=self._restarts,
            watch=Stopwatch(self._step.timeout),
            goes_on_after=goes_on_after,
        )

    async def work(self) -> Outcome:
        """Its outcome; `Stopped` when the run is to stop before there is one."""
        try:
            with self._course.busy():
                return await self._try()
        finally:
            self.voice.watch.close()

    async def _try(self) -> Outcome:
        if self._restarts > MAX_RESTARTS:
            return self._outcome(message=f"Its worker died {self._restarts} times while it ran")
        if self._again:
            await self.voice.retrying("Going on after a restart")
        if self._pause:
            with self.voice.resting():
                await self._rest(self._pause)
        while True:
            try:
                await self.voice.begin()
                value = await at_work(self.voice, self._context(self.voice))
                return self._outcome(value=value)
            except asyncio.CancelledError:
                if self._course.stop:
                    raise Stopped from None
                raise
            except Exception as error:
                if (outcome := await self._failed(error)) is not None:
                    return outcome

    async def _failed(self, error: Exception) -> Outcome | None:
        """Its outcome, unless it is to be tried again: then in a while, told so now."""
        self._failures += 1
        message = _in_words(error)
        final = isinstance(error, StepFailed) and not error.retry
        if final or self._failures > self._step.retries:
            return self._outcome(message=message, detail=_detail(error))
        self.voice.watch.close()
        self._attempt += 1
        self.voice = self._new_voice()
        pause = self._step.pause_after(self._failures)
        with self.voice.resting():
            data = {"error": _detail(error), "pause": pause}
            await self.voice.retrying(f"{message}. Trying again in {pause:.3g} s", data)
            await self._rest(pause)
        return None

    async def _rest(self, seconds: float) -> None:
        await asyncio.wait({self._course.stopping}, timeout=seconds)
        if self._course.stop:
            raise Stopped

    def _outcome(self, **fields: Any) -> Outcome:
        status: Literal["completed", "error"] = "error" if "message" in fields else "completed"
        voice = self.voice
        return Outcome(status, voice.attempt, voice.max_attempts, self._restarts, **fields)


def _in_words(error: Exception) -> str:
    """What people are told. The rest is in the data, for engineers."""
    if isinstance(error, StepFailed):
        return encodable(str(error))[:MAX_WORDS].rstrip(".") or "It could not be done"
    if isinstance(error, TimeoutError):
        return "Something it waited for took too long"
    if isinstance(error, ConnectionError):
        return "Something it needs could not be reached"
    return "Something went wrong"


def _detail(error: Exception) -> dict[str, Any]:
    seen = traceback.TracebackException.from_exception(error, limit=-8)
    message, shown = encodable(str(seen)), encodable("".join(seen.format()))
    return {"type": type(error).__name__, "message": message[:MAX_WORDS], "traceback": shown[-8000:]}
