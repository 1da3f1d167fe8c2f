"""The types of events, with their fields.

Fields have strict types and a bounded size; unknown ones are ignored, so that older and newer code can share a log.
`build` makes an event, `payload` encodes it, and `parse` decodes it.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from broadcasters.errors import InvalidEvent, InvalidPlanId
from broadcasters.event_bytes import encoded_event
from broadcasters.usage import Usage

__all__ = [
    "EVENTS",
    "MAX_DEPTH",
    "MAX_EVENT_BYTES",
    "PLAN_ENDED",
    "PLAN_ID",
    "STEP_ENDED",
    "AgentMessage",
    "Artifact",
    "InputKind",
    "InputRequest",
    "InputResponse",
    "Json",
    "MessageType",
    "PlanEvent",
    "PlanId",
    "PlanStatus",
    "PlanUpdate",
    "SignalName",
    "StepStatus",
    "StepUpdate",
    "ToolCall",
    "ToolPhase",
    "WorkerState",
    "WorkerUpdate",
    "build",
    "check_plan_id",
    "parse",
    "timestamp",
]

MAX_EVENT_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
"""Deepest nesting of data: much more than data needs, and much less than a reader's stack allows."""

PLAN_ID: Final = r"^[A-Za-z0-9._:@~-]{1,128}$"
_plan_id = re.compile(PLAN_ID[:-1] + r"\Z")
_rfc3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")

PlanStatus = Literal["pending", "in_progress", "waiting", "completed", "error", "cancelled"]
StepStatus = Literal[
    "pending", "in_progress", "waiting", "retrying", "completed", "error", "skipped", "cancelled", "stalled"
]
MessageType = Literal["thinking", "action", "result", "clarification_needed"]
ToolPhase = Literal["started", "completed", "error"]
InputKind = Literal["approval", "clarification", "choice"]
SignalName = Literal["cancel", "pause", "resume"]
WorkerState = Literal["begun", "alive", "lost", "released"]

PLAN_ENDED: Final[frozenset[str]] = frozenset({"completed", "error", "cancelled"})
"""Statuses that end a plan."""
STEP_ENDED: Final[frozenset[str]] = frozenset({"completed", "error", "skipped", "cancelled"})
"""Statuses that end a step."""


def check_plan_id(plan_id: object) -> str:
    """Return a valid plan id; raise `InvalidPlanId` for any other value."""
    if isinstance(plan_id, str) and _plan_id.match(plan_id):
        return plan_id
    raise InvalidPlanId(plan_id)


