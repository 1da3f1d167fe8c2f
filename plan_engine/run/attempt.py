"""One attempt of a step: the agent at work, until it returns, fails, takes too long, or is to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from plan_engine.errors import Cancelled, StepFailed
from plan_engine.run.blocking import BlockingContext, in_thread
from plan_engine.run.context import Context
from plan_engine.run.step_reporter import Voice

__all__ = ["Stopped", "at_work", "plain"]

GRACE: Final = 0.4
"""Seconds an agent has to clean up when it is cancelled; after them it goes on unheard, and nobody waits for it."""


class Stopped(BaseException):
    """The run is to stop, and so this step has no outcome."""


async def at_work(voice: Voice, context: Context) -> Any:
    """What the agent returns, as plain data. Raises what it raises; `StepFailed` when time is over; `Stopped`."""
    step = voice.step
    if voice.course.stop:
        raise Stopped
    if step.synchronous:
        name = f"{voice.plan_id} {step.id}"
        work: Awaitable[Any] = in_thread(step.agent, BlockingContext(context, voice), name)
    else:
        work = step.agent(context)
    task = asyncio.ensure_future(_contained(work))
    voice.watch.start()
    try:
        await asyncio.wait({task, voice.course.stopping, voice.watch.over}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return plain(_outcome(task))
        if voice.course.stop:
            await _end(voice, task, Cancelled("the plan is to stop"))
            raise Stopped
        await _end(voice, task, TimeoutError())
        raise StepFailed(f"It took longer than {step.timeout:g} s")
    finally:
        voice.watch.close()
        voice.shut()
        task.cancel()
        await voice.close()


async def _contained(work: Awaitable[Any]) -> Any:
    """asyncio would let it through, and with it end the process, and every other one that tries the step."""
    try:
        return await work
    except SystemExit as error:
        raise StepFailed(f"The agent wanted to end its process ({error!r})") from error


def _outcome(task: asyncio.Future[Any]) -> Any:
    if task.cancelled():
        raise StepFailed("The agent was cancelled by its own code")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise StepFailed(f"The agent ended with {type(error).__name__}") from error
    return task.result()


async def _end(voice: Voice, task: asyncio.Future[Any], why: BaseException) -> None:
    """From here on it says nothing more. It is cancelled, and given a moment to clean up."""
    voice.shut()
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)
    await voice.close(why)
    if task.done() and not task.cancelled():
        task.exception()  # looked at: whatever it raised while it was stopped is of no interest


def plain(value: Any) -> Any:
    """What an agent returned as plain data: models, dataclasses, dates and so on as JSON would say them."""
    try:
        return to_jsonable_python(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError) as error:
        problem = f"The agent returned something that JSON can't say ({error})"
        raise StepFailed(problem, retry=False) from error
