"""The states of a session, as tables: how it stands with a plan, and what it may say in which phase.

docs/PROTOCOL.md draws these tables, and the tests walk through every cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from hub.wire.client_frames import CLIENT_FRAMES
from hub.wire.codes import ErrorCode

__all__ = ["ALLOWED", "NOT_NOW", "PHASES", "PLANS", "Deed", "Happening", "Phase", "PlanState", "Turn"]


class PlanState(StrEnum):
    """How the session stands with one plan."""

    ABSENT = "absent"
    JOINING = "joining"
    JOINED = "joined"


class Happening(StrEnum):
    """What the client says of a plan, or what becomes of it."""

    SUBSCRIBE = "subscribe_plan"
    UNSUBSCRIBE = "unsubscribe_plan"
    PLACED = "placed"
    REFUSED = "refused"
    ENDED = "ended"
    REVOKED = "right lost"


class Deed(StrEnum):
    """What the session does about it."""

    NOTHING = "nothing"
    JOIN = "join"
    WAIT = "wait for the same join"
    ASK_PLACE = "ask for the place"
    CONFIRM = "confirm each request that waits"
    TELL_PLACE = "confirm each request that waits; if none does, tell the new place"
    FAREWELL = "unsubscription_confirmed"
    LEAVE = "leave; unsubscription_confirmed"
    ERRORS = "error for each request that waits"
    END = "subscription_ended"
    LEAVE_ERRORS = "leave; error for each request that waits"
    LEAVE_END = "leave; subscription_ended"


_A, _J, _S = PlanState.ABSENT, PlanState.JOINING, PlanState.JOINED

PLANS: Final[Mapping[tuple[PlanState, Happening], tuple[PlanState, Deed]]] = MappingProxyType(
    {
        (_A, Happening.SUBSCRIBE): (_J, Deed.JOIN),
        (_J, Happening.SUBSCRIBE): (_J, Deed.WAIT),
        (_S, Happening.SUBSCRIBE): (_S, Deed.ASK_PLACE),
        (_A, Happening.UNSUBSCRIBE): (_A, Deed.FAREWELL),
        (_J, Happening.UNSUBSCRIBE): (_A, Deed.LEAVE),
        (_S, Happening.UNSUBSCRIBE): (_A, Deed.LEAVE),
        (_A, Happening.PLACED): (_A, Deed.NOTHING),
        (_J, Happening.PLACED): (_S, Deed.CONFIRM),
        (_S, Happening.PLACED): (_S, Deed.TELL_PLACE),
        (_A, Happening.REFUSED): (_A, Deed.NOTHING),
        (_J, Happening.REFUSED): (_A, Deed.ERRORS),
        (_S, Happening.REFUSED): (_A, Deed.END),
        (_A, Happening.ENDED): (_A, Deed.NOTHING),
        (_J, Happening.ENDED): (_A, Deed.ERRORS),
        (_S, Happening.ENDED): (_A, Deed.END),
        (_A, Happening.REVOKED): (_A, Deed.NOTHING),
        (_J, Happening.REVOKED): (_A, Deed.LEAVE_ERRORS),
        (_S, Happening.REVOKED): (_A, Deed.LEAVE_END),
    }
)


class Phase(StrEnum):
    """Where a session is in its life."""

    UNAUTHENTICATED = "unauthenticated"
    OPEN = "open"
    EXPIRED = "expired"
    CLOSING = "closing"
    CLOSED = "closed"


class Turn(StrEnum):
    """What moves a session from phase to phase."""

    AUTHENTICATED = "a good token"
    TOKEN_REFUSED = "a token refused"  # noqa: S105 - a name, not a secret
    TOKEN_EXPIRED = "the token's end"  # noqa: S105 - a name, not a secret
    TOO_LATE = "time is up"
    IDLE = "idle too long"
    OVERRUN = "more than allowed"
    ANSWERED = "all is answered"


_U, _O, _E, _L, _C = Phase.UNAUTHENTICATED, Phase.OPEN, Phase.EXPIRED, Phase.CLOSING, Phase.CLOSED

PHASES: Final[Mapping[tuple[Phase, Turn], Phase]] = MappingProxyType(
    {
        (_U, Turn.AUTHENTICATED): _O,
        (_U, Turn.TOKEN_REFUSED): _C,
        (_U, Turn.TOO_LATE): _C,
        (_U, Turn.OVERRUN): _C,
        (_O, Turn.AUTHENTICATED): _O,
        (_O, Turn.TOKEN_REFUSED): _O,
        (_O, Turn.TOKEN_EXPIRED): _E,
        (_O, Turn.IDLE): _C,
        (_O, Turn.OVERRUN): _L,
        (_E, Turn.AUTHENTICATED): _O,
        (_E, Turn.TOKEN_REFUSED): _E,
        (_E, Turn.TOO_LATE): _C,
        (_E, Turn.OVERRUN): _C,
        (_L, Turn.AUTHENTICATED): _L,
        (_L, Turn.TOKEN_REFUSED): _L,
        (_L, Turn.TOO_LATE): _C,
        (_L, Turn.ANSWERED): _C,
    }
)

ALLOWED: Final[Mapping[Phase, frozenset[str]]] = MappingProxyType(
    {
        Phase.UNAUTHENTICATED: frozenset({"authenticate", "ping"}),
        Phase.OPEN: frozenset(CLIENT_FRAMES),
        Phase.EXPIRED: frozenset({"authenticate", "ping", "unsubscribe_plan"}),
        Phase.CLOSING: frozenset(),
        Phase.CLOSED: frozenset(),
    }
)

NOT_NOW: Final[Mapping[Phase, tuple[ErrorCode, str]]] = MappingProxyType(
    {
        Phase.UNAUTHENTICATED: (ErrorCode.UNAUTHENTICATED, "authenticate first"),
        Phase.EXPIRED: (ErrorCode.TOKEN_EXPIRED, "the token expired; authenticate with a new one first"),
    }
)
"""How a frame that isn't allowed in this phase is answered; in the others it is not looked at."""
