"""Fixtures: logs opened by their URLs, and a recorder of received events; both are closed at the end of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from tests.faults.event_recorder import EventRecorder

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
async def recorder() -> AsyncIterator[EventRecorder]:
    """Records what the readers of this test receive, and closes their connections at the end."""
    async with EventRecorder() as one:
        yield one
