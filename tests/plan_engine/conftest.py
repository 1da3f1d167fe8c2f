"""A harness for each test, with its databases created."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.plan_engine.harness import EngineHarness


@pytest.fixture(scope="session")
def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the engine's database is created once, to be copied."""
    directory = tmp_path_factory.mktemp("model-harness")

    async def build() -> None:
        async with EngineHarness(directory) as harness, harness.engine(work=False):
            pass

    asyncio.run(build())
    return directory


@pytest.fixture
async def harness(tmp_path: Path, prepared_database: Path) -> AsyncGenerator[EngineHarness]:
    shutil.copy(prepared_database / "engine.db", tmp_path)
    async with EngineHarness(tmp_path) as harness:
        yield harness
