"""Encodes a plan as the events of an AG-UI run.

Whatever a run has opened (steps, messages, reasoning) is closed at its end, and opened again by the next one. AG-UI adds
text to messages but can't replace it: for such a change the client is given all messages again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from broadcasters.changes import (
    ArtifactChange,
    Change,
    Changes,
    InputChange,
    MessageChange,
    PlanChange,
    StepChange,
    ToolCallChange,
)
from broadcasters.events import AgentMessage, WorkerUpdate
from broadcasters.position import Position
from broadcasters.snapshot import AgentUsage, InputState, MessageState, Snapshot, ToolCallState
from hub.protocols.ag_ui.messages import (
    ARTIFACT,
    ClientHistory,
    arguments_of,
    artifact_content,
    call_metadata,
    id_of,
    is_reasoning,
    metadata_of,
    plain,
    result_metadata,
    state_of,
    text_of,
    unanswered,
)
from hub.protocols.segments import Advance, Encoded, Ending, open_questions

__all__ = ["PROTOCOL_VERSION", "AgUiEncoder", "event", "run_started"]

PROTOCOL_VERSION: Final = "1.0"
_OPEN: Final = frozenset({"in_progress", "retrying", "waiting", "stalled"})
_COUNTS: Final = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cached_tokens": "cachedInputTokens",
    "reasoning_tokens": "reasoningTokens",
}
Usages = Sequence[Mapping[str, Any]]
_REASONS: Final = {"approval": "confirmation"}
"""Why a run is interrupted, in AG-UI's words; for other questions it is `input_required`."""


def event(kind: str, **fields: Any) -> bytes:
    """An event of the stream. Fields that are None are omitted, as AG-UI has no null."""
    given = {name: value for name, value in fields.items() if value is not None}
    return b"data: %b\n\n" % to_json({"type": kind, **given})


def run_started(thread_id: str, run_id: str) -> bytes:
    """The first event of a run."""
    return event("RUN_STARTED", threadId=thread_id, runId=run_id, protocolVersion=PROTOCOL_VERSION)


@dataclass(frozen=True)
class AgUiEncoder:
    """The encoder of one run. The changes of a plan are encoded alike for all runs: what is a client's own is used only at
    the beginning and the end, and does not count when encoders are compared."""

    thread_id: str = field(compare=False)
    run_id: str = field(compare=False)
    history: ClientHistory = field(default=ClientHistory(), compare=False)

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        state = event("STATE_SNAPSHOT", snapshot=state_of(plan, position))
        if self.history.has(plan, position):
            return state + b"".join(_reopened(plan))
        return state + self._messages(plan) + b"".join(_reopened(plan))

    def encode(self, advance: Advance) -> Iterable[Encoded] | None:
        if any(_replaces(change) for event in advance.changes for change in event.changes):
            return None
        return _Translation(advance).parts()

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes:
        state = event("STATE_SNAPSHOT", snapshot=state_of(after, position))
        return b"".join(_closed(before)) + state + self._messages(after, before) + b"".join(_reopened(after))

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes:
        # Text moves the plan on without a change of its state, so the position may be an old one.
        pieces = [*_closed(plan)]
        if position.epoch:
            pieces.append(event("STATE_DELTA", delta=_position(position.epoch, position.offset)))
        return b"".join([*pieces, self._end(plan, ending, _usage(plan, ending.used_before))])

    def _messages(self, plan: Snapshot, before: Snapshot | None = None) -> bytes:
        own = {"@ag-ui/client": {"authoritativeActivityTypes": [ARTIFACT]}}  # others' activities are kept
        return event("MESSAGES_SNAPSHOT", messages=self.history.with_plan(plan, before), metadata=own)

    def _end(self, plan: Snapshot, ending: Ending, usage: Usages | None) -> bytes:
        if ending.kind == "restart":
            message = "The connection was closed. Run the agent again to continue."
            return event("RUN_ERROR", message=message, code="restart", usage=usage)
        if ending.kind == "failed":
            message = ending.message or "The plan can't be followed."
            return event("RUN_ERROR", message=message, code=ending.code, usage=usage)
        if plan.status == "error":
            return event("RUN_ERROR", message=plan.content or "The plan failed.", code="plan_failed", usage=usage)
        fields = {"threadId": self.thread_id, "runId": self.run_id, "usage": usage}
        if plan.status == "cancelled":
            return event("RUN_FINISHED", **fields, outcome={"type": "cancelled"})
        if plan.ended_at is not None:
            return event("RUN_FINISHED", **fields, outcome={"type": "success"}, result=plan.result)
        interrupts = [_interrupt(question) for question in open_questions(plan)]
        return event("RUN_FINISHED", **fields, outcome={"type": "interrupt", "interrupts": interrupts})


