"""Shared by the session's tests: principals, small limits, reports as a connection makes them, effects as plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from broadcasters.position import Position
from hub.access.principal import Grants, Principal
from hub.config.limits import SessionLimits
from hub.core.effects import Effect, Send, SendSignal, SubmitAnswer
from hub.core.session import Session

__all__ = [
    "LIMITS",
    "NOW",
    "ended",
    "frame",
    "frames",
    "input_accepted",
    "person",
    "placed",
    "refused",
    "request_refused",
    "session",
    "shown",
    "signal_accepted",
]

NOW = 1_000_000.0
LIMITS = SessionLimits(subscriptions=3, pending_requests=2, bad_frames=3, frames_burst=1000)


def person(
    plans: dict[str, list[str]] | None = None, subject: str = "ann", expires_at: float | None = None
) -> Principal:
    """A principal with all rights, unless `plans` says otherwise."""
    grants = {"*": ["read", "input", "signal"]} if plans is None else plans
    return Principal(subject, Grants.parse(grants), expires_at)


def session(principal: Principal | None = None, limits: SessionLimits = LIMITS, *, known: bool = True) -> Session:
    """A session of `principal`, of one with all rights, or (known=False) of a client that has not authenticated."""
    return Session("c-1", limits, principal or person() if known else None, NOW)


def frame(kind: str, plan_id: str | None = None, **fields: Any) -> str:
    """A frame as a client sends it."""
    return json.dumps({"type": kind} | ({"plan_id": plan_id} if plan_id is not None else {}) | fields)


def shown(effects: Iterable[Effect]) -> list[Any]:
    """The effects, with frames as JSON; errors without their messages, which are not part of the protocol."""
    return [_decoded(effect) if isinstance(effect, Send) else effect for effect in effects]


def frames(effects: Iterable[Effect]) -> list[dict[str, Any]]:
    """Only the frames, with all their fields."""
    return [json.loads(effect.frame.encode()) for effect in effects if isinstance(effect, Send)]


def _decoded(effect: Send) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(effect.frame.encode())
    if frame["type"] == "error":
        assert frame["message"]
        assert frame["data"]["error"] == frame["message"]
        del frame["message"], frame["data"]
    return frame


# -- reports, as a connection makes them


def placed(s: Session, *report: Any) -> list[Effect]:
    return s.settled(s.subscriptions.placed(*report))


def refused(s: Session, *report: Any) -> list[Effect]:
    return s.settled(s.subscriptions.refused(*report))


def ended(s: Session, *report: Any) -> list[Effect]:
    return s.settled(s.subscriptions.ended(*report))


def input_accepted(s: Session, answer: SubmitAnswer, position: Position | None = None) -> list[Effect]:
    return s.settled(s.requests.input_accepted(answer, position))


def signal_accepted(s: Session, signal: SendSignal) -> list[Effect]:
    return s.settled(s.requests.signal_accepted(signal))


def request_refused(s: Session, request: SubmitAnswer | SendSignal, *report: Any, **more: Any) -> list[Effect]:
    return s.settled(s.requests.refused(request, *report, **more))
