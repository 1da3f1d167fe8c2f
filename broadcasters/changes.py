"""What changes in a plan from event to event, part by part, for readers that translate a plan for other clients.

`advance` folds events and reports each part that they changed, before and after; `difference` reports the same between
two snapshots. Both give a reader that applies them in order the same final state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from broadcasters.events import (
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanStatus,
    PlanUpdate,
    StepUpdate,
    ToolCall,
)
from broadcasters.fold import apply, step_of
from broadcasters.snapshot import ArtifactState, InputState, MessageState, Snapshot, StepState, ToolCallState, UsageSum
from broadcasters.snapshot_draft import WEIGHT_LIMIT, Draft

__all__ = [
    "ArtifactChange",
    "Change",
    "Changes",
    "InputChange",
    "MessageChange",
    "PlanChange",
    "PlanFields",
    "StepChange",
    "ToolCallChange",
    "advance",
    "difference",
    "plain_usage",
]


def plain_usage(usage: UsageSum) -> dict[str, Any]:
    """A sum of usage as plain JSON."""
    return usage.model_dump(mode="json", exclude_none=True)


Part = StepState | MessageState | ToolCallState | InputState | ArtifactState


class PlanFields(NamedTuple):
    """The fields of a plan itself."""

    status: PlanStatus
    title: str | None
    content: str | None
    progress: float | None
    result: dict[str, Any] | None
    data: dict[str, Any] | None
    usage: UsageSum | None = None

    @classmethod
    def of(cls, plan: Draft | Snapshot) -> PlanFields:
        return cls(plan.status, plan.title, plan.content, plan.progress, plan.result, plan.data, plan.usage)

    def as_json(self) -> dict[str, Any]:
        """The fields that are not null, as plain JSON."""
        fields = {name: value for name, value in self._asdict().items() if value is not None}
        return fields if self.usage is None else fields | {"usage": plain_usage(self.usage)}


@dataclass(frozen=True, slots=True)
class PlanChange:
    """The plan's own fields."""

    before: PlanFields
    after: PlanFields


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step."""

    before: StepState | None
    after: StepState


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A message. `text` is what was added to its content; None: the content was replaced by that of `after`.

    While text is added, the content in `before` and `after` may lack some of it."""

    before: MessageState | None
    after: MessageState
    text: str | None

    @property
    def opens(self) -> bool:
        """The message begins with this change, or text is added to it after its end."""
        return self.before is None or not self.before.streaming

    @property
    def closes(self) -> bool:
        """The message ends with this change."""
        return not self.after.streaming


@dataclass(frozen=True, slots=True)
class ToolCallChange:
    """A call of a tool."""

    before: ToolCallState | None
    after: ToolCallState


@dataclass(frozen=True, slots=True)
class InputChange:
    """A question, or its answer."""

    before: InputState | None
    after: InputState


@dataclass(frozen=True, slots=True)
class ArtifactChange:
    """An artifact."""

    before: ArtifactState | None
    after: ArtifactState


Change = PlanChange | StepChange | MessageChange | ToolCallChange | InputChange | ArtifactChange
"""`before` is None for a part that is new."""


class Changes(NamedTuple):
    """What the events `first` to `last` changed. They are one event, or the merged parts of one message."""

    first: int
    last: int
    event: PlanEvent | None
    """None: an event that this version can't read."""
    changes: Sequence[Change]


def advance(
    snapshot: Snapshot, events: Iterable[tuple[int, int, PlanEvent | None]], limit: int = WEIGHT_LIMIT
) -> tuple[Snapshot, Sequence[Changes]]:
    """Fold further events, each with its first and last offset, and report what each of them changed.

    Events that the snapshot contains are skipped. The limit must be the same in all folds of a plan."""
    draft = Draft(snapshot, limit)
    reported: list[Changes] = []
    for first, last, event in events:
        if last > draft.offset:
            draft.offset = first
            reported.append(Changes(first, last, event, [*_apply(draft, event)] if event is not None else ()))
            draft.lighten()
            draft.offset = last
    return draft.finish(), reported