def _usage(plan: Snapshot, before: Sequence[AgentUsage]) -> Usages | None:
    """What the models have used since the run began, an entry for each model; None if that is nothing."""
    earlier = {(one.agent_name, one.model): one for one in before}
    by_model: dict[str | None, Counter[str]] = {}
    for one in plan.usage_by_agent or ():
        known, counts = earlier.get((one.agent_name, one.model)), by_model.setdefault(one.model, Counter())
        for name, field_name in _COUNTS.items():
            if (count := getattr(one, name)) is not None:
                counts[field_name] += max(0, count - (getattr(known, name, None) or 0))
    return [_token_usage(model, counts) for model, counts in by_model.items() if any(counts.values())] or None


def _token_usage(model: str | None, counts: Counter[str]) -> dict[str, Any]:
    known = {} if model is None else {"model": model}
    if {"inputTokens", "outputTokens"} <= counts.keys():
        return {**known, **counts, "totalTokens": counts["inputTokens"] + counts["outputTokens"]}
    return {**known, **counts}


def _interrupt(question: InputState) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": question.request_id,
        "reason": _REASONS.get(question.kind, "input_required"),
        "message": question.prompt,
        "responseSchema": question.json_schema or _schema_of(question.options),
        "expiresAt": question.expires_at,
        "metadata": {"plancast": plain(question)},
    }
    return {name: value for name, value in fields.items() if value is not None}


def _schema_of(options: Sequence[Any] | None) -> dict[str, Any] | None:
    values = [option.get("value", option) if isinstance(option, dict) else option for option in options or ()]  # pyright: ignore
    return {"enum": values} if values else None


# -- what is open


def _reopened(plan: Snapshot) -> Iterator[bytes]:
    for step in plan.steps:
        if step.status in _OPEN:
            yield event("STEP_STARTED", stepName=step.step_id)
    for message in plan.messages:
        if message.streaming:
            yield from _start(plan.plan_id, message)


def _closed(plan: Snapshot) -> Iterator[bytes]:
    for message in plan.messages:
        if message.streaming:
            yield from _end(plan.plan_id, message)
    for step in plan.steps:
        if step.status in _OPEN:
            yield event("STEP_FINISHED", stepName=step.step_id)


def _start(plan_id: str, message: MessageState) -> Iterator[bytes]:
    message_id, metadata = id_of(plan_id, message), metadata_of(message)
    if is_reasoning(message):
        yield event("REASONING_START", messageId=message_id)
        yield event("REASONING_MESSAGE_START", messageId=message_id, role="reasoning", metadata=metadata)
    else:
        fields = {"role": "assistant", "name": message.agent_name}
        yield event("TEXT_MESSAGE_START", messageId=message_id, **fields, metadata=metadata)


def _content(plan_id: str, message: MessageState, text: str) -> bytes:
    kind = "REASONING_MESSAGE_CONTENT" if is_reasoning(message) else "TEXT_MESSAGE_CONTENT"
    return event(kind, messageId=id_of(plan_id, message), delta=text)


def _end(plan_id: str, message: MessageState) -> Iterator[bytes]:
    message_id, metadata = id_of(plan_id, message), metadata_of(message)
    if is_reasoning(message):
        yield event("REASONING_MESSAGE_END", messageId=message_id, metadata=metadata)
        yield event("REASONING_END", messageId=message_id)
    else:
        yield event("TEXT_MESSAGE_END", messageId=message_id, metadata=metadata)


# -- what changes


def _replaces(change: Change) -> bool:
    """Whether AG-UI can't express this change of a part that the client has."""
    match change:
        case MessageChange(before=MessageState() as before, after=after, text=text):
            same = (before.offset, before.agent_name, is_reasoning(before))
            return text is None or same != (after.offset, after.agent_name, is_reasoning(after))
        case ToolCallChange(before=ToolCallState() as before, after=after):
            changed = before.offset != after.offset or arguments_of(before) != arguments_of(after)
            return changed or call_metadata(before) != call_metadata(after) or before.phase != "started"
        case ArtifactChange(before=before, after=after):
            return before is not None and before.offset != after.offset
        case _:
            return False


