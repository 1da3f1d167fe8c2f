"""`RunState` on its own."""

from __future__ import annotations

import asyncio
from typing import Any

from broadcasters.events import PlanUpdate
from broadcasters.position import Position
from plan_engine.run.run_state import RunState


class FakeReporter:
    """A reporter, where sending takes a moment, and a worker's slot."""

    plan_id = "p"

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.taken = True

    async def send(self, event: PlanUpdate, _: str) -> Position:
        await asyncio.sleep(0)
        self.acknowledged.append((event.data or {})["signal"])
        return Position("e", 1)

    def free(self) -> None:
        self.taken = False

    def take(self) -> None:
        self.taken = True


async def test_a_plan_that_stops_ignores_further_signals() -> None:
    fake: Any = FakeReporter()
    state = RunState(fake, [], fake, {})
    obey = (state.pause, state.cancel, state.resume, state.cancel, state.pause)
    await asyncio.gather(*(signal("maria", f"~signal:{number}") for number, signal in enumerate(obey)))
    assert fake.acknowledged == ["pause", "cancel"]
    assert state.stop is not None
    assert state.stop.why == "cancelled"
    assert state.going.is_set()


async def test_a_plan_frees_its_slot_only_while_all_its_steps_wait() -> None:
    fake: Any = FakeReporter()
    state = RunState(fake, [], fake, {})
    with state.busy():
        with state.resting("asks"), state.resting("asks"):  # waits for two things at once
            assert not fake.taken
            with state.busy():  # another step begins
                assert fake.taken
                with state.resting("pauses"):
                    assert not fake.taken
                assert fake.taken
            assert not fake.taken
        assert fake.taken
    assert fake.taken
