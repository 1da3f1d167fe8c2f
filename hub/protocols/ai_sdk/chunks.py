"""Chunks of a UI message stream, which the AI SDK's client applies to the assistant's message.

Ids come from the offset of a part's first event, so that they are the same in each replay, and those of tools have the
plan's id as well, since the client looks them up in all messages of a chat.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast

from broadcasters.changes import PlanFields, plain_usage
from broadcasters.position import Position
from broadcasters.snapshot import ArtifactState, InputState, MessageState, Snapshot, StepState, ToolCallState

__all__ = [
    "ASK",
    "DONE",
    "Chunk",
    "answered",
    "artifact",
    "asked",
    "encoded",
    "finish",
    "message_id_of",
    "part_end",
    "part_of",
    "part_start",
    "part_text",
    "plan",
    "plan_id_of",
    "question",
    "start",
    "step",
    "tool_call",
    "tool_failed",
    "tool_input",
    "tool_output",
    "tool_part_id",
]

Chunk = dict[str, Any]
DONE: Final = b"data: [DONE]\n\n"
ASK: Final = "ask_person"
"""The tool that stands for questions to a person."""
_ANSWER: Final = "-answer"
_NO: Final = frozenset({"no", "n", "false", "reject", "rejected", "deny", "denied"})
_STEP_FIELDS: Final = frozenset(
    {
        "step_id",
        "title",
        "status",
        "content",
        "progress",
        "agent_name",
        "needs",
        "attempt",
        "max_attempts",
        "data",
        "usage",
    }
)
V = TypeVar("V")


def encoded(chunk: Chunk) -> bytes:
    """A chunk as a server-sent event."""
    text = json.dumps(chunk, separators=(",", ":"), ensure_ascii=False)
    if '"__proto__"' in text or '"constructor"' in text:  # the client's parser refuses these keys
        text = json.dumps(_without_prototypes(chunk), separators=(",", ":"), ensure_ascii=False)
    return b"data: %b\n\n" % text.encode()


def _without_prototypes(value: V) -> V:
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            kept = (item for item in fields.items() if item[0] not in ("__proto__", "constructor"))
            return cast("V", {key: _without_prototypes(item) for key, item in kept})
        case list():
            return cast("V", [_without_prototypes(item) for item in cast("list[Any]", value)])
        case _:
            return value


# -- the message


def message_id_of(plan_id: str) -> str:
    """The id of the assistant's message that shows a plan."""
    return f"{plan_id}{_ANSWER}"


def plan_id_of(message_id: str) -> str | None:
    """The plan that a message shows; None if it shows none."""
    plan_id, answer = message_id.removesuffix(_ANSWER), message_id.endswith(_ANSWER)
    return plan_id if answer else None


def _metadata(plan_id: str, position: Position) -> Chunk:
    return {"plancast": {"plan_id": plan_id, "epoch": position.epoch, "offset": position.offset}}


def start(plan_id: str, position: Position) -> Chunk:
    """The message begins, or goes on after `position`."""
    return {
        "type": "start",
        "messageId": message_id_of(plan_id),
        "messageMetadata": _metadata(plan_id, position),
    }


def finish(reason: str, plan: Snapshot, position: Position) -> Chunk:
    """The response ends at `position`."""
    metadata = _metadata(plan.plan_id, position)
    if plan.usage is not None:
        metadata["plancast"]["usage"] = plain_usage(plan.usage)
    return {"type": "finish", "finishReason": reason, "messageMetadata": metadata}


# -- text and reasoning


def part_of(message: MessageState) -> tuple[str, int]:
    """The kind and the id of the part that shows a message."""
    return _kind(message), message.offset


def part_start(message: MessageState, *, replaces: bool = False) -> Chunk:
    """A text part begins. `replaces`: instead of the earlier parts of the same message, which the client keeps."""
    more = {"replaces": True} if replaces else {}
    return {"type": f"{_kind(message)}-start", "id": str(message.offset), "providerMetadata": _about(message, more)}


def part_text(message: MessageState, text: str) -> Chunk:
    """Text is added to a part."""
    return {"type": f"{_kind(message)}-delta", "id": str(message.offset), "delta": text}


def part_end(message: MessageState) -> Iterator[Chunk]:
    """A part ends."""
    yield {"type": f"{_kind(message)}-end", "id": str(message.offset)}
    if message.error is not None:
        data = {"message_id": message.message_id, "error": message.error}
        yield {"type": "data-error", "id": str(message.offset), "data": data}


