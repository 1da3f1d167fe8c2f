"""The fold: computes a plan's snapshot from its events, in order.

`fold(snapshot, first, events)` is pure and total: no sequence of events makes it raise, and it makes no difference where
a sequence is cut: `fold(fold(s, 1, a), 1 + len(a), b) == fold(s, 1, a + b)`. The latest event counts. No clock is read;
the times in events are copied, and compared with nothing but each other. The rules are simple, so that the fold can be
written in other languages; tests/vectors/fold checks each implementation.

Plan: `pending` before its first event, and in progress from then on, until a plan_update without a step_id sets another
status. A plan that has ended has a result (the data of that update), and none of its messages is streaming. A later
status that does not end it removes its end and result.

Steps: see `step_fold`.

Messages: `append` adds to the message of that id, or adds the message; any other event with the id replaces it, in
its old position. A message that was closed stays closed. A plan_update of an agent with content is a message as well.

Inputs: the first answer counts. A request with the id of one that has no answer replaces it.

Usage: each event adds what it reports to the sums of its message or tool call, its step, its agent and the plan, also if it
is otherwise ignored. A message that is replaced, and a step in its next attempt, keep their sums.

The worker: the one that has begun last. Its events don't change when the plan was updated, but the first event of a
plan begins it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from broadcasters.events import (
    PLAN_ENDED,
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
    WorkerUpdate,
)
from broadcasters.snapshot import (
    ArtifactState,
    InputState,
    MessageState,
    Snapshot,
    ToolCallState,
    UsageSum,
    WorkerStatus,
)
from broadcasters.snapshot_draft import WEIGHT_LIMIT, Draft
from broadcasters.step_fold import update_step
from broadcasters.usage_fold import plus

__all__ = ["apply", "fold", "step_of"]

MIN_LEASE_S: Final = 1.0
"""The lease of a worker that gave none."""


def fold(snapshot: Snapshot, first: int, events: Iterable[PlanEvent | None], limit: int = WEIGHT_LIMIT) -> Snapshot:
    """Return the snapshot after further events of its plan.

    Args:
        snapshot: The plan so far. It is not changed.
        first: The offset of the first event. Events that the snapshot contains are skipped.
        events: None stands for an event of an unknown type, which only advances the offset. (Merged tokens of offsets
            5 to 7 are `fold(snapshot, 5, [tokens, None, None])`.)
        limit: The weight beyond which parts are left out; must be the same in all folds of a plan.

    Raises:
        ValueError: There is a gap between the snapshot and `first`.
    """
    if first > snapshot.offset + 1:
        raise ValueError(f"first is {first}, but the snapshot ends at offset {snapshot.offset}; events are missing")
    draft = Draft(snapshot, limit)
    for offset, event in enumerate(events, first):
        if offset <= draft.offset:
            continue
        draft.offset = offset
        if event is not None:
            apply(draft, event)
            draft.lighten()
    return draft.finish()


def apply(draft: Draft, event: PlanEvent) -> None:
    """Change the draft by an event, whose offset is `draft.offset`."""
    if not isinstance(event, WorkerUpdate) or draft.updated_at is None:
        draft.updated_at = event.timestamp
    if draft.created_at is None:
        draft.created_at = event.timestamp
        draft.status = "in_progress"
    match event:
        case AgentMessage():
            _agent_message(draft, event)
        case StepUpdate():
            update_step(draft, event.step_id, event)
            if event.usage is not None:
                agent_name = event.agent_name or draft.steps[event.step_id].agent_name
                draft.count_usage(event.usage, agent_name, event.step_id)
        case PlanUpdate():
            _plan_update(draft, event)
        case ToolCall():
            _tool_call(draft, event)
        case InputRequest():
            _input_request(draft, event)
        case InputResponse():
            _input_response(draft, event)
        case Artifact():
            _artifact(draft, event)
        case WorkerUpdate():
            draft.worker = _worker_after(draft.worker, event, draft.offset)
        case _:
            pass


# the plan


def _plan_update(draft: Draft, event: PlanUpdate) -> None:
    if event.owner is not None:
        draft.owner = event.owner
    if event.labels is not None:
        draft.labels = tuple(event.labels)
    if event.step_id is None:
        _plan(draft, event)
    else:
        update_step(draft, event.step_id, event)
    if event.agent_name is not None and event.content:
        _message_of_update(draft, event, event.agent_name, event.content)


def _plan(draft: Draft, event: PlanUpdate) -> None:
    if event.title is not None:
        draft.title = event.title
    if event.content is not None:
        draft.content = event.content
    if event.progress is not None:
        draft.progress = event.progress
    elif event.status == "completed":
        draft.progress = 100.0
    if event.status in PLAN_ENDED:
        _end(draft, event)
    else:
        draft.ended_at = None
        draft.result = None
        if event.data is not None:
            draft.data = event.data
    draft.status = event.status


def _end(draft: Draft, event: PlanUpdate) -> None:
    if draft.ended_at is None:
        draft.ended_at = event.timestamp
        draft.close_messages()
    if event.data is not None:
        draft.result = event.data


def step_of(known: MessageState | ToolCallState | None, event: AgentMessage | ToolCall) -> str | None:
    """The step to which the usage of a message or tool call belongs; `known` is its state before the event."""
    return known.step_id if event.step_id is None and known is not None else event.step_id


# messages


def _message_of_update(draft: Draft, event: PlanUpdate, agent_name: str, content: str) -> None:
    message = MessageState(
        message_id=draft.free_message_id(draft.offset),
        offset=draft.offset,
        at=event.timestamp,
        agent_name=agent_name,
        content=content,
        message_type=event.message_type or "action",
        step_id=event.step_id,
    )
    draft.put_message(message)


def _agent_message(draft: Draft, event: AgentMessage) -> None:
    message_id = draft.free_message_id(draft.offset) if event.message_id is None else event.message_id
    known = draft.messages.get(message_id)
    if known is not None and event.append:
        _append(draft, known, event)
    else:
        draft.put_message(_new_message(draft, known, event, message_id))
    if event.usage is not None:
        message = draft.messages[message_id]
        draft.change_message(message, usage=plus(message.usage or UsageSum(), event.usage))
        draft.count_usage(event.usage, event.agent_name, step_of(known, event))


def _new_message(draft: Draft, known: MessageState | None, event: AgentMessage, message_id: str) -> MessageState:
    unfinished = event.message_id is not None and (event.append is True or event.final is False)
    return MessageState(
        message_id=message_id,
        offset=draft.offset if known is None else known.offset,
        at=event.timestamp if known is None else known.at,
        agent_name=event.agent_name,
        content=event.content,
        message_type=event.message_type,
        step_id=event.step_id,
        streaming=unfinished and not _closes(draft, event),
        error=event.error,
        data=event.data,
        usage=None if known is None else known.usage,
    )


def _append(draft: Draft, known: MessageState, event: AgentMessage) -> None:
    draft.add_text(known, event.content)
    if event.data is not None:
        draft.change_message(known, data=event.data)
    if event.error is not None:
        draft.change_message(known, error=event.error)
    if known.streaming and _closes(draft, event):
        draft.change_message(known, streaming=False)


def _closes(draft: Draft, event: AgentMessage) -> bool:
    return event.final is True or event.error is not None or draft.ended


# tool calls, inputs, artifacts


def _tool_call(draft: Draft, event: ToolCall) -> None:
    known = draft.tool_calls.get(event.call_id)
    if known is None:
        draft.put_tool_call(_new_tool_call(draft, event))
    else:
        draft.change_tool_call(known, **_tool_call_changes(event))
    if event.usage is not None:
        call = draft.tool_calls[event.call_id]
        draft.change_tool_call(call, usage=plus(call.usage or UsageSum(), event.usage))
        draft.count_usage(event.usage, event.agent_name, step_of(known, event))


def _new_tool_call(draft: Draft, event: ToolCall) -> ToolCallState:
    return ToolCallState(
        call_id=event.call_id,
        offset=draft.offset,
        tool_name=event.tool_name,
        agent_name=event.agent_name,
        phase=event.phase,
        arguments=event.arguments,
        result=event.result,
        step_id=event.step_id,
        started_at=event.timestamp,
        ended_at=_call_ended_at(event),
    )


def _tool_call_changes(event: ToolCall) -> dict[str, Any]:
    changes: dict[str, Any] = {"phase": event.phase, "ended_at": _call_ended_at(event)}
    for name in ("arguments", "result", "step_id"):
        value = getattr(event, name)
        if value is not None:
            changes[name] = value
    return changes


def _call_ended_at(event: ToolCall) -> str | None:
    return None if event.phase == "started" else event.timestamp


def _input_request(draft: Draft, event: InputRequest) -> None:
    known = draft.inputs.get(event.request_id)
    if known is not None and known.answered_at is not None:
        return
    draft.inputs[event.request_id] = InputState(
        request_id=event.request_id,
        offset=draft.offset if known is None else known.offset,
        at=event.timestamp,
        kind=event.kind,
        prompt=event.prompt,
        options=None if event.options is None else tuple(event.options),
        schema=event.json_schema,
        step_id=event.step_id,
        agent_name=event.agent_name,
        expires_at=event.expires_at,
    )


def _input_response(draft: Draft, event: InputResponse) -> None:
    request = draft.inputs.get(event.request_id)
    if request is None or request.answered_at is not None:
        return
    answered = {
        "answer": event.answer,
        "by": event.by,
        "answered_at": event.at,
        "idempotency_key": event.idempotency_key,
    }
    draft.answer(request.model_copy(update=answered))


def _artifact(draft: Draft, event: Artifact) -> None:
    known = draft.artifacts.get(event.artifact_id)
    artifact = ArtifactState(
        artifact_id=event.artifact_id,
        offset=draft.offset if known is None else known.offset,
        at=event.timestamp,
        name=event.name,
        mime_type=event.mime_type,
        url=event.url,
        data=event.data,
        step_id=event.step_id,
    )
    draft.put_artifact(artifact)


# the worker


def _worker_after(known: WorkerStatus | None, event: WorkerUpdate, offset: int) -> WorkerStatus | None:
    """The worker after this event, which has this offset.

    A later update of the worker changes its state, also from `lost` to `alive`, and the time when it was seen, unless it is
    lost. Updates of other workers, and all after `released`, are ignored."""
    if event.state == "begun":
        return _begun(known, event, offset)
    if known is None or known.worker_id != event.worker_id or known.state == "released":
        return known
    changes: dict[str, Any] = {"state": event.state}
    if event.state != "lost":
        changes["seen_at"] = event.timestamp
    return known.model_copy(update=changes)


def _begun(before: WorkerStatus | None, event: WorkerUpdate, offset: int) -> WorkerStatus:
    return WorkerStatus(
        worker_id=event.worker_id,
        offset=offset,
        name=event.worker_id if event.name is None else event.name,
        state="begun",
        lease_s=MIN_LEASE_S if event.lease_s is None else event.lease_s,
        obeys=tuple(event.obeys or ()),
        since=event.timestamp,
        seen_at=event.timestamp,
        signals_after=offset if before is None or before.state == "released" else before.signals_after,
    )
