"""A folded plan as events again."""

from __future__ import annotations

import pytest

from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, StepUpdate
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import empty
from hub.dialects.dialect import Told
from hub.dialects.dialect_events import retelling
from hub.dialects.places import BadCursor, place_of, place_said

AT = "2026-01-31T12:00:00.000Z"
STORY: list[PlanEvent] = [
    PlanUpdate(plan_id="p", title="A trip", timestamp=AT),
    StepUpdate(plan_id="p", step_id="one", status="completed", data={"result": [1]}, timestamp=AT),
    AgentMessage(plan_id="p", agent_name="Ana", content="hi", timestamp=AT),
    PlanUpdate(plan_id="p", status="completed", data={"found": 1}, timestamp=AT),
]


def test_a_snapshot_is_retold_as_it_happened() -> None:
    retold = [*retelling(fold(empty("p"), 1, STORY), "e")]
    assert [told.place for told in retold] == [Position("e", at) for at in (0, 2, 3, 4)]
    assert all(told.retold for told in retold)
    title, step, message, end = (told.event for told in retold)
    assert isinstance(title, PlanUpdate)
    assert title.title == "A trip"
    assert isinstance(step, StepUpdate)
    assert (step.status, step.data) == ("completed", {"result": [1]})
    assert isinstance(message, AgentMessage)
    assert (message.content, message.append) == ("hi", None)
    assert isinstance(end, PlanUpdate)
    assert (end.status, end.data) == ("completed", {"found": 1})
    assert [told.ending is not None for told in retold] == [False, False, False, True]


def test_a_step_that_ends_is_not_the_end() -> None:
    of_a_step = PlanUpdate(plan_id="p", step_id="one", status="completed")
    assert Told(Position("e", 1), of_a_step).ending is None
    assert Told(Position("e", 1), STORY[3]).ending is STORY[3]


def test_places_are_said_and_read() -> None:
    assert place_of(place_said(Position("e1", 5))) == Position("e1", 5)
    for text in ("", "e", "e:", "e:x", "a:1,b:2", "*:1"):
        with pytest.raises(BadCursor):
            place_of(text)
