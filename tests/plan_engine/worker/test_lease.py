"""A lease is renewed even after unexpected errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from plan_engine.worker.lease import Lease
from plan_engine.worker.store import Store


class FailingStore:
    """A store whose first renewals fail with an error that no database raises."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.renewed = asyncio.Event()
        self._loop = loop
        self._failures = 2

    async def call(self, do: Callable[..., Any], *args: Any) -> Any:
        return await self._loop.run_in_executor(None, do, *args)

    def sign_on(self, *_: Any) -> None: ...

    def sign_off(self, *_: Any) -> None: ...

    def renew(self, *_: Any) -> bool:
        if self._failures:
            self._failures -= 1
            raise ValueError("not a number")
        self._loop.call_soon_threadsafe(self.renewed.set)
        return True


async def test_a_lease_is_renewed_after_a_failure() -> None:
    store = FailingStore(asyncio.get_running_loop())
    lease = Lease(cast("Store", store), "w", 0.2, lambda: None)
    await lease.open()
    async with asyncio.timeout(30):
        await store.renewed.wait()
    await lease.close()
