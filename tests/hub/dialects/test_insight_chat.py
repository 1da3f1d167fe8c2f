"""The insight chat's dialect as functions: events in, statuses out, the same whichever way they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, build
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty
from hub.dialects.dialect import FollowedEvent
from hub.dialects.insight_chat import news, plan_of, status_of

PLAN = "insight-1"
AT = "2026-01-31T12:00:00.000Z"


def said(kind: str, text: str) -> AgentMessage:
    data = {"type": kind, "payload": {"text": text}}
    return build(
        AgentMessage, {"plan_id": PLAN, "agent_name": "Insight Agent", "content": text, "data": data, "timestamp": AT}
    )


def update(**fields: Any) -> PlanUpdate:
    return build(PlanUpdate, {"plan_id": PLAN, "timestamp": AT, **fields})


def message(offset: int, kind: str, text: str) -> dict[str, Any]:
    known = {"id": str(offset), "type": kind, "sender": "bot", "content": text}
    return {**known, "data": {"text": text}, "timestamp": AT}


def folded(events: Sequence[PlanEvent]) -> Snapshot:
    return fold(empty(PLAN), 1, events)


STORY: list[PlanEvent] = [
    update(title="How warm?"),
    build(AgentMessage, {"plan_id": PLAN, "agent_name": "Insight Agent", "content": "I'm the offline model."}),
    said("intent_parsed", "Intent"),
    said("insight_generated", "18 °C"),
    update(status="completed", data={"insight_result": {"text": "18 °C"}}),
]
MESSAGES = [message(3, "intent_parsed", "Intent"), message(4, "insight_generated", "18 °C")]
NOTHING: dict[str, Any] = {"result": None, "error": None}


def test_each_event_has_its_news() -> None:
    said = [
        dict(one.frame) for at, event in enumerate(STORY, 1) for one in news(FollowedEvent(Position("e", at), event))
    ]
    assert said == [
        {"status": "processing", "messages": MESSAGES[:1], **NOTHING},
        {"status": "processing", "messages": MESSAGES[1:], **NOTHING},
        {"status": "completed", "messages": [], "result": {"insight_result": {"text": "18 °C"}}, "error": None},
    ]


def test_news_have_their_position() -> None:
    [one] = news(FollowedEvent(Position("e", 3), STORY[2]))
    assert one.position == Position("e", 3)


def test_a_status_is_all_the_news_in_one() -> None:
    half = status_of(folded(STORY[:3])).model_dump()
    assert half == {"status": "processing", "messages": MESSAGES[:1], **NOTHING}
    whole = status_of(folded(STORY)).model_dump()
    result = {"insight_result": {"text": "18 °C"}}
    assert whole == {"status": "completed", "messages": MESSAGES, "result": result, "error": None}


@pytest.mark.parametrize("status", ["error", "cancelled"])
def test_a_task_that_fails_has_a_reason(status: str) -> None:
    story = [*STORY[:3], update(status=status, content="Stopped by ada")]
    said = status_of(folded(story)).model_dump()
    assert said == {"status": "error", "messages": MESSAGES[:1], "result": None, "error": "Stopped by ada"}


def test_an_empty_plan_is_being_processed() -> None:
    assert status_of(folded(STORY[:1])).model_dump() == {"status": "processing", "messages": [], **NOTHING}


@pytest.mark.parametrize(
    ("task_id", "plan_id"),
    [
        ("e1fe16bf-be51-423f-b802-49fcebea79cd", "insight-e1fe16bf-be51-423f-b802-49fcebea79cd"),
        ("E1FE16BF-BE51-423F-B802-49FCEBEA79CD", None),
        ("e1fe16bf-be51-423f-b802-49fcebea79cd\n", None),
        ("*", None),
        ("", None),
    ],
)
def test_only_a_uuid_leads_to_a_plan(task_id: str, plan_id: str | None) -> None:
    assert plan_of(task_id) == plan_id
