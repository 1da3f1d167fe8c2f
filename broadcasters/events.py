"""Everything that can be said about a plan.

Strict on types and bounded in size; unknown fields are ignored, so that older and newer code can share a log. An
event is built by its sender (`build`), travels as bytes (`payload`), and is read back by whoever folds it (`parse`).
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

__all__ = [
    "EVENTS",
    "MAX_DEPTH",
    "MAX_EVENT_BYTES",
    "PLAN_ENDED",
    "PLAN_ID",
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
    "StepStatus",
    "StepUpdate",
    "ToolCall",
    "ToolPhase",
    "build",
    "check_plan_id",
    "parse",
    "timestamp",
]

MAX_EVENT_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
"""How deep data may nest: far more than data needs, far less than any reader's stack."""

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

PLAN_ENDED: Final[frozenset[str]] = frozenset({"completed", "error", "cancelled"})
"""Said of a plan (not of one of its steps), these end it."""


def check_plan_id(plan_id: object) -> str:
    """The plan id, when it is one; `InvalidPlanId` when it isn't."""
    if isinstance(plan_id, str) and _plan_id.match(plan_id):
        return plan_id
    raise InvalidPlanId(plan_id)


def timestamp(value: object = None) -> str:
    """A moment as events carry it: RFC 3339, UTC, milliseconds. Without a value: now."""
    if value is None:
        return _in_text(time.time_ns() // 1_000_000)
    if isinstance(value, str):
        if not _rfc3339.match(value):
            raise ValueError("not an RFC 3339 moment with a time zone, such as 2026-01-31T12:00:00.000Z")
        value = datetime.fromisoformat(value.upper())
    elif not isinstance(value, datetime):
        raise ValueError("neither a datetime nor an RFC 3339 string")
    if value.utcoffset() is None:
        raise ValueError("a datetime without a time zone says no moment; give it one, e.g. datetime.now(UTC)")
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this moment is before the year 1 or after 9999") from None
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1)  # what is said in a burst is said within the same few milliseconds
def _in_text(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_value(value: Any, path: str = "", depth: int = 0) -> Any:
    """`value` as plain JSON, or a ValueError that says which part of it has no place in JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value, path)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"{path or 'value'}: an integer beyond 64 bits; send it as a string")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path or 'value'}: {value} has no place in JSON; send null or a string")
        return value
    if depth == MAX_DEPTH:
        raise ValueError(f"{path}: nested deeper than {MAX_DEPTH}")
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
    raise ValueError(f"{path or 'value'}: a {type(value).__name__} has no place in JSON")


def _encodable(text: str, path: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path or 'value'}: half of a surrogate pair; such text can't be sent") from None
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
    """One thing said about a plan."""

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
            raise InvalidEvent(self._unencodable(), "half of a surrogate pair; such text can't be sent") from None
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
    """How the plan goes. Without a step_id, a completed, error or cancelled status ends it."""

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
    """How one step of the plan goes."""

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


class AgentMessage(PlanEvent):
    """What an agent says. With `append`, content is added to the message of that id; `final` closes it."""

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


class ToolCall(PlanEvent):
    """An agent uses a tool."""

    type: ClassVar[str] = "tool_call"
    agent_name: Name
    call_id: Name
    tool_name: Name
    phase: ToolPhase
    arguments: Json = None
    result: Json = None
    step_id: Name | None = None


class InputRequest(PlanEvent):
    """The plan asks a person."""

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
    """What a person answered, and the key it was sent with. `answer` may be anything, null too (it is then left out)."""

    type: ClassVar[str] = "input_response"
    request_id: Name
    answer: Json = None
    by: Name | None = None
    at: Moment = Field(default_factory=timestamp)
    idempotency_key: Name | None = None


class Artifact(PlanEvent):
    """Something made: by url, or small enough to be carried as data."""

    type: ClassVar[str] = "artifact"
    artifact_id: Name
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    mime_type: Name
    url: Annotated[str, Field(max_length=8192)] | None = None
    data: Json = None
    step_id: Name | None = None


EVENTS: Final[Mapping[str, type[PlanEvent]]] = MappingProxyType(
    {cls.type: cls for cls in (PlanUpdate, StepUpdate, AgentMessage, ToolCall, InputRequest, InputResponse, Artifact)}
)

E = TypeVar("E", bound=PlanEvent)


def build(cls: type[E], fields: Mapping[str, Any]) -> E:
    """The event of these fields, or an `InvalidEvent` that names the one at fault. A None counts as not given."""
    try:
        return cls(**{name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["loc"] == ("plan_id",) and first["type"] != "missing":
            raise InvalidPlanId(first["input"]) from None
        field = ".".join(str(part) for part in first["loc"]) or cls.type
        raise InvalidEvent(field, first["msg"].removeprefix("Value error, ")) from None


def parse(payload: bytes) -> PlanEvent | None:
    """An event back from its bytes; None when its type is one we do not know (it was said by newer code)."""
    try:
        envelope = json.loads(payload)
        cls = EVENTS.get(envelope["type"])
        return build(cls, envelope["data"]) if cls else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InvalidEvent):
            raise
        raise InvalidEvent("event", "not a JSON object of type, id and data") from None
