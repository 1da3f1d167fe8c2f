"""What dialects share: events rebuilt from snapshots, feeds of one plan, and other systems' names in plan ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import InvalidPlanId
from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, StepUpdate, check_plan_id
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import empty
from hub.dialects.dialect import (
    Disconnect,
    Follow,
    FollowedEvent,
    PlanFeed,
    RefusedAction,
    SendFrame,
    plan_id_of,
    rebuilt_events,
)
from hub.wire.codes import CloseCode

AT = "2026-01-31T12:00:00.000Z"
EVENTS: list[PlanEvent] = [
    PlanUpdate(plan_id="p", title="A trip", timestamp=AT),
    StepUpdate(plan_id="p", step_id="one", status="completed", data={"result": [1]}, timestamp=AT),
    AgentMessage(plan_id="p", agent_name="Ana", content="hi", timestamp=AT),
    PlanUpdate(plan_id="p", status="completed", data={"found": 1}, timestamp=AT),
]


def test_a_snapshot_is_rebuilt_in_the_order_of_its_events() -> None:
    rebuilt = [*rebuilt_events(fold(empty("p"), 1, EVENTS), "e")]
    assert [one.position for one in rebuilt] == [Position("e", at) for at in (0, 2, 3, 4)]
    assert all(one.rebuilt for one in rebuilt)
    title, step, message, end = (one.event for one in rebuilt)
    assert isinstance(title, PlanUpdate)
    assert title.title == "A trip"
    assert isinstance(step, StepUpdate)
    assert (step.status, step.data) == ("completed", {"result": [1]})
    assert isinstance(message, AgentMessage)
    assert (message.content, message.append) == ("hi", None)
    assert isinstance(end, PlanUpdate)
    assert (end.status, end.data) == ("completed", {"found": 1})
    assert [one.ends_plan for one in rebuilt] == [False, False, False, True]


def test_a_step_that_ends_is_not_the_end() -> None:
    of_a_step = PlanUpdate(plan_id="p", step_id="one", status="completed")
    assert not FollowedEvent(Position("e", 1), of_a_step).ends_plan
    assert FollowedEvent(Position("e", 1), EVENTS[3]).ends_plan


def test_a_feed_ends_with_its_plan_or_with_a_refusal() -> None:
    feed = PlanFeed("p", lambda followed: [SendFrame({"at": followed.position.offset})])
    assert [*feed.on_open()] == [Follow("p", "start")]
    message = AgentMessage(plan_id="p", agent_name="Ana", content="hi")
    assert [*feed.on_event(FollowedEvent(Position("e", 1), message))] == [SendFrame({"at": 1})]
    end = PlanUpdate(plan_id="p", status="error")
    assert [*feed.on_event(FollowedEvent(Position("e", 2), end))] == [SendFrame({"at": 2}), Disconnect()]
    refusal = RefusedAction("forbidden", "no right", "p", "follow")
    assert [*feed.on_refused(refusal)] == [Disconnect(CloseCode.INTERNAL, "no right")]
    assert feed.refused is refusal


# -- ids


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("user123", "user123"),
        ("ada@example.org", "ada@example.org"),
        ("a:b", "a~3Ab"),
        ("a~3Ab", "a~7E3Ab"),
        ("*", "~2A"),
        ("{x}", "~7Bx~7D"),
        ("é", "~C3~A9"),
        ("\ud800", "~ED~A0~80"),
    ],
)
def test_names_are_escaped(name: str, written: str) -> None:
    assert plan_id_of("query", name) == f"query:{written}"


@pytest.mark.parametrize("names", [("",), ("a", ""), ("x" * 200,), ("é" * 40,)])
def test_names_that_make_no_plan_id_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidPlanId):
        plan_id_of("query", *names)


NAMES = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3)


@given(NAMES, NAMES)
def test_different_names_have_different_plan_ids(one: list[str], other: list[str]) -> None:
    assert (plan_id_of("k", *one) == plan_id_of("k", *other)) is (one == other)
    assert check_plan_id(plan_id_of("k", *one))
