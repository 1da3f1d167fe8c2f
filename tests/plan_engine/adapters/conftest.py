"""Logs and a broadcaster for adapters."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from broadcasters import Broadcaster
from tests.plan_engine.adapters.person import Person
from tests.servers.process import RedisServer


@pytest.fixture(scope="package")
def redis() -> Generator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'plans.db'}"


@pytest.fixture
async def broadcaster(log_url: str) -> AsyncGenerator[Broadcaster]:
    async with Broadcaster(log_url) as broadcaster:
        yield broadcaster


@pytest.fixture
def person(broadcaster: Broadcaster) -> Person:
    return Person(broadcaster, f"plan-{secrets.token_hex(4)}")
