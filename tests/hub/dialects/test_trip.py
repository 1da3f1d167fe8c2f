"""The trip dialect as functions: events in, frames out; messages in, actions out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import ValidationError

from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, StepUpdate, build
from broadcasters.position import Position
from hub.dialects.dialect import Action, ControlPlan, Follow, FollowedEvent, RefusedAction, SendFrame, Start, Unfollow
from hub.dialects.trip import AskTrip, TripDialect, TripFrames, new_plan_id

PLAN = "trip-1"
ASKED = {"message": "plan a 3 day trip to Tokyo", "pois": [], "requirements": [], "plan": []}


def told(offset: int, event: PlanEvent, *, retold: bool = False) -> FollowedEvent:
    return FollowedEvent(Position("e", offset), event, retold)


def step(step_id: str, status: str, **fields: Any) -> StepUpdate:
    return build(StepUpdate, {"plan_id": PLAN, "step_id": step_id, "status": status, **fields})


def update(**fields: Any) -> PlanUpdate:
    return build(PlanUpdate, {"plan_id": PLAN, **fields})


def found(name: str) -> AgentMessage:
    data = {"poi": {"name": name}}
    return build(AgentMessage, {"plan_id": PLAN, "agent_name": "Scout", "content": name, "data": data})


def frames(acts: Iterable[Action]) -> list[dict[str, Any]]:
    return [dict(act.frame) for act in acts if isinstance(act, SendFrame)]


WHOLE = [
    update(title="A trip"),
    step("intents", "in_progress"),
    step("intents", "completed", data={"result": [{"intent": "poi", "action": "add", "value": "Tokyo"}]}),
    update(progress=20.0),
    found("Senso-ji"),
    step("pois", "completed", data={"result": [{"name": "Senso-ji"}]}),
    step("requirements", "completed", data={"result": []}),
    step("itinerary", "completed", data={"result": [{"title": "One", "days": []}]}),
    update(status="completed", progress=100.0, data={}),
]
IN_FRAMES = [
    {"type": "intents", "data": [{"intent": "poi", "action": "add", "value": "Tokyo"}]},
    {"type": "progress", "percent": 20},
    {"type": "poi", "data": {"name": "Senso-ji"}},
    {"type": "pois", "data": [{"name": "Senso-ji"}]},
    {"type": "requirements", "data": []},
    {"type": "plan", "data": [{"title": "One", "days": []}]},
    {"type": "progress", "percent": 100},
    {"type": "done"},
]


def original(frame: dict[str, Any]) -> dict[str, Any]:
    """Without what was added to the format."""
    return {name: value for name, value in frame.items() if name not in ("plan_id", "place", "code")}


def test_a_whole_plan_in_the_original_order() -> None:
    story = TripFrames()
    said = [frame for at, event in enumerate(WHOLE, 1) for frame in frames(story(told(at, event)))]
    assert [original(frame) for frame in said] == IN_FRAMES
    assert all(type(frame["percent"]) is int for frame in said if frame["type"] == "progress")


def test_the_last_frame_of_an_event_has_its_position() -> None:
    progress, done = TripFrames()(told(9, WHOLE[-1]))
    assert progress.position is None
    assert "place" not in progress.frame
    assert (done.position, done.frame["place"], done.frame["plan_id"]) == (Position("e", 9), "e:9", PLAN)


def test_repeated_results_are_sent_once() -> None:
    story = TripFrames()
    first = [frame for event in WHOLE[:-1] for frame in story(told(1, event))]
    again = [frame for event in WHOLE[:-1] for frame in story(told(1, event, retold=True))]
    assert (len(first), again) == (len(IN_FRAMES) - 2, [])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            update(status="error", content="“FindPlans places” failed: It is late"),
            "“FindPlans places” failed: It is late",
        ),
        (
            update(status="error", content="It failed", data={"error": {"type": "KeyError", "message": "'city'"}}),
            "It failed (KeyError: 'city')",
        ),
        (update(status="error"), "The trip could not be planned"),
        (update(status="cancelled", content="Stopped by ada"), "Stopped by ada"),
    ],
)
def test_a_plan_that_fails_ends_in_an_error(event: PlanUpdate, message: str) -> None:
    [frame] = frames(TripFrames()(told(3, event)))
    assert original(frame) == {"type": "error", "message": message}
    assert frame.get("code") == ("cancelled" if event.status == "cancelled" else None)


def test_events_without_an_equivalent_are_not_sent() -> None:
    for event in (WHOLE[0], WHOLE[1], step("pois", "error", content="no"), update(step_id="pois", status="error")):
        assert [*TripFrames()(told(1, event))] == []


# -- the conversation


def talk() -> TripDialect:
    numbers = iter(range(1, 100))
    return TripDialect(lambda: f"trip-{next(numbers)}")


def test_a_request_starts_a_plan_and_follows_it_from_its_start() -> None:
    client = talk()
    assert [*client.on_open()] == []
    assert [*client.on_message(ASKED)] == [Start("trip", ASKED, "trip-1")]
    assert [*client.on_started("trip-1")] == [
        SendFrame({"type": "started", "plan_id": "trip-1"}),
        Follow("trip-1", "start"),
    ]
    acts = [act for at, event in enumerate(WHOLE, 1) for act in client.on_event(told(at, event))]
    assert [original(frame) for frame in frames(acts)] == IN_FRAMES
    assert acts[-1] == Unfollow("trip-1")


def test_what_is_left_out_counts_as_empty() -> None:
    [start] = talk().on_message({"message": "hello", "plan": None})
    assert start == Start("trip", {"message": "hello", "pois": [], "requirements": [], "plan": []}, "trip-1")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({}, "Missing required field: message"),
        ({"message": ""}, "Missing required field: message"),
        ({"message": 3}, "message: "),
        ({"message": " "}, "message: "),
        ({"message": "hi", "pois": "Tokyo"}, "pois: "),
        ({"message": "hi", "plan": [1]}, "plan: "),
        ({"message": "hi", "plan_id": "other-1"}, "plan_id: "),
        ({"type": "resume"}, "plan_id: "),
        ({"type": "resume", "plan_id": "trip-*"}, "plan_id: "),
        ({"type": "resume", "plan_id": "trip-1", "place": "e"}, "place: expected epoch:offset; got 'e'"),
        ({"type": "cancel"}, ""),
    ],
)
def test_an_invalid_request_is_an_error(frame: dict[str, Any], message: str) -> None:
    [error] = frames(talk().on_message(frame))
    assert original(error)["type"] == "error"
    assert original(error)["message"].startswith(message)


def test_invalid_json_is_an_error() -> None:
    [error] = frames(talk().on_invalid_message("not JSON: Expecting value at character 0"))
    assert original(error) == {"type": "error", "message": "Invalid JSON: not JSON: Expecting value at character 0"}


def test_requests_are_worked_on_one_after_the_other() -> None:
    client = talk()
    assert [*client.on_message({"message": "one"})] == [Start("trip", {**ASKED, "message": "one"}, "trip-1")]
    assert [*client.on_message({"message": "two"})] == []
    [*_, unfollow, start] = client.on_event(told(9, WHOLE[-1]))
    assert (unfollow, start) == (Unfollow("trip-1"), Start("trip", {**ASKED, "message": "two"}, "trip-2"))


def test_only_so_many_requests_may_wait() -> None:
    client = talk()
    said = [frames(client.on_message({"message": "more"})) for _ in range(10)]
    assert said[:9] == [[]] * 9
    assert said[9][0]["code"] == "too_many_requests"


def test_a_request_under_way_can_be_cancelled() -> None:
    client = talk()
    [*client.on_message(ASKED)]
    [*client.on_started("trip-1")]
    assert [*client.on_message({"type": "cancel"})] == [ControlPlan("trip-1", "cancel")]
    stopped = update(status="cancelled", content="Stopped by ada")
    said = [*client.on_event(told(4, stopped))]
    assert [frame["code"] for frame in frames(said)] == ["cancelled"]
    assert said[-1] == Unfollow("trip-1")


def test_a_cancel_that_comes_before_the_start_is_not_lost() -> None:
    client = talk()
    [*client.on_message(ASKED)]
    assert [*client.on_message({"type": "cancel"})] == []
    assert [*client.on_started("trip-1")][1:] == [Follow("trip-1"), ControlPlan("trip-1", "cancel")]
    [*client.on_event(told(4, update(status="cancelled")))]
    [*client.on_message({"message": "again"})]
    assert [*client.on_started("trip-2")][1:] == [Follow("trip-2")]


def test_a_plan_that_can_not_be_started_or_followed_is_over() -> None:
    for act in ("start", "follow"):
        client = talk()
        [*client.on_message(ASKED)]
        error, unfollow = client.on_refused(RefusedAction("forbidden", "no right", "trip-1", act))
        assert (frames([error])[0]["message"], unfollow) == ("no right", Unfollow("trip-1"))
        assert [*client.on_message({"message": "again"})] == [Start("trip", {**ASKED, "message": "again"}, "trip-2")]


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    client = talk()
    [*client.on_message(ASKED)]
    assert len([*client.on_refused(RefusedAction("not_supported", "it has ended", "trip-1", "signal"))]) == 1
    assert [*client.on_message({"message": "next"})] == []


def test_a_trip_is_resumed_from_a_position_or_from_its_start() -> None:
    resume = {"type": "resume", "plan_id": "trip-7"}
    assert [*talk().on_message(resume)] == [Follow("trip-7", "start")]
    assert [*talk().on_message({**resume, "place": "e:5"})] == [Follow("trip-7", Position("e", 5))]
    busy = talk()
    [*busy.on_message(ASKED)]
    assert frames(busy.on_message(resume))[0]["code"] == "too_many_requests"


def test_a_plan_that_was_resumed_and_is_not_there_can_be_let_go() -> None:
    client = talk()
    [*client.on_message({"type": "resume", "plan_id": "trip-7"})]
    assert [*client.on_message(ASKED)] == []
    assert [*client.on_message({"type": "cancel"})] == [ControlPlan("trip-7", "cancel")]
    error, unfollow, start = client.on_refused(RefusedAction("not_supported", "no engine runs it", "trip-7", "signal"))
    assert (frames([error])[0]["code"], unfollow) == ("not_supported", Unfollow("trip-7"))
    assert start == Start("trip", ASKED, "trip-1")


def test_plan_ids_are_random_and_of_the_rule() -> None:
    one, other = new_plan_id(), new_plan_id()
    assert one != other
    assert one.startswith("trip-")
    assert len(one) == len("trip-") + 32


@pytest.mark.parametrize("name", ["pois", "requirements", "plan"])
def test_items_beyond_the_limit_are_not_checked(name: str) -> None:
    """Listing the errors of half a million items takes seconds, in which the hub serves no client."""
    AskTrip.model_validate({"message": "Rome", name: [{}] * 200})
    with pytest.raises(ValidationError) as refused:
        AskTrip.model_validate({"message": "Rome", name: [1] * 1000})
    assert refused.value.error_count() <= 201