class _Translation:
    """Translates what changed, event by event."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._plan_id = advance.after.plan_id
        self._steps = {step.step_id: at for at, step in enumerate(advance.after.steps)}
        self._questions = unanswered(advance.before)
        self._open = {message.offset: message for message in advance.before.messages if message.streaming}

    def parts(self) -> Iterator[Encoded]:
        frames: Sequence[bytes | None] = self._advance.frames or [None] * len(self._advance.changes)
        for changes, frame in zip(self._advance.changes, frames, strict=True):
            yield Encoded(changes.last, b"".join(self._event(changes, frame)))
        still = {message.offset for message in self._advance.after.messages if message.streaming}
        for offset, message in self._open.items():
            if offset not in still:  # it was left out, to limit the size of the plan
                yield Encoded(self._advance.after.offset, b"".join(_end(self._plan_id, message)))

    def _event(self, changes: Changes, frame: bytes | None) -> Iterator[bytes]:
        if isinstance(changes.event, WorkerUpdate) and not changes.changes:
            return
        patch: list[dict[str, Any]] = []
        for change in changes.changes:
            yield from self._change(change)
            patch += self._patch(change)
        added = isinstance(changes.event, AgentMessage) and changes.event.append
        if patch or not added:
            yield self._delta(changes.last, patch, None if added else frame)

    def _delta(self, offset: int, patch: Sequence[dict[str, Any]], frame: bytes | None) -> bytes:
        delta = to_json([*patch, *_position(self._advance.epoch, offset)])
        if frame is None:
            return b'data: {"type":"STATE_DELTA","delta":%b}\n\n' % delta
        line = frame.replace(b"\n", b" ").replace(b"\r", b" ")  # which it can only have between its members
        return b'data: {"type":"STATE_DELTA","delta":%b,"metadata":{"plancast":%b}}\n\n' % (delta, line)

    def _change(self, change: Change) -> Iterator[bytes]:
        match change:
            case StepChange(before=before, after=step):
                was, now = before is not None and before.status in _OPEN, step.status in _OPEN
                if was != now:
                    yield event("STEP_STARTED" if now else "STEP_FINISHED", stepName=step.step_id)
            case MessageChange():
                yield from self._message(change)
            case ToolCallChange(before=before, after=call):
                yield from self._tool_call(before, call)
            case ArtifactChange(after=artifact):
                fields = {"activityType": ARTIFACT, "content": artifact_content(artifact)}
                yield event("ACTIVITY_SNAPSHOT", messageId=id_of(self._plan_id, artifact), **fields)
            case _:
                pass

    def _message(self, change: MessageChange) -> Iterator[bytes]:
        message = change.after
        if change.opens:
            self._open[message.offset] = message
            yield from _start(self._plan_id, message)
        if change.text:
            yield _content(self._plan_id, message, change.text)
        if change.closes:
            self._open.pop(message.offset, None)
            yield from _end(self._plan_id, message)

    def _tool_call(self, before: ToolCallState | None, call: ToolCallState) -> Iterator[bytes]:
        call_id = id_of(self._plan_id, call)
        if before is None:
            metadata = call_metadata(call)
            yield event("TOOL_CALL_START", toolCallId=call_id, toolCallName=call.tool_name, metadata=metadata)
            yield event("TOOL_CALL_ARGS", toolCallId=call_id, delta=arguments_of(call))
            yield event("TOOL_CALL_END", toolCallId=call_id)
        if call.phase != "started":
            fields = {"toolCallId": call_id, "role": "tool", "content": text_of(call.result)}
            yield event("TOOL_CALL_RESULT", messageId=f"{call_id}-result", **fields, metadata=result_metadata(call))

    def _patch(self, change: Change) -> Iterator[dict[str, Any]]:
        match change:
            case StepChange(before=before, after=step):
                at = "-" if before is None else self._steps[step.step_id]
                yield {"op": "add" if before is None else "replace", "path": f"/steps/{at}", "value": plain(step)}
            case InputChange(after=question):
                self._questions[question.request_id] = question
                if question.answered_at is not None:
                    del self._questions[question.request_id]
                questions = [plain(one) for one in self._questions.values()]
                yield {"op": "replace", "path": "/questions", "value": questions}
            case PlanChange(before=before, after=after):
                old, new = before.as_json(), after.as_json()
                yield from ({"op": "remove", "path": f"/{name}"} for name in old if name not in new)
                changed = (name for name, value in new.items() if old.get(name) != value)
                yield from ({"op": "add", "path": f"/{name}", "value": new[name]} for name in changed)
            case _:
                pass


def _position(epoch: str, offset: int) -> Sequence[dict[str, Any]]:
    return [
        {"op": "replace", "path": "/epoch", "value": epoch},
        {"op": "replace", "path": "/offset", "value": offset},
    ]
