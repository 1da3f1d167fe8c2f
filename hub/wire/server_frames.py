"""Frames that the hub sends to one client, except events and snapshots (frames.py): one model for each.

docs/asyncapi.json and docs/schemas/wire are generated from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from broadcasters.events import PlanId, timestamp
from hub.wire.client_frames import SignalName
from hub.wire.codes import ErrorCode

__all__ = [
    "PROTOCOL",
    "SERVER_FRAMES",
    "Authenticated",
    "Connected",
    "Error",
    "ErrorData",
    "GoingAway",
    "InputAccepted",
    "Pong",
    "Reason",
    "ServerFrame",
    "SignalAccepted",
    "SubscriptionConfirmed",
    "SubscriptionEnded",
    "UnsubscriptionConfirmed",
    "moment",
]

PROTOCOL: Final = 1
"""The version of docs/PROTOCOL.md. It changes only if clients must know."""

Reason = Annotated[str, WithJsonSchema({"type": "string", "enum": ["trimmed", "forked", "ahead", "epoch"]})]
"""Why events could not continue from the client's position."""

Offset = Annotated[int, Field(ge=0)]


class ServerFrame(BaseModel):
    """A frame from the hub."""

    model_config = ConfigDict(frozen=True)

    def encode(self) -> bytes:
        """The frame as JSON, without the fields that are None."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)


class Connected(ServerFrame):
    """The first frame of every connection."""

    type: Literal["connected"] = "connected"
    connection_id: str
    protocol: int = PROTOCOL
    heartbeat_s: float
    server_time: str
    expires_at: str | None = None
    """When the token that came with the connection expires."""


class Authenticated(ServerFrame):
    """The token was accepted."""

    type: Literal["authenticated"] = "authenticated"
    expires_at: str | None = None
    request_id: str | None = None


class SubscriptionConfirmed(ServerFrame):
    """The subscription is confirmed: events that follow start after (epoch, offset)."""

    type: Literal["subscription_confirmed"] = "subscription_confirmed"
    plan_id: PlanId
    epoch: str
    offset: Offset
    head: Offset
    recovered: bool
    reason: Reason | None = None
    request_id: str | None = None


class UnsubscriptionConfirmed(ServerFrame):
    """The subscription is removed: no more events of this plan follow."""

    type: Literal["unsubscription_confirmed"] = "unsubscription_confirmed"
    plan_id: PlanId
    request_id: str | None = None


class SubscriptionEnded(ServerFrame):
    """The hub ended a subscription; the code says whether to subscribe again."""

    type: Literal["subscription_ended"] = "subscription_ended"
    plan_id: PlanId
    code: int
    reason: str


class InputAccepted(ServerFrame):
    """The answer is in the plan's log, at this position."""

    type: Literal["input_accepted"] = "input_accepted"
    plan_id: PlanId
    request_id: str
    epoch: str | None = None
    offset: Offset | None = None


class SignalAccepted(ServerFrame):
    """The engine received the signal; the plan's events show when it took effect."""

    type: Literal["signal_accepted"] = "signal_accepted"
    plan_id: PlanId
    signal: SignalName
    request_id: str | None = None


class Pong(ServerFrame):
    """The reply to a ping."""

    type: Literal["pong"] = "pong"
    nonce: str | int | None = None


class GoingAway(ServerFrame):
    """The hub shuts down; reconnect after this time."""

    type: Literal["going_away"] = "going_away"
    reconnect_after_ms: Annotated[int, Field(ge=0)]


class ErrorData(ServerFrame):
    """The message again, where older front ends look for it."""

    plan_id: str | None = None
    error: str


class Error(ServerFrame):
    """A request failed; the connection stays open unless a close follows."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    plan_id: str | None = None
    request_id: str | None = None
    retry_after_ms: int | None = None
    by: str | None = None
    """With `already_answered`: who answered first, and when."""
    at: str | None = None
    data: ErrorData

    @classmethod
    def about(
        cls, code: ErrorCode, message: str, plan_id: str | None = None, request_id: str | None = None, **more: Any
    ) -> Error:
        """The error, with its message both where newer and where older clients look for it."""
        data = ErrorData(plan_id=plan_id, error=message)
        return cls(code=code, message=message, plan_id=plan_id, request_id=request_id, data=data, **more)


def moment(unix: float | None) -> str | None:
    """Unix time as an RFC 3339 timestamp. A later time than the year 9999, which a token may have, becomes the last one."""
    if unix is None:
        return None
    return timestamp(datetime.fromtimestamp(min(unix, 253_402_300_799), UTC))


SERVER_FRAMES: Final[Mapping[str, type[ServerFrame]]] = MappingProxyType(
    {
        "connected": Connected,
        "authenticated": Authenticated,
        "subscription_confirmed": SubscriptionConfirmed,
        "unsubscription_confirmed": UnsubscriptionConfirmed,
        "subscription_ended": SubscriptionEnded,
        "input_accepted": InputAccepted,
        "signal_accepted": SignalAccepted,
        "pong": Pong,
        "going_away": GoingAway,
        "error": Error,
    }
)
