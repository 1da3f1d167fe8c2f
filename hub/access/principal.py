"""Principals: who a client is, and which plans it may read, steer or publish to."""

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
"""Prefix of plan ids and labels that the hub uses itself (used tickets, probes). No principal has any right to them."""

MAX_PATTERNS: Final = 256
_NONE: Final[tuple[frozenset[str], tuple[str, ...]]] = (frozenset(), ())


def refuse_reserved(event: PlanEvent) -> None:
    """Raise `InvalidEvent` if the event's plan id, or one of its labels, is reserved for the hub."""
    problem = f"names that begin with {RESERVED} are reserved for the hub; choose another"
    if event.plan_id.startswith(RESERVED):
        raise InvalidEvent("plan_id", problem)
    if isinstance(event, PlanUpdate) and any(label.startswith(RESERVED) for label in event.labels or ()):
        raise InvalidEvent("labels", problem)


class InvalidGrants(PlancastError, ValueError):
    """The `plans` of a token are not a map of plan-id patterns to lists of verbs; the message says which part."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What a token permits: for each verb, plan ids and prefixes of plan ids.

    A pattern is a plan id, or a prefix followed by `*`. It is only compared with plan ids, character by character, and
    never becomes a regular expression or another pattern that a server expands.
    """

    by_verb: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = field(hash=False)

    @classmethod
    def parse(cls, plans: object) -> Grants:
        """The grants of a token's `plans`; `InvalidGrants` if it is not a map of patterns to lists of verbs."""
        if not isinstance(plans, Mapping):
            raise InvalidGrants('plans: must be a map such as {"team-a.*": ["read", "input"]}')
        patterns = cast("Mapping[object, object]", plans)
        if len(patterns) > MAX_PATTERNS:
            raise InvalidGrants(f"plans: {len(patterns)} patterns; at most {MAX_PATTERNS} are allowed")
        exact: dict[str, set[str]] = {}
        prefixes: dict[str, set[str]] = {}
        for pattern, verbs in patterns.items():
            plan_id = _checked(pattern)
            for verb in _verbs(pattern, verbs):
                (exact if plan_id == pattern else prefixes).setdefault(verb, set()).add(plan_id)
        return cls(
            MappingProxyType(
                {
                    verb: (frozenset(exact.get(verb, ())), tuple(sorted(prefixes.get(verb, ()))))
                    for verb in exact.keys() | prefixes.keys()
                }
            )
        )

    def plans(self) -> dict[str, list[str]]:
        """The grants as a token's `plans`; `parse` gives the same grants again."""
        plans: dict[str, list[str]] = {}
        for verb, (exact, prefixes) in sorted(self.by_verb.items()):
            for pattern in [*sorted(exact), *(f"{prefix}*" for prefix in prefixes)]:
                plans.setdefault(pattern, []).append(verb)
        return plans


def _checked(pattern: object) -> str:
    """The plan id or the prefix of the pattern."""
    if pattern == "*":
        return ""
    try:
        return check_plan_id(pattern[:-1] if isinstance(pattern, str) and pattern.endswith("*") else pattern)
    except InvalidPlanId:
        shown = repr(pattern)[:60]
        raise InvalidGrants(f"plans: a pattern must be a plan id, or a prefix of one and `*`; got {shown}") from None


def _verbs(pattern: object, verbs: object) -> Iterable[str]:
    if not isinstance(verbs, list | tuple):
        raise InvalidGrants(f"plans: {pattern}: must be a list of verbs")
    for verb in cast("Iterable[object]", verbs):
        if not isinstance(verb, str) or verb not in VERBS:
            raise InvalidGrants(
                f"plans: {pattern}: unknown verb {repr(verb)[:60]}; expected one of {', '.join(get_args(Verb))}"
            )
        yield verb


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated client. `expires_at` (Unix time) is when the authentication ends; None: never."""

    subject: str
    grants: Grants
    expires_at: float | None = None

    def may(self, verb: Verb, plan_id: str) -> bool:
        """Whether this principal may `verb` that plan. Check it at every action; it takes well under a microsecond."""
        exact, prefixes = self.grants.by_verb.get(verb, _NONE)
        return (plan_id in exact or plan_id.startswith(prefixes)) and not plan_id.startswith(RESERVED)

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def lasts(self, now: float) -> float:
        """Seconds until the authentication ends."""
        return inf if self.expires_at is None else max(0.0, self.expires_at - now)

    @classmethod
    def development(cls) -> Principal:
        """The principal of every client of a hub without authentication: it may do everything."""
        return cls("development", Grants.parse({"*": sorted(VERBS)}))
