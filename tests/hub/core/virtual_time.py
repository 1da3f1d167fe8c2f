"""An event loop with virtual time: when nothing is ready to run, the clock jumps to the next timer.

It does no I/O. Waiting for something that no timer will cause raises an error instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["VirtualLoop", "in_virtual_time", "turns"]

HURRY: Final = 20_000

P = ParamSpec("P")
T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_NoWaiting(self))

    def time(self) -> float:
        return self.now

    def call(self, call: Callable[[], T]) -> T:
        """Call a function as if from inside the loop, while the loop is stopped."""
        asyncio._set_running_loop(self)
        try:
            return call()
        finally:
            asyncio._set_running_loop(None)


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._hurried = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        self._hurried = 0 if timeout > 0 else self._hurried + 1
        if self._hurried > HURRY:
            raise RuntimeError(f"{HURRY} turns, and still something to do at once: it goes round in a circle")
        self._loop.now += max(timeout, 0.0)
        return []


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Decorator that runs an async test in its own loop with virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def turns(count: int = 20) -> None:
    """Let the loop run some turns; no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)
