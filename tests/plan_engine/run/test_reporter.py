"""A run's reporter, and when it must stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from broadcasters import Broadcaster
from broadcasters.events import PlanUpdate, build
from plan_engine.errors import Cancelled
from plan_engine.run.reporter import Reporter


class Held:
    """The ownership of a worker whose lease never ends."""

    held = True

    async def regained(self) -> bool:
        return True


async def test_reporting_after_the_worker_has_stopped_raises_cancelled(tmp_path: Path) -> None:
    said = build(PlanUpdate, {"plan_id": "p", "content": "Going on"})
    async with Broadcaster(f"sqlite:///{tmp_path / 'plans.db'}") as broadcaster:
        reporter = Reporter(broadcaster, Held(), "p")
        place = await reporter.send(said, "one")
        assert await reporter.send(said, "one") == place
    for _ in range(2):
        with pytest.raises(Cancelled):
            await reporter.send(said, "two")
    with pytest.raises(Cancelled):
        await reporter.send_all([(said, "two"), (said, "three")])
