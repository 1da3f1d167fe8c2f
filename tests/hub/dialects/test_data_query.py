"""Data queries as pure translation: a plan's events as frames, and one client's conversation."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from typing import Any, cast

import pytest

from broadcasters.log.contract import PlanEntry, PlanLog
from broadcasters.position import Position
from hub.dialects import conversations
from hub.dialects.conversations import conversations_of, preview
from hub.dialects.data_query import QueryDialect, QueryFrames
from hub.dialects.dialect import (
    Action,
    ControlPlan,
    Disconnect,
    FindPlans,
    Follow,
    FollowedEvent,
    RefusedAction,
    Start,
    Unfollow,
)
from hub.wire.codes import CloseCode
from tests.hub.dialects.talk import followed, frames, rebuilt


def _plan_id(number: int) -> str:
    return f"query:ada:s:{number}"


def _entry(
    plan_id: str, status: str = "completed", labels: tuple[str, ...] = (), at: str = "1", title: str | None = None
) -> PlanEntry:
    return PlanEntry(plan_id, Position("e", 9), status, title, None, None, labels, f"created {at}", f"updated {at}")


def _begins(number: int, mark: str | None = None, conversation: str = "c") -> FollowedEvent:
    labels = [f"data_query:conversation:ada/{conversation}", *([f"data_query:asking:{mark}"] if mark else [])]
    return followed(_plan_id(number), 1, "plan_update", status="pending", title="?", labels=labels)


def _ends(number: int, status: str = "completed", **fields: Any) -> FollowedEvent:
    return followed(_plan_id(number), 9, "plan_update", status=status, **fields)


def _progress(offset: int, text: str, overall: int, retries: int = 0) -> FollowedEvent:
    data = {"overall": overall, "retry_count": retries}
    return followed(_plan_id(1), offset, "step_update", step_id="sql", status="in_progress", content=text, data=data)


# ---- the story of one question


def _story(*events: FollowedEvent) -> list[dict[str, Any]]:
    story = QueryFrames("c")
    return [frame for event in events for frame in frames(story(event))]


def test_a_question_from_beginning_to_end() -> None:
    more = {"conversation_id": "c", "query_id": _plan_id(1)}
    answer = {"response": "£3", "retries": {"sql": 1}}
    events = [_progress(2, "Planning Task...", 15), _progress(3, "Fetching Data... (retry 1)", 30, 1)]
    assert _story(_begins(1), *events, _ends(1, data=answer)) == [
        {"type": "started", "data": {"message": "Planning Task...", "progress": 0, **more}},
        {"type": "progress", "data": {"message": "Planning Task...", "progress": 15, "retry_count": 0, **more}},
        {
            "type": "progress",
            "data": {"message": "Fetching Data... (retry 1)", "progress": 30, "retry_count": 1, **more},
        },
        {"type": "completed", "data": {"message": "Complete!", "progress": 100, **answer, **more}},
    ]


def test_progress_never_goes_backwards() -> None:
    said = _story(_begins(1), _progress(2, "Validating Data...", 40), _progress(3, "Fetching Data... (retry 1)", 30, 1))
    assert [frame["data"]["progress"] for frame in said] == [0, 40, 40]


def test_who_comes_when_only_a_snapshot_is_left_has_the_answer() -> None:
    answer = {"response": "£3", "retries": {}, "conversation_id": "c7"}
    story = [_begins(1), _progress(2, "Fetching Data...", 30), _ends(1, progress=100.0, data=answer)]
    said = _story(*rebuilt(_plan_id(1), story))
    assert [frame["type"] for frame in said][:: len(said) - 1] == ["started", "completed"]
    assert (said[-1]["data"]["response"], said[-1]["data"]["conversation_id"]) == ("£3", "c7")


@pytest.mark.parametrize("status", ["error", "cancelled"])
def test_a_question_that_fails(status: str) -> None:
    [_, failed] = _story(_begins(1), _ends(1, status, content="It could not be found"))
    assert failed["type"] == "error"
    assert failed["data"]["message"] == failed["data"]["error"] == "It could not be found"


def test_people_are_shown_no_sql() -> None:
    call: dict[str, Any] = {"agent_name": "Data Engineer", "call_id": "1", "tool_name": "check_sql"}
    asked = followed(_plan_id(1), 2, "tool_call", phase="started", arguments={"sql": "SELECT 1"}, **call)
    events = [_begins(1), asked]
    said = _story(*events, _ends(1, data={"response": "one", "sql": "SELECT 1"}))
    assert "SELECT" not in str(said)


# ---- the conversation of one client


def _talk(*known: PlanEntry, resume: bool = False) -> tuple[QueryDialect, list[Action]]:
    """An admitted client, and the actions at its start."""
    marks = iter(f"m{n}" for n in range(1, 99))
    talk = QueryDialect("ada", "s", resume, lambda: next(marks))
    assert [*talk.on_open()] == [FindPlans("data_query:session:ada/s")]
    return talk, [*talk.on_found(known)]


def _asked(talk: QueryDialect, query: str = "sales?", **more: Any) -> list[Action]:
    return [*talk.on_message({"type": "query", "query": query, **more})]


def _starts(acts: Iterable[Action]) -> list[str]:
    return [act.plan_id for act in acts if isinstance(act, Start)]


def test_a_new_session_waits_for_its_first_plan() -> None:
    assert _talk()[1] == [Follow(_plan_id(1))]


def test_a_client_that_reconnects_during_a_question_receives_all_of_it() -> None:
    assert _talk(_entry(_plan_id(2), "in_progress"), _entry(_plan_id(1)))[1] == [Follow(_plan_id(2))]


def test_an_answered_question_is_repeated_only_with_resume() -> None:
    assert _talk(_entry(_plan_id(2)), _entry(_plan_id(1)))[1] == [Follow(_plan_id(3))]
    assert _talk(_entry(_plan_id(2)), _entry(_plan_id(1)), resume=True)[1] == [Follow(_plan_id(2))]


def test_other_plans_of_that_label_are_none_of_ours() -> None:
    others = [_entry("query:ada:other:7"), _entry("query:ada:s:x"), _entry("query:ada:s"), _entry("plan-1")]
    assert _talk(*others)[1] == [Follow(_plan_id(1))]


def test_a_question_becomes_the_next_plan() -> None:
    talk, _ = _talk(_entry(_plan_id(4)))
    [start] = _asked(talk, "sales?", conversation_id="c9")
    assert start == Start(
        "data_query",
        {
            "query": "sales?",
            "conversation_id": "c9",
            "asking": "m1",
            "user_id": "ada",
            "session_id": "s",
            "may_ask": False,
        },
        _plan_id(5),
    )


def test_without_a_conversation_it_is_the_sessions() -> None:
    [start] = _asked(_talk()[0])
    assert isinstance(start, Start)
    assert start.input["conversation_id"] == "s"


def test_questions_asked_before_it_is_known_what_there_is_wait() -> None:
    talk = QueryDialect("ada", "s")
    assert [*talk.on_open()] == [FindPlans("data_query:session:ada/s")]
    assert _asked(talk) == []
    assert _starts(talk.on_found([_entry(_plan_id(1))])) == [_plan_id(2)]


def test_plans_are_followed_one_after_the_other() -> None:
    talk, _ = _talk()
    assert _starts(_asked(talk)) == [_plan_id(1)]
    assert _asked(talk, "orders?") == []
    assert _starts(talk.on_started(_plan_id(1))) == [_plan_id(2)]
    assert [frame["type"] for frame in frames(talk.on_event(_begins(1, "m1")))] == ["started"]
    assert [*talk.on_event(_begins(2, "m2"))] == []  # not followed yet
    acts = [*talk.on_event(_ends(1, data={"response": "£3"}))]
    assert [frame["type"] for frame in frames(acts)] == ["completed"]
    assert acts[1:] == [Unfollow(_plan_id(1)), Follow(_plan_id(2))]


def test_a_question_of_another_tab_is_received_too() -> None:
    talk, _ = _talk()
    [started] = frames(talk.on_event(_begins(1, "another's", "c7")))
    assert started["data"]["conversation_id"] == "c7"


def test_of_two_that_asked_at_once_the_second_asks_again() -> None:
    talk, _ = _talk()
    assert _starts(_asked(talk)) == [_plan_id(1)]
    assert _starts(talk.on_started(_plan_id(1))) == []
    acts = [*talk.on_event(_begins(1, "another's"))]
    assert _starts(acts) == [_plan_id(2)]
    assert _starts(talk.on_event(_ends(1))) == []
    [*talk.on_started(_plan_id(2))]
    assert _starts(talk.on_event(_begins(2, "m1"))) == []


def test_a_question_that_could_not_be_started_leaves_no_hole() -> None:
    talk, _ = _talk()
    assert _starts(_asked(talk)) == [_plan_id(1)]
    [said] = frames(talk.on_refused(RefusedAction("unavailable", "the engine does not answer", _plan_id(1), "start")))
    assert said == {
        "type": "error",
        "data": {"message": "the engine does not answer", "error": "the engine does not answer"},
    }
    assert _starts(_asked(talk)) == [_plan_id(1)]


def test_a_question_can_be_cancelled_while_it_is_worked_on() -> None:
    talk, _ = _talk()
    assert frames(talk.on_message({"type": "cancel"}))[0]["type"] == "error"
    [*talk.on_event(_begins(1))]
    assert [*talk.on_message({"type": "cancel"})] == [ControlPlan(_plan_id(1), "cancel")]


def test_a_ping_is_answered() -> None:
    assert frames(_talk()[0].on_message({"type": "ping"})) == [{"type": "pong", "data": {"session_id": "s"}}]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ({"type": "query"}, "Missing required field: query"),
        ({"type": "query", "query": " "}, "Missing required field: query"),
        ({"type": "query", "query": 7}, "Missing required field: query"),
        ({"type": "query", "query": "x" * 4001}, "query: "),
        ({"type": "query", "query": "?", "conversation_id": 7}, "conversation_id: "),
        ({"type": "query", "query": "?", "conversation_id": "x" * 129}, "conversation_id: "),
        ({"type": "hello"}, "Unknown message type: 'hello'"),
        ({}, "Unknown message type: None"),
    ],
)
def test_an_invalid_question_is_an_error(frame: dict[str, Any], says: str) -> None:
    [error] = frames(_talk()[0].on_message(frame))
    assert error["type"] == "error"
    assert error["data"]["message"].startswith(says)


def test_garbage_is_answered_with_an_error() -> None:
    assert (
        frames(_talk()[0].on_invalid_message("it is not JSON"))[0]["data"]["message"] == "Invalid JSON: it is not JSON"
    )


def test_too_many_questions_at_once_are_refused() -> None:
    talk, _ = _talk()
    acts = [act for n in range(10) for act in _asked(talk, f"{n}?")]
    assert len(_starts(acts)) == 1
    assert [frame["data"]["message"] for frame in frames(acts)] == ["8 questions are waiting; wait for an answer first"]


def test_names_that_make_no_plan_id_are_refused() -> None:
    acts = [*QueryDialect("x" * 100, "y" * 100).on_open()]
    assert frames(acts)[0]["type"] == "error"
    assert acts[-1] == Disconnect(CloseCode.PROTOCOL_ERROR, "no plan id can be made of this user_id and session_id")


@pytest.mark.parametrize(("code", "close"), [("forbidden", CloseCode.FORBIDDEN), ("plan_deleted", CloseCode.INTERNAL)])
def test_a_client_that_may_not_follow_is_disconnected(code: str, close: CloseCode) -> None:
    acts = [*_talk()[0].on_refused(RefusedAction(code, "no", _plan_id(1), "follow"))]
    assert acts[-1] == Disconnect(close)


# ---- the history


def test_a_preview_is_short() -> None:
    assert preview("Show me\n my top posts") == "Show me my top posts"
    assert preview("x" * 100) == "x" * 100
    assert preview("y" * 101) == "y" * 97 + "..."


def test_plans_are_gathered_into_conversations() -> None:
    one, two = ("data_query:conversation:ada/one",), ("data_query:user:ada", "data_query:conversation:ada/two")
    plans = [
        _entry(_plan_id(3), "in_progress", one, "3", "third"),
        _entry(_plan_id(2), "completed", two, "2", "second"),
        _entry(_plan_id(1), "completed", one, "1", "first"),
        _entry("plan-1", labels=("data_query:user:ada",)),
    ]
    found = conversations_of("ada", plans)
    assert found.count == 2
    assert [(c.conversation_id, c.message_count, c.preview) for c in found.conversations] == [
        ("one", 3, "first"),
        ("two", 2, "second"),
    ]
    assert (found.conversations[0].created_at, found.conversations[0].last_updated) == ("created 1", "updated 3")


class _Folded:
    def __init__(self, **said: Any) -> None:
        self.__dict__ |= said


async def test_a_long_conversation_is_not_in_memory_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot may weigh a megabyte, and a conversation has hundreds."""
    alive, most = weakref.WeakSet[_Folded](), 0

    async def snapshot_of(_: object, plan_id: str) -> tuple[_Folded, None]:
        nonlocal most
        await asyncio.sleep(0)
        said = {"result": {"query": "?", "response": plan_id}, "title": "?", "status": "completed"}
        snapshot = _Folded(plan_id=plan_id, created_at="", ended_at="", **said)
        alive.add(snapshot)
        most = max(most, len(alive))
        return snapshot, None

    monkeypatch.setattr(conversations, "snapshot_of", snapshot_of)
    plans = [_entry(_plan_id(number)) for number in range(100)]
    messages = await conversations._messages(cast("PlanLog", None), plans)
    assert [message.content for message in messages[1::2]] == [plan.plan_id for plan in plans]
    assert most <= 2 * conversations.CONCURRENT_READS
