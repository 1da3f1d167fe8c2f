"""What a session asks of whoever carries it: nothing happens until these are carried out, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hub.core.subscriber import Since
from hub.wire.client_frames import SignalName
from hub.wire.codes import ErrorCode
from hub.wire.server_frames import Error, ServerFrame

__all__ = [
    "Answer",
    "Authenticate",
    "Close",
    "Confirm",
    "Effect",
    "Join",
    "Leave",
    "Send",
    "Signal",
    "error_about",
    "send",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Put this frame on the line."""

    frame: bytes
    refuses: str | None = field(default=None, compare=False)
    """The error code with which it refuses a frame of the client, if it does: to be counted."""


@dataclass(frozen=True, slots=True)
class Join:
    """Subscribe to the plan's channel, and report `placed`, `refused` or `ended`."""

    plan_id: str
    since: Since | None


@dataclass(frozen=True, slots=True)
class Confirm:
    """Already subscribed: report `placed` with the place of the last event handed out. Nothing else changes."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the channel. From here on no event of the plan may be sent, and nothing of this join be reported."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Check the token, and report `authenticated` or `authentication_failed`."""

    token: str


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Put a person's answer into the plan, and report `input_accepted` or `request_refused` with this object."""

    plan_id: str
    request_id: str
    answer: Any
    idempotency_key: str | None
    by: str


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """Signal whoever runs the plan, and report `signal_accepted` or `request_refused` with this object."""

    plan_id: str
    signal: SignalName
    request_id: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Close:
    """Flush, then close the connection. All plans are left, and what is reported after it is ignored."""

    code: int
    reason: str


Effect = Send | Join | Confirm | Leave | Authenticate | Answer | Signal | Close


def send(frame: ServerFrame) -> Send:
    """The effect that sends this frame."""
    return Send(frame.encode())


def error_about(about: object, code: ErrorCode, message: str, **more: Any) -> Send:
    """An error about a frame or a request: it names the plan and the request that these name."""
    plan_id: str | None = getattr(about, "plan_id", None)
    request_id: str | None = getattr(about, "request_id", None)
    return Send(Error.about(code, message, plan_id, request_id, **more).encode(), refuses=code)
