"""The plans of a worker that was taken for dead are handed over, even if that fails at first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from plan_engine.worker.store import Store
from plan_engine.worker.takeover import Takeover

Missing: Any = None


class QuietStore:
    """A store without dead workers."""

    async def call(self, do: Any, *args: Any) -> Any:
        return do(*args)

    def claim_dead(self, *_: Any) -> list[str]:
        return []


@pytest.mark.parametrize("error", [OperationalError("select", {}, Exception("away")), ValueError("not a number")])
async def test_the_plans_of_a_lost_worker_are_handed_over_once_that_succeeds(error: Exception) -> None:
    asked: list[Any] = []

    def listed(**_: Any) -> list[Any]:
        asked.append("listed")
        if len(asked) == 1:
            raise error
        return [SimpleNamespace(workflow_id="p", queue_name="q")]

    client = SimpleNamespace(list_workflows=listed, resume_workflow=lambda *_, **named: asked.append(named))
    takeover = Takeover(cast("Store", QuietStore()), cast("Any", client), Missing, Missing, "me", 10.0)
    takeover.disown()
    assert takeover.wake.is_set()
    for _ in range(3):
        try:
            await takeover.look()
        except ValueError:
            assert isinstance(error, ValueError)
    assert asked == ["listed", "listed", {"queue_name": "q"}], "tried again, and done once"
