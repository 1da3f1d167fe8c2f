"""Supervision of long-lived tasks: a part that fails is logged, retried after a pause, and reported as down until then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

__all__ = [
    "Part",
    "Supervisor",
    "Turn",
    "fail_future",
    "log_failure",
    "pauses",
]

FIRST: Final = 0.05
LONGEST: Final = 2.0


def pauses(longest: float) -> Iterator[float]:
    """Yield pauses in seconds, without end: exponential backoff with full jitter, up to `longest`."""
    for tries in count():
        yield random.uniform(0, min(LONGEST, longest, FIRST * 2 ** min(tries, 10)))


logger: Final = logging.getLogger(__name__)

Turn: TypeAlias = Callable[[], Coroutine[Any, Any, object]]
"""One turn of a part's work. It is called again after it returns."""


@dataclass(slots=True)
class Part:
    """The state of a part that is repeated."""

    failures: int = 0
    """Turns that have failed so far."""
    problem: str = ""
    """Why the latest turn failed; empty if it returned."""

    @property
    def down(self) -> bool:
        return self.problem != ""


class Supervisor:
    """Owner of long-lived tasks in one event loop; `close` it. A task that fails does not affect the others."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        """By name, from `repeat` to `close`."""
        self._tasks: set[asyncio.Task[None]] = set()

    def repeat(
        self, name: str, turn: Turn, *, every: float, first: float | None = None, wake: asyncio.Event | None = None
    ) -> None:
        """Call `turn` every `every` seconds until `close`, and at once when `wake` is set; this clears `wake`.

        The first turn begins after `first` seconds, if given. After a turn that raises, the next one begins after a
        growing pause, and the part is down until a turn returns."""
        part = self.parts[name] = Part()
        wake = wake or asyncio.Event()

        async def keep() -> None:
            rest, tries = every if first is None else first, pauses(LONGEST)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await wake.wait()
                wake.clear()
                if await _succeeds(name, part, turn):
                    rest, tries = every, pauses(LONGEST)
                else:
                    rest = next(tries)

        self.run(name, keep())

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the coroutine as a task. An exception is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)
        return task

    async def close(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        self.parts.clear()


def fail_future(future: asyncio.Future[Any], error: Exception) -> None:
    """Raise the error in those that await the future, if it is not done. asyncio does not log it if there are none."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as retrieved


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log the exception of a task: a done callback for tasks that are not awaited."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s failed: %s", task.get_name(), error, exc_info=error)


async def _succeeds(name: str, part: Part, turn: Turn) -> bool:
    """Whether the turn returns. A failure that repeats is logged once."""
    task = asyncio.current_task()
    try:
        await turn()
    except (Exception, asyncio.CancelledError) as error:
        if task is not None and task.cancelling():
            raise
        problem = f"{type(error).__name__}: {error}"
        if problem != part.problem:
            logger.error("%s failed and is tried again: %s", name, problem, exc_info=error)
        part.failures, part.problem = part.failures + 1, problem
        return False
    if part.down:
        logger.warning("%s works again", name)
        part.problem = ""
    return True
