"""Usage in the protocols that have a place for it: P-AGU-1, P-AGU-2, P-AIS-2, and LangChain's `usage_metadata`."""

from __future__ import annotations

import json
from typing import Any

from broadcasters.changes import advance
from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, build
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty
from hub.protocols.ag_ui.encoder import AgUiEncoder
from hub.protocols.ai_sdk.encoder import UiMessageEncoder
from hub.protocols.langgraph.encoder import RunEncoder
from hub.protocols.segments import Advance, Ending

PLAN = "plan-1"


def part(text: str, **fields: Any) -> PlanEvent:
    about = {"plan_id": PLAN, "agent_name": "A", "message_type": "result", "message_id": "m", "append": True}
    return build(AgentMessage, {**about, "content": text, **fields})


STORY = [
    part("one ", usage={"output_tokens": 2}),
    part("two"),
    part("", final=True, usage={"model": "gpt-5", "input_tokens": 30, "output_tokens": 4, "cost": "0.10"}),
    build(PlanUpdate, {"plan_id": PLAN, "status": "completed"}),
]


def advanced() -> tuple[Snapshot, Advance]:
    before = empty(PLAN)
    after, changes = advance(before, [(at, at, event) for at, event in enumerate(STORY, 1)])
    return after, Advance(before=before, after=after, changes=changes, frames=(), epoch="e")


def data_in(stream: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith((b"data: {", b"data: [{"))]


def test_ag_ui_has_it_in_the_state_and_in_the_metadata_of_a_message() -> None:
    _, moved = advanced()
    events = data_in(b"".join(one.encoded for one in AgUiEncoder("t", "r").encode(moved) or ()))
    [ended] = [event for event in events if event["type"] == "TEXT_MESSAGE_END"]
    total = {"model": "gpt-5", "input_tokens": 30, "output_tokens": 6, "costs": {"USD": "0.1"}}
    assert ended["metadata"]["plancast"]["usage"] == total
    patches = [patch for event in events if event["type"] == "STATE_DELTA" for patch in event["delta"]]
    assert [patch["value"] for patch in patches if patch["path"] == "/usage"][-1] == total


def test_the_ai_sdk_has_that_of_the_plan_at_the_end_of_its_message() -> None:
    after, moved = advanced()
    closed = UiMessageEncoder().closing(after, Position("e", 4), Ending("stop"))
    [finish] = [chunk for chunk in data_in(closed or b"") if chunk["type"] == "finish"]
    assert finish["messageMetadata"]["plancast"]["usage"]["costs"] == {"USD": "0.1"}
    chunks = data_in(b"".join(one.encoded for one in UiMessageEncoder().encode(moved)))
    plans = [chunk["data"] for chunk in chunks if chunk["type"] == "data-plan"]
    assert plans[-1]["usage"]["output_tokens"] == 6


def test_langgraph_chunks_add_up_to_the_usage_of_the_message() -> None:
    after, moved = advanced()
    encoder = RunEncoder("r", "t", 0, frozenset({"messages", "values"}))
    sent = data_in(b"".join(one.encoded for one in encoder.encode(moved) or ()))
    chunks = [one[0] for one in sent if one.__class__ is list]
    used = [chunk["usage_metadata"] for chunk in chunks if "usage_metadata" in chunk]
    assert [(one["input_tokens"], one["output_tokens"], one["total_tokens"]) for one in used] == [
        (0, 2, 2),
        (30, 4, 34),
    ]
    [values] = [one for one in sent if "messages" in one]
    assert values["messages"][-1]["usage_metadata"]["total_tokens"] == 36
    assert values["messages"][-1]["response_metadata"] == {"model_name": "gpt-5"}
    assert values["plan"]["usage"]["costs"] == {"USD": "0.1"}
    assert after.usage is not None
