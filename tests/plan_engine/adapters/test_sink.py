"""`gather_or_cancel` leaves no coroutine running after an error."""

from __future__ import annotations

import asyncio

import pytest

from plan_engine.adapters.sink import gather_or_cancel


async def test_results_are_in_order() -> None:
    async def wait_for(value: int) -> int:
        await asyncio.sleep(0)
        return value

    assert await gather_or_cancel(map(wait_for, (3, 1, 2))) == [3, 1, 2]


async def test_when_one_fails_the_others_are_cancelled() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        await begun.wait()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await gather_or_cancel([hang(), fail()])
    assert ended.is_set()
