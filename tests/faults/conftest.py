"""Logs that a test opens by their URLs, and readers; all let go of at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from tests.faults.chronicle import Chronicle

OpenLog = Callable[[str], Awaitable[PlanLog]]


@pytest_asyncio.fixture
async def open_log() -> AsyncIterator[OpenLog]:
    opened: list[PlanLog] = []

    async def open_one(url: str) -> PlanLog:
        log = log_of(url)
        await log.open()
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        await log.close()


@pytest_asyncio.fixture
async def chronicle() -> AsyncIterator[Chronicle]:
    """What the readers of this test are told; they are let go of at its end."""
    async with Chronicle() as one:
        yield one
