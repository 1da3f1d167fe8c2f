"""A house for each test, and no DBOS left behind by any."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.plan_engine.house import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with House(tmp_path) as house:
        yield house
