"""The fold: what a person sees of a plan, made from its events, one after the other.

`fold(snapshot, first, events)` is pure and total: no sequence of events makes it raise, and where a sequence is cut
makes no difference: `fold(fold(s, 1, a), 1 + len(a), b) == fold(s, 1, a + b)`. The last word counts, always; no clock
but those of the events is looked at, and theirs only to be shown. The rules are plain on purpose: another language
folds the same (tests/vectors/fold holds both to it).

Of the plan: it is pending before its first event; any event begins it; its status is what a plan_update without a
step_id says. Ended, it has a result (the data of the update that ended it) and no message is still streaming; taken up
again, neither end nor result.

Of a step: see `snapshot_steps`.

Of the conversation: `append` adds to the message of that id (or begins it), anything else with that id begins it anew
in its old place; a closed message stays closed. A plan_update by an agent, with content, is a line as well.

Of inputs: the first answer wins; asking again replaces what nobody answered yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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
)
from broadcasters.snapshot_draft import WEIGHT_LIMIT, Draft
from broadcasters.snapshot_model import (
    ArtifactState,
    InputState,
    MessageState,
    Snapshot,
    ToolCallState,
    decode,
    empty,
    encode,
)
from broadcasters.snapshot_steps import tell_step

__all__ = ["Snapshot", "decode", "empty", "encode", "fold"]


def fold(snapshot: Snapshot, first: int, events: Iterable[PlanEvent | None], limit: int = WEIGHT_LIMIT) -> Snapshot:
    """The snapshot after these events of its plan, of which the i-th stands at offset `first + i`.

    None is an event of an unknown type: it only moves the offset (so merged tokens that stand for 5 to 7 are
    `fold(snapshot, 5, [tokens, None, None])`). Offsets the snapshot has already are passed over; a hole before `first`
    is the caller's mistake. Whoever folds on must do so with the same `limit` (see `snapshot_draft`).
    """
    if first > snapshot.offset + 1:
        raise ValueError(f"after offset {snapshot.offset} comes {snapshot.offset + 1}; first is {first}, a hole")
    draft = Draft(snapshot, limit)
    for offset, event in enumerate(events, first):
        if offset <= draft.offset:
            continue
        draft.offset = offset
        if event is not None:
            _tell(draft, event)
            draft.lighten()
    return draft.finish()


def _tell(draft: Draft, event: PlanEvent) -> None:
    draft.updated_at = event.timestamp
    if draft.created_at is None:
        draft.created_at = event.timestamp
        draft.status = "in_progress"
    match event:
        case AgentMessage():
            _agent_message(draft, event)
        case StepUpdate():
            tell_step(draft, event.step_id, event)
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
        case _:
            pass


# the plan


def _plan_update(draft: Draft, said: PlanUpdate) -> None:
    if said.owner is not None:
        draft.owner = said.owner
    if said.labels is not None:
        draft.labels = tuple(said.labels)
    if said.step_id is None:
        _plan(draft, said)
    else:
        tell_step(draft, said.step_id, said)
    if said.agent_name is not None and said.content:
        _line(draft, said, said.agent_name, said.content)


def _plan(draft: Draft, said: PlanUpdate) -> None:
    if said.title is not None:
        draft.title = said.title
    if said.content is not None:
        draft.content = said.content
    if said.progress is not None:
        draft.progress = said.progress
    elif said.status == "completed":
        draft.progress = 100.0
    if said.status in PLAN_ENDED:
        _end(draft, said)
    else:
        draft.ended_at = None
        draft.result = None
        if said.data is not None:
            draft.data = said.data
    draft.status = said.status


def _end(draft: Draft, said: PlanUpdate) -> None:
    if draft.ended_at is None:
        draft.ended_at = said.timestamp
        draft.close_messages()
    if said.data is not None:
        draft.result = said.data


# the conversation


def _line(draft: Draft, said: PlanUpdate, agent_name: str, content: str) -> None:
    line = MessageState(
        message_id=draft.free_message_id(draft.offset),
        offset=draft.offset,
        at=said.timestamp,
        agent_name=agent_name,
        content=content,
        message_type=said.message_type or "action",
        step_id=said.step_id,
    )
    draft.put_message(line)


def _agent_message(draft: Draft, said: AgentMessage) -> None:
    message_id = draft.free_message_id(draft.offset) if said.message_id is None else said.message_id
    known = draft.messages.get(message_id)
    if known is not None and said.append:
        _append(draft, known, said)
    else:
        draft.put_message(_begun(draft, known, said, message_id))


def _begun(draft: Draft, known: MessageState | None, said: AgentMessage, message_id: str) -> MessageState:
    more_comes = said.message_id is not None and (said.append is True or said.final is False)
    return MessageState(
        message_id=message_id,
        offset=draft.offset if known is None else known.offset,
        at=said.timestamp if known is None else known.at,
        agent_name=said.agent_name,
        content=said.content,
        message_type=said.message_type,
        step_id=said.step_id,
        streaming=more_comes and not _closes(draft, said),
        error=said.error,
        data=said.data,
    )


def _append(draft: Draft, known: MessageState, said: AgentMessage) -> None:
    draft.add_text(known, said.content)
    if said.data is not None:
        draft.change_message(known, data=said.data)
    if said.error is not None:
        draft.change_message(known, error=said.error)
    if known.streaming and _closes(draft, said):
        draft.change_message(known, streaming=False)


def _closes(draft: Draft, said: AgentMessage) -> bool:
    return said.final is True or said.error is not None or draft.ended


# tools, inputs, artifacts


def _tool_call(draft: Draft, said: ToolCall) -> None:
    ended_at = None if said.phase == "started" else said.timestamp
    known = draft.tool_calls.get(said.call_id)
    if known is None:
        call = ToolCallState(
            call_id=said.call_id,
            offset=draft.offset,
            tool_name=said.tool_name,
            agent_name=said.agent_name,
            phase=said.phase,
            arguments=said.arguments,
            result=said.result,
            step_id=said.step_id,
            started_at=said.timestamp,
            ended_at=ended_at,
        )
        draft.put_tool_call(call)
        return
    changes: dict[str, Any] = {"phase": said.phase, "ended_at": ended_at}
    for name in ("arguments", "result", "step_id"):
        value = getattr(said, name)
        if value is not None:
            changes[name] = value
    draft.change_tool_call(known, **changes)


def _input_request(draft: Draft, said: InputRequest) -> None:
    known = draft.inputs.get(said.request_id)
    if known is not None and known.answered_at is not None:
        return
    draft.inputs[said.request_id] = InputState(
        request_id=said.request_id,
        offset=draft.offset if known is None else known.offset,
        at=said.timestamp,
        kind=said.kind,
        prompt=said.prompt,
        options=None if said.options is None else tuple(said.options),
        schema=said.json_schema,
        step_id=said.step_id,
        agent_name=said.agent_name,
        expires_at=said.expires_at,
    )


def _input_response(draft: Draft, said: InputResponse) -> None:
    request = draft.inputs.get(said.request_id)
    if request is None or request.answered_at is not None:
        return
    answered = {"answer": said.answer, "by": said.by, "answered_at": said.at, "idempotency_key": said.idempotency_key}
    draft.answer(request.model_copy(update=answered))


def _artifact(draft: Draft, said: Artifact) -> None:
    known = draft.artifacts.get(said.artifact_id)
    artifact = ArtifactState(
        artifact_id=said.artifact_id,
        offset=draft.offset if known is None else known.offset,
        at=said.timestamp,
        name=said.name,
        mime_type=said.mime_type,
        url=said.url,
        data=said.data,
        step_id=said.step_id,
    )
    draft.put_artifact(artifact)
