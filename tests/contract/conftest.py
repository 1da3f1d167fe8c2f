"""Fixtures of the contract suite: `log_url` of each backend in turn, logs opened on it, and closed again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio

from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from tests.contract.backends import Backend, all_backends

OpenLog = Callable[[], Awaitable[PlanLog]]


@pytest.fixture(
    scope="session",
    params=[pytest.param(backend, id=backend.name, marks=backend.marks) for backend in all_backends()],
)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The real thing, running."""
    one: Backend = request.param
    one.start()
    yield one
    one.stop()


@pytest.fixture
def log_url(backend: Backend) -> str:
    """A log that is empty and nobody else's."""
    return backend.url()


@pytest_asyncio.fixture
async def open_log(log_url: str) -> AsyncIterator[OpenLog]:
    """Opens this test's log, as often as called: each time as another program would."""
    opened: list[PlanLog] = []

    async def open_one() -> PlanLog:
        log = log_of(log_url)
        await log.open()
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        await log.close()


@pytest_asyncio.fixture
async def log(open_log: OpenLog) -> PlanLog:
    """This test's log, open."""
    return await open_log()
