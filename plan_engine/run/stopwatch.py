"""How long an attempt has been at work, without the time it waited for people or for the log, or was paused."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["Stopwatch"]


class Stopwatch:
    """`over` is done when `seconds` of work have passed since `start`; without seconds, never. Close it when done."""

    def __init__(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._left = seconds
        self._since = 0.0
        self._stops = 1
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The agent begins to work. Called once."""
        self._release()

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Time doesn't count inside. Several may be inside at once."""
        self._stops += 1
        self._halt()
        try:
            yield
        finally:
            self._release()

    def close(self) -> None:
        self._stops += 1
        self._halt()

    def _release(self) -> None:
        self._stops -= 1
        if not self._stops:
            self._run()

    def _run(self) -> None:
        if self._left is not None and not self.over.done():
            self._since = self._loop.time()
            self._timer = self._loop.call_later(max(0.0, self._left), self._ring)

    def _halt(self) -> None:
        if self._timer is not None and self._left is not None:
            self._timer.cancel()
            self._timer = None
            self._left -= self._loop.time() - self._since

    def _ring(self) -> None:
        self._timer = None
        self._left = 0.0
        if not self.over.done():
            self.over.set_result(None)
