"""Effects: what a session requires of the connection that carries it. They must be carried out in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hub.core.subscriber import Since
from hub.wire.client_frames import SignalName
from hub.wire.codes import ErrorCode
from hub.wire.server_frames import Error, ServerFrame

__all__ = [
    "CheckToken",
    "Close",
    "Confirm",
    "Effect",
    "Join",
    "Leave",
    "Send",
    "SendSignal",
    "SubmitAnswer",
    "error_about",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Send the client this frame."""

    frame: ServerFrame
    refuses: ErrorCode | None = field(default=None, compare=False)
    """The error code, if the frame refuses a request of the client; for the metrics."""


@dataclass(frozen=True, slots=True)
class Join:
    """Subscribe to the plan's channel, then report `placed`, `refused` or `ended`."""

    plan_id: str
    since: Since | None


@dataclass(frozen=True, slots=True)
class Confirm:
    """The plan is subscribed already: report `placed` with the position of the last delivered event; change nothing."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the channel. From now on send no event of the plan and report nothing about this join."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class CheckToken:
    """Check the token, then report `authenticated` or `authentication_failed`."""

    token: str


@dataclass(frozen=True, slots=True, eq=False)
class SubmitAnswer:
    """Append a person's answer to the plan, then report `input_accepted` or `request_refused` with this object."""

    plan_id: str
    request_id: str
    answer: Any
    idempotency_key: str | None
    by: str


@dataclass(frozen=True, slots=True, eq=False)
class SendSignal:
    """Send a signal to the engine that runs the plan, then report `signal_accepted` or `request_refused` with this
    object."""

    plan_id: str
    signal: SignalName
    request_id: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Close:
    """Flush, then close the connection. All plans are left; later reports are ignored."""

    code: int
    reason: str


Effect = Send | Join | Confirm | Leave | CheckToken | SubmitAnswer | SendSignal | Close


def error_about(request: object, code: ErrorCode, message: str, **more: Any) -> Send:
    """Returns an error frame with the `plan_id` and the `request_id` of a frame or a request, if it has them."""
    plan_id: str | None = getattr(request, "plan_id", None)
    request_id: str | None = getattr(request, "request_id", None)
    return Send(Error.about(code, message, plan_id, request_id, **more), refuses=code)
