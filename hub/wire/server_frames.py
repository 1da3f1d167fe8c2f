"""What the hub says to one client, but for events and snapshots (frames.py): one model a frame, encoded as it is sent.

The models are the truth that docs/asyncapi.json and docs/schemas/wire are generated from.
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
"""The version of docs/PROTOCOL.md that is spoken. It changes only if a client must know."""

Reason = Annotated[str, WithJsonSchema({"type": "string", "enum": ["trimmed", "forked", "ahead", "epoch"]})]
"""Why a story could not go on where the client was."""

Offset = Annotated[int, Field(ge=0)]


class ServerFrame(BaseModel):
    """One thing the hub says."""

    model_config = ConfigDict(frozen=True)

    def encode(self) -> bytes:
        """The frame as it is sent; what is None is left out."""
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
    """The token is good."""

    type: Literal["authenticated"] = "authenticated"
    expires_at: str | None = None
    request_id: str | None = None


class SubscriptionConfirmed(ServerFrame):
    """What follows of this plan starts after (epoch, offset)."""

    type: Literal["subscription_confirmed"] = "subscription_confirmed"
    plan_id: PlanId
    epoch: str
    offset: Offset
    head: Offset
    recovered: bool
    reason: Reason | None = None
    request_id: str | None = None


class UnsubscriptionConfirmed(ServerFrame):
    """No event of this plan follows."""

    type: Literal["unsubscription_confirmed"] = "unsubscription_confirmed"
    plan_id: PlanId
    request_id: str | None = None


class SubscriptionEnded(ServerFrame):
    """The hub ends a subscription; the code says whether to ask again."""

    type: Literal["subscription_ended"] = "subscription_ended"
    plan_id: PlanId
    code: int
    reason: str


class InputAccepted(ServerFrame):
    """The answer is in the plan's log, at this place."""

    type: Literal["input_accepted"] = "input_accepted"
    plan_id: PlanId
    request_id: str
    epoch: str | None = None
    offset: Offset | None = None


class SignalAccepted(ServerFrame):
    """The signal reached whoever runs the plan; the plan itself says when it obeyed."""

    type: Literal["signal_accepted"] = "signal_accepted"
    plan_id: PlanId
    signal: SignalName
    request_id: str | None = None


class Pong(ServerFrame):
    """Here I am."""

    type: Literal["pong"] = "pong"
    nonce: str | int | None = None


class GoingAway(ServerFrame):
    """The hub leaves; come back after this time."""

    type: Literal["going_away"] = "going_away"
    reconnect_after_ms: Annotated[int, Field(ge=0)]


class ErrorData(ServerFrame):
    """The message again: older front ends look for it here."""

    plan_id: str | None = None
    error: str


class Error(ServerFrame):
    """Something asked for can't be had; the connection stays open unless a close follows."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    plan_id: str | None = None
    request_id: str | None = None
    retry_after_ms: int | None = None
    by: str | None = None
    """Of `already_answered`: who was first, and when."""
    at: str | None = None
    data: ErrorData

    @classmethod
    def about(
        cls, code: ErrorCode, message: str, plan_id: str | None = None, request_id: str | None = None, **more: Any
    ) -> Error:
        """The error, with the message where both newer and older clients look for it."""
        data = ErrorData(plan_id=plan_id, error=message)
        return cls(code=code, message=message, plan_id=plan_id, request_id=request_id, data=data, **more)


def moment(unix: float | None) -> str | None:
    """Unix seconds as frames carry them; the far future, which tokens may name, is as far as a date can go."""
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
