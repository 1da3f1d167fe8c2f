"""One call under way per key, its answer shared by all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["SharedCall"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedCall(Generic[K, T]):
    """Owner of the calls it starts; `cancel` or `close` ends them."""

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[T]] = {}

    async def ask(self, key: K, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer of the call under way for `key`, or of a new one. Cancelling one who asks disturbs nobody else."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.get_running_loop().create_task(call())
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def cancel(self) -> None:
        """End what is under way; those who asked are cancelled with it. Whoever asks from now on is not."""
        ended, self._under_way = self._under_way, {}
        for task in ended.values():
            task.cancel()

    async def close(self) -> None:
        """End what is under way, and wait until it has ended."""
        tasks = list(self._under_way.values())
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: K, task: asyncio.Task[T]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever asked has got it; if they all left, nobody needs it
