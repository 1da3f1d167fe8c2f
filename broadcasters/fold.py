"""The fold: computes a plan's snapshot from its events, in order.

`fold(snapshot, first, events)` is pure and total: no sequence of events makes it raise, and it makes no difference where
a sequence is cut: `fold(fold(s, 1, a), 1 + len(a), b) == fold(s, 1, a + b)`. The latest event counts. No clock is read;
the times in events are copied, and compared with nothing but each other. The rules are simple, so that the fold can be
written in other languages; tests/vectors/fold checks each implementation.

Plan: `pending` before its first event, and in progress from then on, until a plan_update without a step_id sets another
status. A plan that has ended has a result (the data of that update), and none of its messages is streaming. A later
status that does not end it removes its end and result.

Steps: the first step_update, or plan_update with a step_id, adds the step. Title, needs and agent stay until they are
set again. A higher attempt, `retrying` without a number, or another status after the end begins a new attempt without
content, progress, data and times; the previous one goes to `attempts`. Updates of a lower attempt than the current one
are ignored. Progress may go back; `completed` sets it to 100.

Messages: `append` adds to the message of that id, or adds the message; any other event with the id replaces it, in
its old position. A message that was closed stays closed. A plan_update of an agent with content is a message as well.

Inputs: the first answer counts. A request with the id of one that has no answer replaces it.

The worker: see `worker_fold`. Its events don't change when the plan was updated, but the first event of a plan begins it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broadcasters.events import (
    PLAN_ENDED,
    STEP_ENDED,
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
    AttemptState,
    InputState,
    MessageState,
    Snapshot,
    StepState,
    ToolCallState,
)
from broadcasters.snapshot_draft import WEIGHT_LIMIT, Draft
from broadcasters.worker_fold import worker_after

__all__ = ["apply", "fold"]

MAX_ATTEMPTS: Final = 16
"""Earlier attempts kept of a step, the latest."""
_UNDER_WAY: Final[frozenset[str]] = frozenset({"in_progress", "waiting", "retrying", "stalled"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
            _step(draft, event.step_id, event)
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
            draft.worker = worker_after(draft.worker, event, draft.offset)
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
        _step(draft, event.step_id, event)
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


# steps


def _step(draft: Draft, step_id: str, event: StepUpdate | PlanUpdate) -> None:
    number = event.attempt if isinstance(event, StepUpdate) else None
    step = draft.steps.get(step_id)
    if step is None:
        step = StepState(step_id=step_id, offset=draft.offset, attempt=1 if number is None else number)
    elif _is_outdated(step, event.status, number):
        return
    elif _opens_attempt(step, event.status, number):
        step = _next_attempt(draft, step, number, event.timestamp)
    draft.steps[step_id] = step.model_copy(update=_step_changes(step, event))


def _is_outdated(step: StepState, status: str, number: int | None) -> bool:
    if number is None or number >= step.attempt:
        return False
    return step.status not in STEP_ENDED or status in STEP_ENDED


def _opens_attempt(step: StepState, status: str, number: int | None) -> bool:
    if number is not None and number > step.attempt:
        return True
    if status == "retrying":
        return number is None and step.status not in ("pending", "retrying")
    return step.status in STEP_ENDED and status not in STEP_ENDED


def _next_attempt(draft: Draft, step: StepState, number: int | None, at: str) -> StepState:
    attempts = step.attempts
    if step.status != "pending":
        attempts = (*attempts, _closed_attempt(step, at))
    if len(attempts) > MAX_ATTEMPTS:
        attempts = attempts[1:]
        draft.count_omitted("attempts")
    return StepState(
        step_id=step.step_id,
        offset=step.offset,
        title=step.title,
        agent_name=step.agent_name,
        needs=step.needs,
        attempt=step.attempt + 1 if number is None else number,
        max_attempts=step.max_attempts,
        attempts=attempts,
    )


def _closed_attempt(step: StepState, at: str) -> AttemptState:
    ended_at = at if step.ended_at is None else step.ended_at
    return AttemptState(
        attempt=step.attempt,
        # Another attempt was needed, so this one failed, even if no event reported it.
        status=step.status if step.status in STEP_ENDED or step.status == "stalled" else "error",
        content=step.content,
        started_at=step.started_at,
        ended_at=ended_at,
        duration_ms=_duration(step.started_at, ended_at),
    )


def _step_changes(step: StepState, event: StepUpdate | PlanUpdate) -> dict[str, Any]:
    changes: dict[str, Any] = {"status": event.status}
    for name in ("title", "content", "progress", "agent_name", "data"):
        value = getattr(event, name)
        if value is not None:
            changes[name] = value
    if event.progress is None and event.status == "completed":
        changes["progress"] = 100.0
    if isinstance(event, StepUpdate):
        if event.max_attempts is not None:
            changes["max_attempts"] = event.max_attempts
        if event.needs is not None:
            changes["needs"] = tuple(event.needs)
    return changes | _step_times(step, event.status, event.timestamp)


def _step_times(step: StepState, status: str, at: str) -> dict[str, Any]:
    if status in STEP_ENDED:
        ended_at = at if step.ended_at is None else step.ended_at
        return {"ended_at": ended_at, "duration_ms": _duration(step.started_at, ended_at)}
    started_at = at if step.started_at is None and status in _UNDER_WAY else step.started_at
    return {"started_at": started_at, "ended_at": None, "duration_ms": None}


def _duration(started_at: str | None, ended_at: str) -> int | None:
    """Whole milliseconds; 0 when the clocks of two machines make it look negative."""
    return None if started_at is None else max(0, _milliseconds(ended_at) - _milliseconds(started_at))


def _milliseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(milliseconds=1)


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
    ended_at = None if event.phase == "started" else event.timestamp
    known = draft.tool_calls.get(event.call_id)
    if known is None:
        call = ToolCallState(
            call_id=event.call_id,
            offset=draft.offset,
            tool_name=event.tool_name,
            agent_name=event.agent_name,
            phase=event.phase,
            arguments=event.arguments,
            result=event.result,
            step_id=event.step_id,
            started_at=event.timestamp,
            ended_at=ended_at,
        )
        draft.put_tool_call(call)
        return
    changes: dict[str, Any] = {"phase": event.phase, "ended_at": ended_at}
    for name in ("arguments", "result", "step_id"):
        value = getattr(event, name)
        if value is not None:
            changes[name] = value
    draft.change_tool_call(known, **changes)


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
