"""A real log with faults, and broadcasters that use it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from broadcasters import Broadcaster
from broadcasters.log import log_of
from tests.broadcasters.faults import FaultyLog


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'plans.db'}"


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port without a listener, reserved until the end of the test."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@pytest_asyncio.fixture
async def log(log_url: str) -> AsyncIterator[FaultyLog]:
    log = FaultyLog(log_of(log_url))
    await log.open()
    yield log
    log.gate.set()
    await log.settled()
    await log.close()


@pytest_asyncio.fixture
async def b(log: FaultyLog) -> AsyncIterator[Broadcaster]:
    """With a deadline that no test reaches."""
    async with Broadcaster(log=log, producer="tester") as broadcaster:
        yield broadcaster
        log.gate.set()


@pytest_asyncio.fixture
async def hasty(log: FaultyLog) -> AsyncIterator[Broadcaster]:
    """With a short deadline, and room for four events."""
    async with Broadcaster(log=log, producer="hasty", deadline=0.2, max_events=4) as broadcaster:
        yield broadcaster
        log.gate.set()
