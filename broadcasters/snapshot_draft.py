"""A mutable snapshot for the fold, and the limit of its size.

Messages, tool calls, artifacts and answered inputs have a weight, and their sum stays within a limit. Beyond it the
oldest are left out: first messages of the types thinking and action and tool calls that have ended, then the others, and
those still under way last. Steps, pending inputs and the fields of the plan itself have no weight and are always kept.

The weight is the same in every language, and the encoding is never longer: a string weighs the length of its JSON text
in UTF-8 bytes; a number 24; true, false and null 5; an array or object 2, and 1 for each element, and in an object each
key as a string and 1 more. Each field of a part that is not null weighs 20 besides its value.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

from pydantic_core import to_json

from broadcasters.events import PLAN_ENDED, PlanStatus
from broadcasters.snapshot import (
    ArtifactState,
    InputState,
    MessageState,
    Snapshot,
    State,
    ToolCallState,
    UsageSum,
)
from broadcasters.usage import Usage
from broadcasters.usage_fold import plus, plus_for_agent

__all__ = ["WEIGHT_LIMIT", "Draft", "text_weight", "weight_of"]

WEIGHT_LIMIT: Final = 768 * 1024
"""With its steps, a snapshot has about 1 MiB at most."""

S = TypeVar("S", bound=State)
Weighed = MessageState | ToolCallState | InputState | ArtifactState


def text_weight(text: str) -> int:
    """The weight of text within a string: the parts of a message weigh as much as the whole."""
    return len(to_json(text)) - 2


def weight_of(value: Any) -> int:
    """The weight of a field's value. (A field that is null is omitted, and weighs nothing.)"""
    if isinstance(value, str):
        return len(to_json(value))
    if value is None or isinstance(value, bool):
        return 5
    if isinstance(value, int | float):
        return 24
    if isinstance(value, Decimal):
        return weight_of(f"{value:f}")
    if isinstance(value, State):
        value = {name: item for name, item in value if item is not None}
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return 2 + sum(weight_of(key) + weight_of(item) + 2 for key, item in pairs)
    return 2 + sum(weight_of(item) + 1 for item in value)


def _field(value: Any) -> int:
    return 0 if value is None else 20 + weight_of(value)


def _item(item: State) -> int:
    return 2 + sum(_field(value) for _, value in item)


