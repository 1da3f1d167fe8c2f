"""Who a client is, and what it may do with which plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Final, Literal, cast, get_args

from broadcasters.errors import InvalidEvent, InvalidPlanId, PlancastError
from broadcasters.events import PlanEvent, PlanUpdate, check_plan_id

__all__ = ["MAX_PATTERNS", "RESERVED", "VERBS", "Grants", "InvalidGrants", "Principal", "Verb", "refuse_reserved"]

Verb = Literal["read", "input", "signal", "publish", "start"]
VERBS: Final[frozenset[str]] = frozenset(get_args(Verb))

RESERVED: Final = "~plancast."
"""Plans whose id begins so are the hub's own (spent tickets, probes), and so are labels that do. Nobody may do anything
with them."""

MAX_PATTERNS: Final = 256
_NONE: Final[tuple[frozenset[str], tuple[str, ...]]] = (frozenset(), ())


def refuse_reserved(event: PlanEvent) -> None:
    """`InvalidEvent` when the event's plan id, or a label that it gives, is reserved for the hub's own plans."""
    problem = f"names that begin with {RESERVED} are reserved for the hub's own plans; choose another"
    if event.plan_id.startswith(RESERVED):
        raise InvalidEvent("plan_id", problem)
    if isinstance(event, PlanUpdate) and any(label.startswith(RESERVED) for label in event.labels or ()):
        raise InvalidEvent("labels", problem)


class InvalidGrants(PlancastError, ValueError):
    """The `plans` of a token are not a map of plan-id pattern to verbs; the message says which part isn't."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Per verb: the plan ids it is granted for, and the beginnings of plan ids.

    A pattern is a plan id, or the beginning of one followed by `*`. It is only ever compared with a plan id, character
    by character: it never becomes a regular expression, nor anything a server would expand.
    """

    by_verb: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = field(hash=False)

    @classmethod
    def parse(cls, plans: object) -> Grants:
        """The grants of a token's `plans`; `InvalidGrants` when it is anything but pattern -> list of verbs."""
        if not isinstance(plans, Mapping):
            raise InvalidGrants('plans: a map such as {"team-a.*": ["read", "input"]} is needed')
        patterns = cast("Mapping[object, object]", plans)
        if len(patterns) > MAX_PATTERNS:
            raise InvalidGrants(f"plans: {len(patterns)} patterns; at most {MAX_PATTERNS} are allowed")
        exact: dict[str, set[str]] = {}
        beginnings: dict[str, set[str]] = {}
        for pattern, verbs in patterns.items():
            plan_id = _checked(pattern)
            for verb in _verbs(pattern, verbs):
                (exact if plan_id == pattern else beginnings).setdefault(verb, set()).add(plan_id)
        return cls(
            MappingProxyType(
                {
                    verb: (frozenset(exact.get(verb, ())), tuple(sorted(beginnings.get(verb, ()))))
                    for verb in exact.keys() | beginnings.keys()
                }
            )
        )

    def plans(self) -> dict[str, list[str]]:
        """As a token carries them: pattern -> verbs. `parse` gives the same grants back."""
        plans: dict[str, list[str]] = {}
        for verb, (exact, beginnings) in sorted(self.by_verb.items()):
            for pattern in [*sorted(exact), *(f"{beginning}*" for beginning in beginnings)]:
                plans.setdefault(pattern, []).append(verb)
        return plans


def _checked(pattern: object) -> str:
    """The plan id, or the beginning of plan ids, that the pattern names."""
    if pattern == "*":
        return ""
    try:
        return check_plan_id(pattern[:-1] if isinstance(pattern, str) and pattern.endswith("*") else pattern)
    except InvalidPlanId:
        shown = repr(pattern)[:60]
        raise InvalidGrants(f"plans: {shown} is neither a plan id nor the beginning of one and a `*`") from None


def _verbs(pattern: object, verbs: object) -> Iterable[str]:
    if not isinstance(verbs, list | tuple):
        raise InvalidGrants(f"plans: {pattern}: a list of verbs is needed")
    for verb in cast("Iterable[object]", verbs):
        if not isinstance(verb, str) or verb not in VERBS:
            raise InvalidGrants(f"plans: {pattern}: {repr(verb)[:60]} is none of {', '.join(get_args(Verb))}")
        yield verb


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `expires_at` (Unix time) is when this stops being so; None: never."""

    subject: str
    grants: Grants
    expires_at: float | None = None

    def may(self, verb: Verb, plan_id: str) -> bool:
        """May this principal `verb` that plan? Ask at every action; the answer costs well under a microsecond."""
        exact, beginnings = self.grants.by_verb.get(verb, _NONE)
        return (plan_id in exact or plan_id.startswith(beginnings)) and not plan_id.startswith(RESERVED)

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def lasts(self, now: float) -> float:
        """For how many seconds more."""
        return inf if self.expires_at is None else max(0.0, self.expires_at - now)

    @classmethod
    def development(cls) -> Principal:
        """Whoever comes to a hub without authentication: may do everything."""
        return cls("development", Grants.parse({"*": sorted(VERBS)}))
