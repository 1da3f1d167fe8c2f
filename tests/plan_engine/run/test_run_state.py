"""How a run goes as a whole, without a run."""

from __future__ import annotations

import asyncio
from typing import Any

from broadcasters.events import PlanUpdate
from broadcasters.position import Position
from plan_engine.run.run_state import RunState


class Nowhere:
    """Where a run is told, and its place among others; each word takes a moment."""

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


async def test_a_plan_that_is_to_stop_obeys_nobody_else() -> None:
    nowhere: Any = Nowhere()
    state = RunState(nowhere, [], nowhere)
    obey = (state.pause, state.cancel, state.resume, state.cancel, state.pause)
    await asyncio.gather(*(signal("maria", f"~signal:{number}") for number, signal in enumerate(obey)))
    assert nowhere.acknowledged == ["pause", "cancel"]
    assert state.stop is not None
    assert state.stop.why == "cancelled"
    assert state.going.is_set()


async def test_only_a_plan_whose_steps_all_wait_leaves_its_place_to_another() -> None:
    nowhere: Any = Nowhere()
    state = RunState(nowhere, [], nowhere)
    with state.busy():
        with state.resting("asks"), state.resting("asks"):  # two things at once
            assert not nowhere.taken
            with state.busy():  # another step begins
                assert nowhere.taken
                with state.resting("pauses"):
                    assert not nowhere.taken
                assert nowhere.taken
            assert not nowhere.taken
        assert nowhere.taken
    assert nowhere.taken
