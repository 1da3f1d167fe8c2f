"""A snapshot as the events that would have told it: for readers who come too late for the real ones."""

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
from broadcasters.snapshot import Snapshot
from broadcasters.snapshot_model import ArtifactState, InputState, MessageState, StepState, ToolCallState

__all__ = ["retold", "retold_in_place"]

Part = StepState | MessageState | ToolCallState | InputState | ArtifactState


def retold(snapshot: Snapshot) -> Iterator[PlanEvent]:
    """What the plan is, then what happened, in the order it was first spoken of, then how the plan stands."""
    return (event for _, event in retold_in_place(snapshot))


def retold_in_place(snapshot: Snapshot) -> Iterator[tuple[int, PlanEvent]]:
    """The same, each with the offset at which it was first spoken of."""
    plan_id = snapshot.plan_id
    yield 0, _event(PlanUpdate, plan_id, snapshot.created_at, {"title": snapshot.title})
    parts: list[Part] = [*snapshot.steps, *snapshot.messages, *snapshot.tool_calls]
    parts += [*snapshot.inputs, *snapshot.artifacts]
    for part in sorted(parts, key=lambda part: part.offset):
        for event in _told(part, plan_id, snapshot.created_at):
            yield part.offset, event
    stands = {"status": snapshot.status, "content": snapshot.content, "progress": snapshot.progress}
    yield snapshot.offset, _event(PlanUpdate, plan_id, snapshot.updated_at, stands)


def _told(part: Part, plan_id: str, begun: str | None) -> Iterator[PlanEvent]:
    said = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    match part:
        case StepState():
            yield _event(StepUpdate, plan_id, part.ended_at or part.started_at or begun, said)
        case MessageState():
            open_end = {"append": True} if part.streaming else {"message_id": None}
            yield _event(AgentMessage, plan_id, part.at, {**said, **open_end})
        case ToolCallState():
            yield _event(ToolCall, plan_id, part.ended_at or part.started_at, said)
        case InputState():
            yield _event(InputRequest, plan_id, part.at, said)
            if part.answered_at is not None:
                yield _event(InputResponse, plan_id, part.answered_at, {**said, "at": part.answered_at})
        case ArtifactState():
            yield _event(Artifact, plan_id, part.at, said)


def _event(cls: type[PlanEvent], plan_id: str, at: str | None, said: Mapping[str, Any]) -> PlanEvent:
    """Not checked again: a message joined from its parts may be longer than any one event."""
    fields: dict[str, Any] = {**said, "plan_id": plan_id, "timestamp": at}
    return cls.model_construct(**{name: value for name, value in fields.items() if value is not None})
