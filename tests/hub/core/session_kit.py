"""What tests of the session share: somebody's rights, small limits, effects as plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hub.access.principal import Grants, Principal
from hub.config.limits import SessionLimits
from hub.core.effects import Effect, Send
from hub.core.session import Session

__all__ = ["LIMITS", "NOW", "frame", "frames", "person", "session", "shown"]

NOW = 1_000_000.0
LIMITS = SessionLimits(subscriptions=3, pending_requests=2, bad_frames=3, frames_burst=1000)


def person(
    plans: dict[str, list[str]] | None = None, subject: str = "ann", expires_at: float | None = None
) -> Principal:
    """Somebody who may do everything, unless told otherwise."""
    grants = {"*": ["read", "input", "signal"]} if plans is None else plans
    return Principal(subject, Grants.parse(grants), expires_at)


def session(principal: Principal | None = None, limits: SessionLimits = LIMITS, *, known: bool = True) -> Session:
    """A session of `principal`, of somebody with all rights, or (known=False) of nobody yet."""
    return Session("c-1", limits, principal or person() if known else None, NOW)


def frame(kind: str, plan_id: str | None = None, **fields: Any) -> str:
    """A client's frame."""
    return json.dumps({"type": kind} | ({"plan_id": plan_id} if plan_id is not None else {}) | fields)


def shown(effects: Iterable[Effect]) -> list[Any]:
    """The effects, with frames as JSON; errors without their texts, which are for people."""
    return [_told(effect) if isinstance(effect, Send) else effect for effect in effects]


def frames(effects: Iterable[Effect]) -> list[dict[str, Any]]:
    """Only the frames, whole."""
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def _told(effect: Send) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(effect.frame)
    if told["type"] == "error":
        assert told["message"]
        assert told["data"]["error"] == told["message"]
        del told["message"], told["data"]
    return told
