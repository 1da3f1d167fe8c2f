"""Events that open, interrupt and end a plan, each with its idempotency key.

The keys are part of what logs store: a run that is recovered, or ended by another program, sends the same event under the
same key, and the log keeps the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pydantic_core import to_json

from broadcasters import workers
from broadcasters.events import (
    AgentMessage,
    PlanEvent,
    PlanStatus,
    PlanUpdate,
    StepStatus,
    StepUpdate,
    ToolCall,
    ToolPhase,
    build,
)
from broadcasters.snapshot import MessageState, Snapshot
from broadcasters.usage import UsageFields
from plan_engine.model.plan import Plan

__all__ = [
    "BROKEN_OFF",
    "KeyedEvent",
    "about",
    "broken_off",
    "interrupted",
    "opening",
    "plan_begin",
    "plan_end",
    "stalled_steps",
    "step_end",
    "tool_end",
]

KeyedEvent: TypeAlias = tuple[PlanEvent, str]
"""An event and its idempotency key."""

BROKEN_OFF: Final = "broken off"
"""Result of a tool call that ended without one."""
RESTARTED: Final = "its worker was restarted"
REQUEST_BYTES: Final = 16 * 1024
INPUT_BYTES: Final = 16 * 1024


def about(template: str, plan: Plan) -> dict[str, Any]:
    """The data of the plan itself: its template, its input, and what a person wrote to start it."""
    request = plan.request or ""
    if len(encoded := request.encode(errors="replace")) > REQUEST_BYTES:
        request = encoded[:REQUEST_BYTES].decode(errors="ignore") + "…"
    data: dict[str, Any] = {"template": template}
    if request.strip():
        data["request"] = request
    if plan.input and len(to_json(plan.input)) <= INPUT_BYTES:
        data["input"] = dict(plan.input)
    return data


def opening(plan_id: str, template: str, owner: str | None, plan: Plan) -> Iterator[KeyedEvent]:
    """The plan and all its steps as pending. Sent when the plan is queued, and again (without effect) when it begins."""
    first = {
        "plan_id": plan_id,
        "status": "pending",
        "title": plan.title,
        "owner": owner,
        "labels": [*plan.labels] or None,
        "data": about(template, plan),
    }
    yield build(PlanUpdate, first), "~plan:pending"
    for step in plan.steps:
        fields = {
            "plan_id": plan_id,
            "step_id": step.id,
            "status": "pending",
            "title": step.title,
            "needs": [*step.needs] or None,
            "agent_name": step.agent_name,
            "max_attempts": step.retries + 1,
        }
        yield build(StepUpdate, fields), f"{step.id}:pending"


def plan_begin(plan_id: str) -> KeyedEvent:
    """The plan as begun."""
    return build(PlanUpdate, {"plan_id": plan_id, "status": "in_progress"}), "~plan:begin"


def plan_end(plan_id: str, status: PlanStatus, **fields: Any) -> KeyedEvent:
    """The end of the plan. A plan has only one: the key is the same for every sender."""
    return build(PlanUpdate, {"plan_id": plan_id, "status": status, **fields}), "~plan:end"


def step_end(plan_id: str, step_id: str, status: StepStatus, content: str | None, **fields: Any) -> KeyedEvent:
    """The end of a step. A step has only one: the key is the same for every sender."""
    known = {"plan_id": plan_id, "step_id": step_id, "status": status, "content": content}
    return build(StepUpdate, {**known, **fields}), f"{step_id}:end"


def tool_end(call: Mapping[str, Any], phase: ToolPhase, result: Any, usage: UsageFields | None = None) -> KeyedEvent:
    """The end of a tool call; `call` has the event's other fields."""
    return build(ToolCall, {**call, "phase": phase, "result": result, "usage": usage}), f"{call['call_id']}:end"


def stalled_steps(snapshot: Snapshot) -> Iterator[KeyedEvent]:
    """The steps of a plan whose worker is gone, as stalled."""
    for event in workers.stalled_steps(snapshot, "The worker running this step is gone; another one will continue it"):
        yield event, f"{event.step_id}:{event.attempt}:stalled"


def interrupted(snapshot: Snapshot, step_ids: Collection[str]) -> Sequence[KeyedEvent]:
    """The ends of the messages and tool calls that these steps left open when their worker died."""
    return [*_open_messages(snapshot, step_ids), *_open_tools(snapshot, step_ids)]


def _open_messages(snapshot: Snapshot, step_ids: Collection[str]) -> Iterator[KeyedEvent]:
    for state in snapshot.messages:
        if state.streaming and state.step_id in step_ids:
            yield broken_off(snapshot.plan_id, state, RESTARTED), f"{state.message_id}:end"


def _open_tools(snapshot: Snapshot, step_ids: Collection[str]) -> Iterator[KeyedEvent]:
    for state in snapshot.tool_calls:
        if state.phase == "started" and state.step_id in step_ids:
            call = {
                "plan_id": snapshot.plan_id,
                "agent_name": state.agent_name,
                "call_id": state.call_id,
                "tool_name": state.tool_name,
                "step_id": state.step_id,
            }
            yield tool_end(call, "error", f"{BROKEN_OFF}: {RESTARTED}")


def broken_off(plan_id: str, message: MessageState, why: str) -> AgentMessage:
    """The end of a streamed message that will not be continued, with an error mark."""
    fields = {
        "plan_id": plan_id,
        "agent_name": message.agent_name,
        "content": "",
        "message_type": message.message_type,
        "step_id": message.step_id,
        "message_id": message.message_id,
        "append": True,
        "final": True,
        "error": why,
    }
    return build(AgentMessage, fields)
