"""The check of a token: what it says, and what the hub says about it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any, Final, cast

from hub.access.principal import Grants, InvalidGrants
from hub.commands.doctor.finding import Finding

__all__ = ["may_publish", "plan_to_read", "token_finding"]

SOON_S: Final = 300.0
FEW: Final = 3
"""Patterns that are shown of each kind."""
ANY_PLAN: Final = "plancast-doctor"
RENEW: Final = "export PLANCAST_TOKEN=$(plancast token {subject} {plans})"


def _claims(token: str | None) -> Mapping[str, Any]:
    """The claims of a token, unverified; none if it is not a JWT."""
    try:
        part = (token or "").split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return cast("Mapping[str, Any]", claims) if isinstance(claims, dict) else {}


def plan_to_read(token: str | None) -> str | None:
    """The id of a plan that the token may read, whether or not the plan exists; None if it may read none."""
    if not token:
        return ANY_PLAN
    exact, prefixes = _grants(_claims(token)).by_verb.get("read", (frozenset(), ()))
    return next((f"{prefix}{ANY_PLAN}" for prefix in prefixes), None) or next(iter(sorted(exact)), None)


def may_publish(token: str) -> bool:
    """Whether the token has the right to publish in any plan. True if it can't be read."""
    return not _claims(token) or "publish" in _grants(_claims(token)).by_verb


def token_finding(token: str | None, status: int, code: str, detail: str) -> Finding:
    """The finding for a token, from the hub's answer to a request with it."""
    claims = _claims(token)
    if status == 401:
        return _refused(token, claims, code, detail)
    if status >= 500:
        return Finding("token", "skipped", f"the hub can't check tokens now ({status})")
    if not token:
        return Finding("token", "ok", "none needed: this hub has no authentication")
    if not claims:
        return Finding("token", "ok", "accepted")
    left = float(claims.get("exp", 0)) - time.time()
    found = f"{claims.get('sub')} may {_rights(claims)}; valid for {_duration(left)}"
    if left < SOON_S:
        return Finding("token", "warning", found, _renew(claims))
    if not _grants(_claims(token)).by_verb:
        return Finding(
            "token", "warning", f"{claims.get('sub')} has no rights: the token has no `plans`", _renew(claims)
        )
    return Finding("token", "ok", found)


def _refused(token: str | None, claims: Mapping[str, Any], code: str, detail: str) -> Finding:
    if not token:
        return Finding("token", "failed", "the hub requires one, and PLANCAST_TOKEN is not set", _renew({}))
    if code == "token_expired":
        ago = _duration(time.time() - float(claims.get("exp", 0)))
        return Finding(
            "token", "failed", f"expired {ago} ago; get a new one from its issuer, or make one", _renew(claims)
        )
    found = (
        f"the hub refuses it: {detail or code or '401'}; was it made with the hub's own secret, audience and issuer?"
    )
    return Finding("token", "failed", found, _renew({}))


def _renew(claims: Mapping[str, Any]) -> str:
    plans = _grants(claims).plans() or {"*": ["read"]}
    grants = [f"--plan '{pattern}={','.join(verbs)}'" for pattern, verbs in plans.items()]
    return RENEW.format(subject=claims.get("sub", "NAME"), plans=" ".join(grants))


def _grants(claims: Mapping[str, Any]) -> Grants:
    try:
        return Grants.parse(claims.get("plans", {}))
    except InvalidGrants:
        return Grants({})


def _rights(claims: Mapping[str, Any]) -> str:
    """`input, read in team-*; publish in *`"""
    patterns: dict[str, list[str]] = {}
    for pattern, verbs in _grants(claims).plans().items():
        patterns.setdefault(", ".join(verbs), []).append(pattern)
    return "; ".join(
        f"{verbs} in {', '.join(found[:FEW])}{', …' * (len(found) > FEW)}" for verbs, found in patterns.items()
    )


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