def difference(before: Snapshot, after: Snapshot) -> Sequence[Change]:
    """Report the parts that differ. Parts that only `before` has, which were left out to limit the size, are ignored."""
    pairs = [pair for parts, key in _PARTS for pair in _pairs(getattr(before, parts), getattr(after, parts), key)]
    changed = [(old, new) for old, new in pairs if old != new]
    changes = [_change(old, new) for old, new in sorted(changed, key=lambda pair: pair[1].offset)]
    fields = PlanFields.of(before), PlanFields.of(after)
    return changes if fields[0] == fields[1] else [*changes, PlanChange(*fields)]


_PARTS: Final = (
    ("steps", "step_id"),
    ("messages", "message_id"),
    ("tool_calls", "call_id"),
    ("inputs", "request_id"),
    ("artifacts", "artifact_id"),
)


def _pairs(before: Sequence[Part], after: Sequence[Part], key: str) -> Iterator[tuple[Part | None, Part]]:
    known = {getattr(part, key): part for part in before}
    return ((known.get(getattr(part, key)), part) for part in after)


def _apply(draft: Draft, event: PlanEvent) -> Iterator[Change]:
    touched = [*_touched(draft, event), *_step_with_usage(draft, event)]
    if isinstance(event, AgentMessage) and event.message_id is not None and not event.append:
        draft.join_text(event.message_id)
    olds = [parts.get(key) for parts, key in touched]
    plan = PlanFields.of(draft)
    streaming = sorted((draft.messages[one] for one in draft.streaming), key=lambda message: message.offset)
    apply(draft, event)
    for (parts, key), old in zip(touched, olds, strict=True):
        new = parts.get(key)
        if isinstance(event, AgentMessage) and event.append and isinstance(old, MessageState):
            yield MessageChange(old, parts[key], event.content)
        elif new is not None and new is not old:
            yield _change(old, new)
    if isinstance(event, PlanUpdate):
        for message in streaming:
            if message.message_id not in draft.streaming:
                yield MessageChange(message, draft.messages[message.message_id], "")
    if (fields := PlanFields.of(draft)) != plan:
        yield PlanChange(plan, fields)


def _touched(draft: Draft, event: PlanEvent) -> Iterator[tuple[dict[str, Any], str]]:
    """The parts that an event may change."""
    match event:
        case AgentMessage(message_id=message_id):
            yield draft.messages, message_id or draft.free_message_id(draft.offset)
        case StepUpdate(step_id=step_id):
            yield draft.steps, step_id
        case PlanUpdate(step_id=step_id):
            if step_id is not None:
                yield draft.steps, step_id
            yield draft.messages, draft.free_message_id(draft.offset)
        case ToolCall(call_id=call_id):
            yield draft.tool_calls, call_id
        case InputRequest(request_id=request_id) | InputResponse(request_id=request_id):
            yield draft.inputs, request_id
        case Artifact(artifact_id=artifact_id):
            yield draft.artifacts, artifact_id
        case _:
            pass


def _step_with_usage(draft: Draft, event: PlanEvent) -> Iterator[tuple[dict[str, Any], str]]:
    """The step whose sum of usage changes with that of its message or tool call."""
    if not isinstance(event, AgentMessage | ToolCall) or event.usage is None:
        return
    if isinstance(event, ToolCall):
        step_id = step_of(draft.tool_calls.get(event.call_id), event)
    else:
        step_id = step_of(draft.messages.get(event.message_id or ""), event)
    if step_id is not None:
        yield draft.steps, step_id


def _change(old: Any, new: Part) -> Change:
    match new:
        case StepState():
            return StepChange(old, new)
        case MessageState():
            return MessageChange(old, new, _added(old, new))
        case ToolCallState():
            return ToolCallChange(old, new)
        case InputState():
            return InputChange(old, new)
        case ArtifactState():
            return ArtifactChange(old, new)


def _added(old: MessageState | None, new: MessageState) -> str | None:
    if old is None:
        return new.content
    return new.content[len(old.content) :] if new.content.startswith(old.content) else None
