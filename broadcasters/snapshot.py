"""The fields of a snapshot, and its encoding.

A snapshot is the state of a plan at an offset: all that is needed to show the plan, and to fold later events into it
(`broadcasters.fold`). Its JSON is the same in every language that has the fold; null members are omitted.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from broadcasters.errors import SnapshotUnreadable
from broadcasters.events import InputKind, MessageType, PlanStatus, SignalName, StepStatus, ToolPhase, WorkerState
from broadcasters.usage import Cost

__all__ = [
    "SNAPSHOT_VERSION",
    "AgentUsage",
    "ArtifactState",
    "AttemptState",
    "InputState",
    "MessageState",
    "Omitted",
    "Snapshot",
    "State",
    "StepState",
    "ToolCallState",
    "UsageSum",
    "WorkerStatus",
    "decode",
    "empty",
    "encode",
]

SNAPSHOT_VERSION: Final = 1
"""Rises when older code can't fold on from a newer snapshot; another field is no reason."""

Moment: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class State(BaseModel):
    """A part of a snapshot. Neither it nor its data is ever changed; the fold makes new ones."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)


class UsageSum(State):
    """A sum of reported usage. Members that no event reported are missing; the model is the one reported last."""

    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    requests: int | None = None
    costs: dict[str, Cost] | None = None
    """The cost by currency."""


class AgentUsage(UsageSum):
    """The usage of one model by one agent. Without agent and model: also that of all for which there was no room."""

    agent_name: str | None = None


class AttemptState(State):
    """An earlier attempt at a step."""

    attempt: int
    status: StepStatus
    content: str | None = None
    started_at: Moment | None = None
    ended_at: Moment
    duration_ms: int | None = None


class StepState(State):
    """A step. Status, content, progress, times and data belong to the current attempt."""

    step_id: str
    offset: int
    title: str | None = None
    status: StepStatus = "pending"
    content: str | None = None
    progress: float | None = None
    agent_name: str | None = None
    needs: tuple[str, ...] | None = None
    attempt: int = 1
    max_attempts: int | None = None
    attempts: tuple[AttemptState, ...] = ()
    """The attempts before the current one, oldest first."""
    started_at: Moment | None = None
    ended_at: Moment | None = None
    duration_ms: int | None = None
    data: dict[str, Any] | None = None
    usage: UsageSum | None = None
    """In all attempts, by the step itself, its messages and its tool calls."""


class MessageState(State):
    """A message of an agent. While `streaming`, text may be added."""

    message_id: str
    offset: int
    at: Moment
    agent_name: str
    content: str
    message_type: MessageType
    step_id: str | None = None
    streaming: bool = False
    error: str | None = None
    data: dict[str, Any] | None = None
    usage: UsageSum | None = None


class ToolCallState(State):
    """A call of a tool, which has not ended while its phase is `started`."""

    call_id: str
    offset: int
    tool_name: str
    agent_name: str
    phase: ToolPhase
    arguments: Any = None
    result: Any = None
    step_id: str | None = None
    started_at: Moment
    ended_at: Moment | None = None
    usage: UsageSum | None = None


class InputState(State):
    """A request for input from a person; pending until it has `answered_at` (the answer itself may be null)."""

    request_id: str
    offset: int
    at: Moment
    kind: InputKind
    prompt: str
    options: tuple[Any, ...] | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    step_id: str | None = None
    agent_name: str | None = None
    expires_at: Moment | None = None
    answer: Any = None
    by: str | None = None
    answered_at: Moment | None = None
    idempotency_key: str | None = None


class ArtifactState(State):
    """An artifact, in its latest version."""

    artifact_id: str
    offset: int
    at: Moment
    name: str
    mime_type: str
    url: str | None = None
    data: Any = None
    step_id: str | None = None


class WorkerStatus(State):
    """The program that works on the plan, or did so last. It does while its state is `begun` or `alive`, the plan has not
    ended, and `lease_s` seconds have not passed since `seen_at`."""

    worker_id: str
    offset: int
    name: str
    state: WorkerState
    lease_s: float
    obeys: tuple[SignalName, ...] = ()
    since: Moment
    seen_at: Moment
    """Its last sign of life."""
    signals_after: int
    """The requests after this offset are for this worker, or were for one before it that did not release the plan."""


class Omitted(State):
    """How many parts were left out to limit the size. The log may still have their events."""

    messages: int = 0
    tool_calls: int = 0
    artifacts: int = 0
    inputs: int = 0
    attempts: int = 0


class Snapshot(State):
    """The state of a plan after its event at `offset`. Steps, messages and the other parts are in the order of their
    first event, whose offset is the `offset` of the part."""

    version: Literal[1] = SNAPSHOT_VERSION
    plan_id: str
    offset: int = 0
    status: PlanStatus = "pending"
    title: str | None = None
    content: str | None = None
    progress: float | None = None
    owner: str | None = None
    labels: tuple[str, ...] = ()
    created_at: Moment | None = None
    updated_at: Moment | None = None
    ended_at: Moment | None = None
    result: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    steps: tuple[StepState, ...] = ()
    messages: tuple[MessageState, ...] = ()
    tool_calls: tuple[ToolCallState, ...] = ()
    inputs: tuple[InputState, ...] = ()
    artifacts: tuple[ArtifactState, ...] = ()
    worker: WorkerStatus | None = None
    usage: UsageSum | None = None
    usage_by_agent: tuple[AgentUsage, ...] | None = None
    omitted: Omitted = Omitted()
    weight: int = 0
    """The weight of all parts that may be left out; see `snapshot_draft`."""


def empty(plan_id: str) -> Snapshot:
    """The snapshot of a plan without events."""
    return Snapshot(plan_id=plan_id)


def encode(snapshot: Snapshot) -> bytes:
    """Encode a snapshot as a JSON object on one line."""
    return snapshot.__pydantic_serializer__.to_json(snapshot, exclude_none=True, by_alias=True)


def decode(data: bytes) -> Snapshot:
    """Decode a snapshot, or raise `SnapshotUnreadable`."""
    try:
        return Snapshot.model_validate_json(data)
    except ValidationError as error:
        version = _version(data)
        if version > SNAPSHOT_VERSION:
            problem = f"it has version {version}; this program reads version {SNAPSHOT_VERSION} and must be updated"
            raise SnapshotUnreadable(problem, newer=True) from None
        raise SnapshotUnreadable(f"it is damaged ({error.error_count()} errors in {len(data):,} bytes)") from None


def _version(data: bytes) -> int:
    try:
        version = json.loads(data)["version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return version if isinstance(version, int) else 0
