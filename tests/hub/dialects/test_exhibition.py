"""An exhibition as pure translation: a plan's events as frames of the three stages."""

from __future__ import annotations

from typing import Any

from broadcasters.snapshot import empty
from hub.core.subscriber import Since
from hub.dialects.dialect import Disconnect, Follow, FollowedEvent, RefusedAction, SendFrame
from hub.dialects.exhibition import STAGES, ExhibitionDialect, ExhibitionFrames, proposal_of
from hub.wire.codes import CloseCode
from tests.hub.dialects.talk import followed, frames, rebuilt

PLAN = "exhibition:s1"
AT = "2026-08-31T12:00:00.000Z"
THEME = {"exhibition_title": "T", "subtitle": "S", "curatorial_statement": "C", "scholarly_rationale": "R"}


def _step(offset: int, status: str, stage: str = "theme_refinement", **fields: Any) -> FollowedEvent:
    return followed(PLAN, offset, "step_update", step_id=stage, status=status, timestamp=AT, **fields)


def _story(*events: FollowedEvent) -> list[dict[str, Any]]:
    story = ExhibitionFrames("s1")
    return [frame for event in events for frame in frames(story(event))]


def test_progress_has_the_fields_of_the_original() -> None:
    assert _story(_step(1, "in_progress", content="Refining the theme", data={"overall": 2})) == [
        {
            "type": "progress",
            "session_id": "s1",
            "stage": "theme_refinement",
            "progress": 2,
            "message": "Refining the theme",
            "updated_at": AT,
        }
    ]


def test_a_completed_stage_is_named_and_has_its_data() -> None:
    assert _story(_step(1, "completed", data=THEME)) == [
        {
            "type": "stage_complete",
            "session_id": "s1",
            "stage": "theme_refinement",
            "completed_stage": "theme_refinement",
            "progress": 25,
            "message": "Theme refinement complete",
            "updated_at": AT,
            "data": THEME,
        }
    ]


def test_the_stages_end_at_25_55_and_90_percent() -> None:
    told_so = _story(*(_step(n, "completed", stage, data={}) for n, stage in enumerate(STAGES, 1)))
    assert [(frame["completed_stage"], frame["progress"]) for frame in told_so] == [
        ("theme_refinement", 25),
        ("artist_discovery", 55),
        ("artwork_discovery", 90),
    ]


def test_progress_never_goes_backwards_and_a_stage_is_complete_once() -> None:
    told_so = _story(
        _step(1, "in_progress", content="half", data={"overall": 12}),
        _step(2, "retrying", content="Something went wrong. Trying again in 1 s"),
        _step(3, "in_progress", content="a tenth", data={"overall": 2}),
        _step(4, "completed", data=THEME),
        _step(4, "completed", data=THEME),
        _step(5, "in_progress", content="late", data={"overall": 20}),
    )
    assert [(frame["type"], frame["progress"]) for frame in told_so] == [
        ("progress", 12),
        ("progress", 12),
        ("progress", 12),
        ("stage_complete", 25),
    ]


def test_the_end_names_where_the_proposal_is() -> None:
    end = followed("exhibition:a~20b", 9, "plan_update", status="completed", progress=100.0)
    assert frames(ExhibitionFrames("a b")(end)) == [
        {"type": "completed", "session_id": "a b", "proposal_url": "/api/proposals/a%20b"}
    ]


def test_an_error_is_in_one_field() -> None:
    failed = followed(PLAN, 9, "plan_update", status="error", content="“FindPlans artists” failed")
    stopped = followed(PLAN, 9, "plan_update", status="cancelled", content="Stopped by ada")
    assert _story(failed) == [{"type": "error", "error": "“FindPlans artists” failed"}]
    assert _story(stopped) == [{"type": "error", "error": "Stopped by ada"}]


def test_what_this_front_end_has_no_words_for_is_left_out() -> None:
    events = [
        followed(PLAN, 1, "plan_update", status="pending", title="Exhibition"),
        followed(PLAN, 2, "plan_update", status="in_progress", progress=12.0),
        _step(3, "in_progress"),
        _step(4, "completed", "somebody_elses_step"),
        followed(PLAN, 5, "agent_message", agent_name="Curator", content="Hm"),
        followed(PLAN, 6, "tool_call", agent_name="Curator", call_id="1", tool_name="look", phase="started"),
    ]
    assert _story(*events) == []


def test_a_client_that_gets_a_snapshot_receives_every_stage() -> None:
    stages = [_step(n, "completed", stage, data={"n": n}) for n, stage in enumerate(STAGES, 1)]
    end = followed(PLAN, 9, "plan_update", status="completed", progress=100.0)
    said = _story(*rebuilt(PLAN, [*stages, end]))
    assert [frame["type"] for frame in said] == ["stage_complete"] * 3 + ["completed"]
    assert [frame.get("data") for frame in said] == [{"n": 1}, {"n": 2}, {"n": 3}, None]


def test_a_client_is_greeted_and_follows_from_the_beginning() -> None:
    since: Since = "start"
    assert [*ExhibitionDialect("s1").on_open()] == [
        SendFrame({"type": "connected", "session_id": "s1"}),
        Follow(PLAN, since),
    ]


def test_a_session_that_makes_no_plan_id_is_refused() -> None:
    said, hung_up = ExhibitionDialect("x" * 200).on_open()
    assert isinstance(said, SendFrame)
    assert said.frame["type"] == "error"
    assert hung_up == Disconnect(CloseCode.PROTOCOL_ERROR, "no plan id can be made of this session_id")


def test_messages_of_the_client_are_ignored() -> None:
    talk = ExhibitionDialect("s1")
    assert [*talk.on_message({"type": "ping"}), *talk.on_invalid_message("not JSON")] == []


def test_a_client_without_the_right_to_read_is_disconnected() -> None:
    said, hung_up = ExhibitionDialect("s1").on_refused(
        RefusedAction("forbidden", "no right to read this plan", PLAN, "follow")
    )
    assert isinstance(said, SendFrame)
    assert said.frame == {"type": "error", "error": "no right to read this plan"}
    assert hung_up == Disconnect(CloseCode.FORBIDDEN, "no right to read this plan")


def test_a_proposal_that_is_only_begun_has_no_parts() -> None:
    snapshot = empty(PLAN).model_copy(update={"created_at": AT, "updated_at": AT})
    proposal = proposal_of("s1", snapshot)
    assert (proposal.progress, proposal.exhibition_title, proposal.artists, proposal.artworks) == (0, None, [], [])
