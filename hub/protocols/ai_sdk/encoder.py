"""Encodes a plan as the AI SDK's UI message stream: the plan is one message of the assistant, with the same id always.

A client sends the message again by itself when all tools after its last step boundary are complete: those that it
executes itself, or all if one is an approval that it has answered. Therefore a boundary precedes the first open question,
so that no tool of the plan delays that; and a question that is over is no longer one that the client executes, so that the
client does not repeat its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from broadcasters.changes import (
    ArtifactChange,
    Change,
    InputChange,
    MessageChange,
    PlanChange,
    StepChange,
    ToolCallChange,
)
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from hub.protocols.ai_sdk import chunks
from hub.protocols.ai_sdk.chunks import Chunk
from hub.protocols.segments import Advance, Encoded, Ending

__all__ = ["UiMessageEncoder", "ended_tools"]

_NEXT_STEP: Final[Chunk] = {"type": "start-step"}
_ENDED: Final = "The plan ended before an answer."
_STOPPED: Final = "The plan ended before the tool did."


@dataclass(frozen=True, slots=True)
class UiMessageEncoder:
    """The encoder of all clients of the AI SDK."""

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        unfinished = (chunks.part_start(message) for message in plan.messages if message.streaming)
        return _joined([chunks.start(plan.plan_id, position), *unfinished])

    def encode(self, advance: Advance) -> Iterator[Encoded]:
        plan_id = advance.after.plan_id
        pending = {one.request_id for one in advance.before.inputs if one.answered_at is None}
        for event in advance.changes:
            if encoded := _joined(chunk for change in event.changes for chunk in _chunks(plan_id, change, pending)):
                yield Encoded(event.last, encoded)

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes | None:  # noqa: ARG002
        return None  # a message can't be taken back; the client replays it

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:
        match ending.kind:
            case "restart":
                return None  # the client resumes only after a network error
            case "failed":
                return _joined([_error(ending.message or ending.code)]) + chunks.DONE
            case "stop":
                return _joined(_ending(plan, position)) + chunks.DONE


def _joined(all_chunks: Iterable[Chunk]) -> bytes:
    return b"".join(map(chunks.encoded, all_chunks))


def _chunks(plan_id: str, change: Change, pending: set[str]) -> Iterator[Chunk]:
    """What a change is for the client. `pending` has the questions without an answer, and is kept up to date."""
    match change:
        case MessageChange():
            yield from _message(change)
        case ToolCallChange():
            yield from _tool_call(plan_id, change)
        case InputChange():
            yield from _question(plan_id, change, pending)
        case StepChange():
            yield chunks.step(change.after)
        case ArtifactChange():
            yield chunks.artifact(change.after)
        case PlanChange():
            yield chunks.plan(plan_id, change.after)


def _message(change: MessageChange) -> Iterator[Chunk]:
    before, after, text = change.before, change.after, change.text
    if before is not None and (text is None or chunks.part_of(before) != chunks.part_of(after)):
        if before.streaming:
            yield from chunks.part_end(before)
        yield chunks.part_start(after, replaces=True)
        text = after.content
    elif change.opens:
        if before is not None and not text and change.closes:
            return
        yield chunks.part_start(after)
    if text:
        yield chunks.part_text(after, text)
    if change.closes:
        yield from chunks.part_end(after)


def _tool_call(plan_id: str, change: ToolCallChange) -> Iterator[Chunk]:
    before, after = change.before, change.after
    known = before is not None and (before.offset, before.arguments) == (after.offset, after.arguments)
    if not known or after.phase == "started":
        yield chunks.tool_input(plan_id, after)
    if after.phase != "started":
        yield chunks.tool_output(plan_id, after)


def _question(plan_id: str, change: InputChange, pending: set[str]) -> Iterator[Chunk]:
    before, after = change.before, change.after
    if before is None or (before.answered_at is None and after.answered_at is None):
        if not pending:
            yield _NEXT_STEP
        yield from chunks.asked(plan_id, after)
        pending.add(after.request_id)
    if after.answered_at is not None and (before is None or before.answered_at is None):
        yield chunks.answered(plan_id, after)
        pending.discard(after.request_id)


def _ending(plan: Snapshot, position: Position) -> Iterator[Chunk]:
    yield from (chunk for message in plan.messages if message.streaming for chunk in chunks.part_end(message))
    if plan.ended_at is None:
        yield chunks.finish("tool-calls", plan, position)
        return
    yield from ended_tools(plan)
    yield from _outcome(plan, position)


def ended_tools(plan: Snapshot) -> Iterator[Chunk]:
    """What ended with the plan: tool calls, and questions without an answer."""
    if plan.ended_at is None:
        return
    calls = (call for call in plan.tool_calls if call.phase == "started")
    yield from (chunks.tool_failed(plan.plan_id, call, _STOPPED) for call in calls)
    questions = (question for question in plan.inputs if question.answered_at is None)
    yield from (chunks.tool_failed(plan.plan_id, question, _ENDED) for question in questions)


def _outcome(plan: Snapshot, position: Position) -> Iterator[Chunk]:
    match plan.status:
        case "cancelled":
            yield {"type": "abort", "reason": plan.content or "The plan was cancelled."}
            yield chunks.finish("other", plan, position)
        case "error":
            yield chunks.finish("error", plan, position)
            yield _error(plan.content or "The plan failed.")
        case _:
            yield chunks.finish("stop", plan, position)


def _error(text: str) -> Chunk:
    return {"type": "error", "errorText": text}