def _kind(message: MessageState) -> str:
    return "reasoning" if message.message_type == "thinking" else "text"


def _about(part: MessageState | ToolCallState | InputState, more: dict[str, Any]) -> dict[str, Any]:
    fields = part.model_dump(
        include={"message_id", "call_id", "request_id", "agent_name", "step_id"}, exclude_none=True
    )
    return {"plancast": {**fields, **more}}


# -- tools


def tool_part_id(plan_id: str, part: ToolCallState | InputState) -> str:
    """The toolCallId of a tool call or question, and the approvalId of a question."""
    return f"{plan_id}:{part.offset}"


def tool_input(plan_id: str, call: ToolCallState) -> Chunk:
    """A tool is called."""
    return {
        "type": "tool-input-available",
        "toolCallId": tool_part_id(plan_id, call),
        "toolName": call.tool_name,
        "input": call.arguments,
        "dynamic": True,
        "providerExecuted": True,
        "providerMetadata": _about(call, {}),
    }


def tool_output(plan_id: str, call: ToolCallState) -> Chunk:
    """A tool has ended."""
    if call.phase == "error":
        text = call.result if isinstance(call.result, str) else json.dumps(call.result, ensure_ascii=False)
        return tool_failed(plan_id, call, "The tool failed." if call.result is None else text)
    return {"type": "tool-output-available", "toolCallId": tool_part_id(plan_id, call), "output": call.result}


def tool_failed(plan_id: str, part: ToolCallState | InputState, text: str) -> Chunk:
    """A tool has failed, or a question can't be answered any more."""
    tool_id = tool_part_id(plan_id, part)
    return {"type": "tool-output-error", "toolCallId": tool_id, "errorText": text, "providerExecuted": True}


def asked(plan_id: str, state: InputState) -> Iterator[Chunk]:
    """A question without an answer. Only those that are no approval are tools for the client to execute."""
    tool_id, approval = tool_part_id(plan_id, state), state.kind == "approval"
    fields = {"request_id", "kind", "prompt", "options", "json_schema", "expires_at"}
    yield {
        "type": "tool-input-available",
        "toolCallId": tool_id,
        "toolName": ASK,
        "input": state.model_dump(mode="json", include=fields, exclude_none=True, by_alias=True),
        "dynamic": True,
        "providerExecuted": approval,
        "title": state.prompt,
        "providerMetadata": _about(state, {}),
    }
    if approval:
        yield {"type": "tool-approval-request", "approvalId": tool_id, "toolCallId": tool_id}


def answered(plan_id: str, state: InputState) -> Chunk:
    """An answer, or the refusal of an approval."""
    tool_id = tool_part_id(plan_id, state)
    if state.kind == "approval" and _refuses(state.answer):
        return {"type": "tool-output-denied", "toolCallId": tool_id}
    by = {} if state.by is None else {"by": state.by}
    metadata = {"plancast": {**by, "answered_at": state.answered_at}}
    return {
        "type": "tool-output-available",
        "toolCallId": tool_id,
        "output": state.answer,
        "providerExecuted": True,
        "providerMetadata": metadata,
    }


def _refuses(answer: Any) -> bool:
    if isinstance(answer, dict):
        fields = cast("dict[str, Any]", answer)
        answer = fields.get("approved", fields.get("value"))
    return answer is False or (isinstance(answer, str) and answer.strip().lower() in _NO)


def tool_call(plan_id: str, call: ToolCallState) -> Iterator[Chunk]:
    """A tool call as it is."""
    yield tool_input(plan_id, call)
    if call.phase != "started":
        yield tool_output(plan_id, call)


def question(plan_id: str, state: InputState) -> Iterator[Chunk]:
    """A question as it is."""
    yield from asked(plan_id, state)
    if state.answered_at is not None:
        yield answered(plan_id, state)


# -- data


def plan(plan_id: str, fields: PlanFields) -> Chunk:
    """The plan's own fields."""
    return {"type": "data-plan", "id": "plan", "data": {"plan_id": plan_id, **fields.as_json()}}


def step(state: StepState) -> Chunk:
    """A step of the plan."""
    data = state.model_dump(mode="json", include=set(_STEP_FIELDS), exclude_none=True)
    return {"type": "data-step", "id": state.step_id, "data": data}


def artifact(state: ArtifactState) -> Chunk:
    """An artifact."""
    data = state.model_dump(mode="json", exclude={"offset", "at"}, exclude_none=True)
    return {"type": "data-artifact", "id": state.artifact_id, "data": data}
