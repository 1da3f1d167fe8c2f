"""Fixtures: one redis-server for all tests of this folder, and a prefix for each."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from broadcasters.log.redis import RedisLog
from tests.servers import RedisServer

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def server() -> Iterator[RedisServer]:
    with RedisServer() as one:
        yield one


@pytest.fixture
def prefix() -> str:
    return f"test{next(_numbers)}"


@pytest_asyncio.fixture
async def log(server: RedisServer, prefix: str) -> AsyncIterator[RedisLog]:
    one = RedisLog(f"{server.url}?prefix={prefix}")
    await one.open()
    yield one
    await one.close()
