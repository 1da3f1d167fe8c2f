"""Fixtures of the contract suite: the `log_url` of each backend in turn, and logs opened on it."""

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
    """A backend whose server is running."""
    one: Backend = request.param
    one.start()
    yield one
    one.stop()


@pytest.fixture
def log_url(backend: Backend) -> str:
    """The URL of an empty log that no other test uses."""
    return backend.url()


@pytest_asyncio.fixture
async def open_log(log_url: str) -> AsyncIterator[OpenLog]:
    """Opens this test's log, as another program would, each time it is called."""
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
