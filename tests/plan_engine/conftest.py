"""A house for each test, with its databases ready; and no DBOS left behind by any."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.plan_engine.house import House


@pytest.fixture(scope="session")
def model_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the databases of all houses are made once."""
    directory = tmp_path_factory.mktemp("model-house")

    async def build() -> None:
        async with House(directory) as house, house.engine(work=False):
            pass

    asyncio.run(build())
    return directory


@pytest.fixture
async def house(tmp_path: Path, model_house: Path) -> AsyncGenerator[House]:
    shutil.copy(model_house / "engine.db", tmp_path)
    async with House(tmp_path) as house:
        yield house