def timestamp(value: object = None) -> str:
    """A time as events have it: RFC 3339, UTC, milliseconds. Without a value: now."""
    if value is None:
        return _in_text(time.time_ns() // 1_000_000)
    if isinstance(value, str):
        if not _rfc3339.match(value):
            raise ValueError("expected an RFC 3339 time with a time zone, such as 2026-01-31T12:00:00.000Z")
        value = datetime.fromisoformat(value.upper())
    elif not isinstance(value, datetime):
        raise ValueError("expected a datetime or an RFC 3339 string")
    if value.utcoffset() is None:
        raise ValueError("the datetime has no time zone; use one that has, such as datetime.now(UTC)")
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is before the year 1 or after 9999 in UTC") from None
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1)  # the events of a burst have the same few milliseconds
def _in_text(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_value(value: Any, path: str = "", depth: int = 0) -> Any:
    """`value` as plain JSON, or a ValueError that names the part of it that JSON can't express."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value, path)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"{path or 'value'}: the integer has more than 64 bits; send it as a string")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path or 'value'}: JSON has no {value}; send null or a string")
        return value
    if depth == MAX_DEPTH:
        raise ValueError(f"{path}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        fields: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        plain: dict[str, Any] = {}
        for key, item in fields.items():
            if not isinstance(key, str):
                raise ValueError(f"{path or 'value'}: the key {key!r} is not a string")
            _encodable(key, path)
            plain[key] = _json_value(item, f"{path}.{key}" if path else key, depth + 1)
        return plain
    if isinstance(value, list | tuple):
        items: list[Any] | tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        return [_json_value(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(items)]
    if isinstance(value, datetime):
        try:
            return timestamp(value)
        except ValueError as error:
            raise ValueError(f"{path or 'value'}: {error}") from None
    raise ValueError(f"{path or 'value'}: a {type(value).__name__} can't be expressed in JSON")


def _encodable(text: str, path: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path or 'value'}: it has half of a surrogate pair, which UTF-8 can't encode") from None
    return text


Moment = Annotated[str, BeforeValidator(timestamp), Field(json_schema_extra={"format": "date-time"})]
Json = Annotated[Any, BeforeValidator(_json_value)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(_json_value)]
PlanId = Annotated[str, Field(pattern=PLAN_ID)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=MAX_EVENT_BYTES)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class PlanEvent(BaseModel):
    """An event of a plan."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)
    type: ClassVar[str] = ""

    plan_id: PlanId
    timestamp: Moment = Field(default_factory=timestamp)

    def payload(self, event_id: str, trace: str | None = None) -> bytes:
        """The event as it is stored and sent: a JSON object of type, id and data, without a line break.

        `trace` is a `traceparent`, as `broadcasters.tracing` gives it; it stands between id and data."""
        try:
            data = self.__pydantic_serializer__.to_json(self, exclude_none=True, by_alias=True)
        except PydanticSerializationError:
            raise InvalidEvent(
                self._unencodable(), "it has half of a surrogate pair, which UTF-8 can't encode"
            ) from None
        payload = encoded_event(self.type, event_id, data, trace)
        if len(payload) > MAX_EVENT_BYTES:
            problem = (
                f"{len(payload):,} bytes; at most {MAX_EVENT_BYTES:,} fit (larger content: an artifact with a url)"
            )
            raise InvalidEvent(self.type, problem)
        return payload

    def _unencodable(self) -> str:
        for field, value in self:
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                return field
        return self.type


class PlanUpdate(PlanEvent):
    """Progress of the plan. Without a step_id, the status completed, error or cancelled ends the plan."""

    type: ClassVar[str] = "plan_update"
    status: PlanStatus = "in_progress"
    content: Text | None = None
    step_id: Name | None = None
    agent_name: Name | None = None
    message_type: MessageType | None = None
    title: Annotated[str, Field(max_length=1024)] | None = None
    progress: Percent | None = None
    owner: Name | None = None
    labels: Annotated[list[Name], Field(max_length=16)] | None = None
    data: JsonObject | None = None


class StepUpdate(PlanEvent):
    """Progress of one step of the plan."""

    type: ClassVar[str] = "step_update"
    step_id: Name
    status: StepStatus
    content: Text | None = None
    agent_name: Name | None = None
    title: Annotated[str, Field(max_length=1024)] | None = None
    progress: Percent | None = None
    attempt: Count | None = None
    max_attempts: Count | None = None
    needs: Annotated[list[Name], Field(max_length=256)] | None = None
    data: JsonObject | None = None
    usage: Usage | None = None


class AgentMessage(PlanEvent):
    """A message of an agent. With `append`, content is added to the message of that id; `final` closes it."""

    type: ClassVar[str] = "agent_message"
    agent_name: Name
    content: Text
    message_type: MessageType = "thinking"
    step_id: Name | None = None
    message_id: Name | None = None
    append: bool | None = None
    final: bool | None = None
    error: Text | None = None
    data: JsonObject | None = None
    usage: Usage | None = None


class ToolCall(PlanEvent):
    """A call of a tool by an agent: when it starts, and when it has ended."""

    type: ClassVar[str] = "tool_call"
    agent_name: Name
    call_id: Name
    tool_name: Name
    phase: ToolPhase
    arguments: Json = None
    result: Json = None
    step_id: Name | None = None
    usage: Usage | None = None


class InputRequest(PlanEvent):
    """A question to a person."""

    type: ClassVar[str] = "input_request"
    request_id: Name
    kind: InputKind
    prompt: Text
    options: Annotated[list[Json], Field(max_length=256)] | None = None
    json_schema: JsonObject | None = Field(default=None, alias="schema")
    step_id: Name | None = None
    agent_name: Name | None = None
    expires_at: Moment | None = None


class InputResponse(PlanEvent):
    """A person's answer, and the key it was sent with. `answer` may be any JSON; null is omitted."""

    type: ClassVar[str] = "input_response"
    request_id: Name
    answer: Json = None
    by: Name | None = None
    at: Moment = Field(default_factory=timestamp)
    idempotency_key: Name | None = None


class Artifact(PlanEvent):
    """Something that was made: its url, or itself as data if it is small."""

    type: ClassVar[str] = "artifact"
    artifact_id: Name
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    mime_type: Name
    url: Annotated[str, Field(max_length=8192)] | None = None
    data: Json = None
    step_id: Name | None = None


class WorkerUpdate(PlanEvent):
    """Who works on the plan, until when that holds without a further sign of life, and which signals it obeys."""

    type: ClassVar[str] = "worker_update"
    worker_id: Name
    state: WorkerState
    name: Name | None = None
    lease_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    obeys: Annotated[list[SignalName], Field(max_length=3)] | None = None


EVENTS: Final[Mapping[str, type[PlanEvent]]] = MappingProxyType(
    {
        cls.type: cls
        for cls in (
            PlanUpdate,
            StepUpdate,
            AgentMessage,
            ToolCall,
            InputRequest,
            InputResponse,
            Artifact,
            WorkerUpdate,
        )
    }
)

E = TypeVar("E", bound=PlanEvent)


def build(cls: type[E], fields: Mapping[str, Any]) -> E:
    """Make an event.

    Args:
        cls: The class of the event.
        fields: Its fields; None is the same as a missing one.

    Raises:
        InvalidEvent: A field is wrong; the error names it.

    Example:
        event = build(AgentMessage, {"plan_id": "plan-1", "agent_name": "Writer", "content": "Done."})
    """
    try:
        return cls(**{name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["loc"] == ("plan_id",) and first["type"] != "missing":
            raise InvalidPlanId(first["input"]) from None
        field = ".".join(str(part) for part in first["loc"]) or cls.type
        raise InvalidEvent(field, first["msg"].removeprefix("Value error, ")) from None


def parse(payload: bytes) -> PlanEvent | None:
    """Decode an event; None if its type is unknown (newer code sent it). Raises `InvalidEvent` for other bytes."""
    try:
        envelope = json.loads(payload)
        cls = EVENTS.get(envelope["type"])
        return build(cls, envelope["data"]) if cls else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InvalidEvent):
            raise
        raise InvalidEvent("event", "expected a JSON object with type, id and data") from None