class Draft:
    """The parts of a snapshot by id, in the order of their first event. A part is frozen; a change replaces it."""

    def __init__(self, snapshot: Snapshot, limit: int) -> None:
        self._from = snapshot
        self._limit = limit
        self.offset = snapshot.offset
        self.status: PlanStatus = snapshot.status
        self.title = snapshot.title
        self.content = snapshot.content
        self.progress = snapshot.progress
        self.owner = snapshot.owner
        self.labels = snapshot.labels
        self.created_at = snapshot.created_at
        self.updated_at = snapshot.updated_at
        self.ended_at = snapshot.ended_at
        self.result = snapshot.result
        self.data = snapshot.data
        self.worker = snapshot.worker
        self.usage = snapshot.usage
        self.usage_by_agent = snapshot.usage_by_agent
        self.steps = {step.step_id: step for step in snapshot.steps}
        self.messages = {message.message_id: message for message in snapshot.messages}
        self.tool_calls = {call.call_id: call for call in snapshot.tool_calls}
        self.inputs = {request.request_id: request for request in snapshot.inputs}
        self.artifacts = {artifact.artifact_id: artifact for artifact in snapshot.artifacts}
        self.streaming = {message.message_id for message in snapshot.messages if message.streaming}
        """The ids of the messages that are not finished."""
        self._parts: dict[str, list[str]] = {}
        self._omitted = snapshot.omitted
        self._weight = snapshot.weight

    @property
    def ended(self) -> bool:
        return self.status in PLAN_ENDED

    # messages

    def free_message_id(self, offset: int) -> str:
        """An id for a message without one."""
        message_id = f"@{offset}"
        while message_id in self.messages:
            message_id = "@" + message_id
        return message_id

    def put_message(self, message: MessageState) -> None:
        """Add a message, or replace the one with its id."""
        self.join_text(message.message_id)
        self._put(self.messages, message.message_id, message)
        if message.streaming:
            self.streaming.add(message.message_id)
        else:
            self.streaming.discard(message.message_id)

    def add_text(self, message: MessageState, text: str) -> None:
        """Add text to a message. The parts are joined once, by `finish`, so that the cost is linear."""
        parts = self._parts.get(message.message_id)
        if parts is None:
            parts = self._parts[message.message_id] = [message.content]
        parts.append(text)
        self._weight += text_weight(text)

    def join_text(self, message_id: str) -> None:
        """Complete the content of a message to which text was added."""
        if message_id in self._parts:
            self.messages[message_id] = self._joined(message_id)

    def change_message(self, message: MessageState, **changes: Any) -> None:
        """Change fields other than the content."""
        self._change(self.messages, message.message_id, changes)
        if changes.get("streaming") is False:
            self.streaming.discard(message.message_id)

    def close_messages(self) -> None:
        """End the streaming of all messages."""
        for message_id in list(self.streaming):
            self.change_message(self.messages[message_id], streaming=False)

    # usage

    def count_usage(self, usage: Usage, agent_name: str | None, step_id: str | None) -> None:
        """Add usage to the sums of the plan, the agent and the step, if that is known."""
        self.usage = plus(self.usage or UsageSum(), usage)
        self.usage_by_agent = plus_for_agent(self.usage_by_agent or (), agent_name, usage)
        step = self.steps.get(step_id) if step_id is not None else None
        if step is not None:
            self.steps[step.step_id] = step.model_copy(update={"usage": plus(step.usage or UsageSum(), usage)})

    # other parts

    def put_tool_call(self, call: ToolCallState) -> None:
        self._put(self.tool_calls, call.call_id, call)

    def change_tool_call(self, call: ToolCallState, **changes: Any) -> None:
        self._change(self.tool_calls, call.call_id, changes)

    def put_artifact(self, artifact: ArtifactState) -> None:
        self._put(self.artifacts, artifact.artifact_id, artifact)

    def answer(self, answered: InputState) -> None:
        """Replace an input by its answered form, which may be left out."""
        self.inputs[answered.request_id] = answered
        self._weight += _item(answered)

    def count_omitted(self, kind: str) -> None:
        self._omitted = self._omitted.model_copy(update={kind: getattr(self._omitted, kind) + 1})

    def _put(self, parts: dict[str, S], key: str, part: S) -> None:
        old = parts.get(key)
        if old is not None:
            self._weight -= _item(old)
        self._weight += _item(part)
        parts[key] = part

    def _change(self, parts: dict[str, S], key: str, changes: dict[str, Any]) -> None:
        old = parts[key]
        for name, value in changes.items():
            self._weight += _field(value) - _field(getattr(old, name))
        parts[key] = old.model_copy(update=changes)

    # the limit

    def lighten(self) -> None:
        """Leave parts out if the weight is above the limit, down to 7/8 of it, since finding the oldest is expensive.

        Called after each event, so that it makes no difference where a sequence of events is cut."""
        if self._weight <= self._limit:
            return
        enough = self._limit - self._limit // 8
        for rank in range(3):
            leaving = sorted((part for part in self._weighed() if _rank(part) == rank), key=lambda part: part.offset)
            for part in leaving:
                if self._weight <= enough:
                    return
                self._leave_out(part)

    def _weighed(self) -> Iterator[Weighed]:
        yield from self.messages.values()
        yield from self.tool_calls.values()
        yield from self.artifacts.values()
        yield from (request for request in self.inputs.values() if request.answered_at is not None)

    def _leave_out(self, part: Weighed) -> None:
        match part:
            case MessageState():
                part = self._joined(part.message_id)
                del self.messages[part.message_id]
                self.streaming.discard(part.message_id)
                self.count_omitted("messages")
            case ToolCallState():
                del self.tool_calls[part.call_id]
                self.count_omitted("tool_calls")
            case ArtifactState():
                del self.artifacts[part.artifact_id]
                self.count_omitted("artifacts")
            case InputState():
                del self.inputs[part.request_id]
                self.count_omitted("inputs")
        self._weight -= _item(part)

    def _joined(self, message_id: str) -> MessageState:
        message = self.messages[message_id]
        parts = self._parts.pop(message_id, None)
        return message.model_copy(update={"content": "".join(parts)}) if parts else message

    # the end

    def finish(self) -> Snapshot:
        for message_id in list(self._parts):
            self.messages[message_id] = self._joined(message_id)
        return self._from.model_copy(
            update={
                "offset": self.offset,
                "status": self.status,
                "title": self.title,
                "content": self.content,
                "progress": self.progress,
                "owner": self.owner,
                "labels": self.labels,
                "created_at": self.created_at,
                "updated_at": self.updated_at,
                "ended_at": self.ended_at,
                "result": self.result,
                "data": self.data,
                "worker": self.worker,
                "usage": self.usage,
                "usage_by_agent": self.usage_by_agent,
                "steps": tuple(self.steps.values()),
                "messages": tuple(self.messages.values()),
                "tool_calls": tuple(self.tool_calls.values()),
                "inputs": tuple(self.inputs.values()),
                "artifacts": tuple(self.artifacts.values()),
                "omitted": self._omitted,
                "weight": self._weight,
            }
        )


def _rank(part: Weighed) -> int:
    """The order in which parts are left out: 0, then 1, then 2."""
    match part:
        case MessageState():
            if part.streaming:
                return 2
            return 0 if part.message_type in ("thinking", "action") else 1
        case ToolCallState():
            return 2 if part.phase == "started" else 0
        case ArtifactState() | InputState():
            return 1
