"""How a run goes as a whole, without a run."""

from __future__ import annotations

import asyncio
from typing import Any

from broadcasters.events import PlanUpdate
from broadcasters.position import Position
from plan_engine.run.run_state import Course


class Nowhere:
    """Where a run is told, and its place among others; each word takes a moment."""

    plan_id = "p"

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.taken = True

    async def tell(self, event: PlanUpdate, _: str) -> Position:
        await asyncio.sleep(0)
        self.acknowledged.append((event.data or {})["signal"])
        return Position("e", 1)

    def free(self) -> None:
        self.taken = False

    def take(self) -> None:
        self.taken = True


async def test_a_plan_that_is_to_stop_obeys_nobody_else() -> None:
    nowhere: Any = Nowhere()
    course = Course(nowhere, [], nowhere)
    obey = (course.pause, course.cancel, course.resume, course.cancel, course.pause)
    await asyncio.gather(*(signal("maria", f"~signal:{number}") for number, signal in enumerate(obey)))
    assert nowhere.acknowledged == ["pause", "cancel"]
    assert course.stop is not None
    assert course.stop.why == "cancelled"
    assert course.going.is_set()


async def test_only_a_plan_whose_steps_all_wait_leaves_its_place_to_another() -> None:
    nowhere: Any = Nowhere()
    course = Course(nowhere, [], nowhere)
    with course.busy():
        with course.resting("asks"), course.resting("asks"):  # two things at once
            assert not nowhere.taken
            with course.busy():  # another step begins
                assert nowhere.taken
                with course.resting("pauses"):
                    assert not nowhere.taken
                assert nowhere.taken
            assert not nowhere.taken
        assert nowhere.taken
    assert nowhere.taken
