"""A chat's messages, as a page shows them before it follows the stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from broadcasters.changes import PlanFields
from broadcasters.snapshot import ArtifactState, InputState, MessageState, StepState, ToolCallState
from hub.protocols.ai_sdk import chunks
from hub.protocols.ai_sdk.chunks import Chunk
from hub.protocols.ai_sdk.encoder import ended_tools
from hub.protocols.threads import ThreadPlan, request_of

__all__ = ["messages_of"]

Part = dict[str, Any]
_PlanPart = StepState | MessageState | ToolCallState | InputState | ArtifactState
_STEP: Final[Part] = {"type": "step-start"}


def messages_of(found: ThreadPlan) -> Iterator[dict[str, Any]]:
    """The message that a plan answers, and the plan as the answer."""
    plan = found.plan
    text = {"type": "text", "text": request_of(plan), "state": "done"}
    yield {"id": f"{plan.plan_id}-message", "role": "user", "parts": [text]}
    start = chunks.start(plan.plan_id, found.position)
    yield {
        "id": start["messageId"],
        "role": "assistant",
        "metadata": start["messageMetadata"],
        "parts": [*_parts(found)],
    }


def _parts(found: ThreadPlan) -> Iterator[Part]:
    plan = found.plan
    yield chunks.plan(plan.plan_id, PlanFields.of(plan))
    every: list[_PlanPart] = [*plan.steps, *plan.messages, *plan.tool_calls, *plan.inputs, *plan.artifacts]
    endings = {chunk["toolCallId"]: chunk for chunk in ended_tools(plan)}
    pending = False
    for part in sorted(every, key=lambda part: part.offset):
        match part:
            case MessageState():
                yield _text(part)
            case StepState():
                yield chunks.step(part)
            case ArtifactState():
                yield chunks.artifact(part)
            case ToolCallState():
                yield _tool(chunks.tool_call(plan.plan_id, part), endings)
            case InputState():
                if not pending:
                    yield _STEP
                yield _tool(chunks.question(plan.plan_id, part), endings)
                pending = pending or part.answered_at is None


def _text(message: MessageState) -> Part:
    start = chunks.part_start(message)
    state = "streaming" if message.streaming else "done"
    kind = start["type"].removesuffix("-start")
    return {"type": kind, "text": message.content, "state": state, "providerMetadata": start["providerMetadata"]}


def _tool(all_chunks: Iterator[Chunk], endings: dict[str, Chunk]) -> Part:
    part: Part = {"type": "dynamic-tool"}
    for chunk in all_chunks:
        _apply(part, chunk)
    if (end := endings.get(part["toolCallId"])) is not None:
        _apply(part, end)
    return part


def _apply(part: Part, chunk: Chunk) -> None:
    match chunk["type"]:
        case "tool-input-available":
            names = ("toolCallId", "toolName", "input", "title", "providerExecuted")
            part.update({name: chunk[name] for name in names if name in chunk}, state="input-available")
            part["callProviderMetadata"] = chunk["providerMetadata"]
        case "tool-approval-request":
            part.update(state="approval-requested", approval={"id": chunk["approvalId"]})
        case "tool-output-available":
            part.update(state="output-available", output=chunk["output"], providerExecuted=True)
            _decided(part, approved=True)
        case "tool-output-denied":
            part.update(state="output-denied")
            _decided(part, approved=False)
        case _:
            part.update(state="output-error", errorText=chunk["errorText"], providerExecuted=True)
            part.pop("approval", None)


def _decided(part: Part, *, approved: bool) -> None:
    if "approval" in part:
        part["approval"] = {**part["approval"], "approved": approved}
