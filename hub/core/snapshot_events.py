"""Rebuilds events from a snapshot, for readers that need events where the log has trimmed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broadcasters.events import (
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
)
from broadcasters.snapshot import ArtifactState, InputState, MessageState, Snapshot, StepState, ToolCallState

__all__ = ["rebuilt_events", "rebuilt_with_offsets"]

Part = StepState | MessageState | ToolCallState | InputState | ArtifactState


def rebuilt_events(snapshot: Snapshot) -> Iterator[PlanEvent]:
    """Events that show what the snapshot shows: the plan's title, its parts by offset, the plan's status."""
    return (event for _, event in rebuilt_with_offsets(snapshot))


def rebuilt_with_offsets(snapshot: Snapshot) -> Iterator[tuple[int, PlanEvent]]:
    """The same, each event with the offset of the part it comes from."""
    plan_id = snapshot.plan_id
    yield 0, _event(PlanUpdate, plan_id, snapshot.created_at, {"title": snapshot.title})
    parts: list[Part] = [*snapshot.steps, *snapshot.messages, *snapshot.tool_calls]
    parts += [*snapshot.inputs, *snapshot.artifacts]
    for part in sorted(parts, key=lambda part: part.offset):
        for event in _events_of(part, plan_id, snapshot.created_at):
            yield part.offset, event
    status = {"status": snapshot.status, "content": snapshot.content, "progress": snapshot.progress}
    yield snapshot.offset, _event(PlanUpdate, plan_id, snapshot.updated_at, status)


def _events_of(part: Part, plan_id: str, begun: str | None) -> Iterator[PlanEvent]:
    fields = part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"usage"})
    match part:
        case StepState():
            yield _event(StepUpdate, plan_id, part.ended_at or part.started_at or begun, fields)
        case MessageState():
            open_end = {"append": True} if part.streaming else {"message_id": None}
            yield _event(AgentMessage, plan_id, part.at, {**fields, **open_end})
        case ToolCallState():
            yield _event(ToolCall, plan_id, part.ended_at or part.started_at, fields)
        case InputState():
            yield _event(InputRequest, plan_id, part.at, fields)
            if part.answered_at is not None:
                yield _event(InputResponse, plan_id, part.answered_at, {**fields, "at": part.answered_at})
        case ArtifactState():
            yield _event(Artifact, plan_id, part.at, fields)


def _event(cls: type[PlanEvent], plan_id: str, at: str | None, fields: Mapping[str, Any]) -> PlanEvent:
    """The event without validation: a message joined from its parts may be longer than any one event."""
    known: dict[str, Any] = {**fields, "plan_id": plan_id, "timestamp": at}
    return cls.model_construct(**{name: value for name, value in known.items() if value is not None})
