"""The states of a session as tables: the state of each plan, and the phases of a connection with the frames they allow.

docs/PROTOCOL.md is generated from these tables, and the tests cover every cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from hub.wire.client_frames import CLIENT_FRAMES
from hub.wire.codes import ErrorCode

__all__ = ["ALLOWED", "NOT_NOW", "PHASES", "PLANS", "Phase", "PlanState", "Reaction", "Transition", "Trigger"]


class PlanState(StrEnum):
    """Whether the session is subscribed to a plan."""

    ABSENT = "absent"
    JOINING = "joining"
    JOINED = "joined"


class Trigger(StrEnum):
    """A client's request about a plan, or a report about its subscription."""

    SUBSCRIBE = "subscribe_plan"
    UNSUBSCRIBE = "unsubscribe_plan"
    PLACED = "placed"
    REFUSED = "refused"
    ENDED = "ended"
    REVOKED = "right lost"


class Reaction(StrEnum):
    """What the session does in response to a trigger."""

    NOTHING = "nothing"
    JOIN = "join"
    WAIT = "wait for the same join"
    ASK_POSITION = "ask for the position"
    CONFIRM = "confirm each request that waits"
    REPORT_POSITION = "confirm each request that waits; if none does, report the new position"
    CONFIRM_UNSUBSCRIBED = "unsubscription_confirmed"
    LEAVE = "leave; unsubscription_confirmed"
    ERRORS = "error for each request that waits"
    END = "subscription_ended"
    LEAVE_ERRORS = "leave; error for each request that waits"
    LEAVE_END = "leave; subscription_ended"


_A, _J, _S = PlanState.ABSENT, PlanState.JOINING, PlanState.JOINED

PLANS: Final[Mapping[tuple[PlanState, Trigger], tuple[PlanState, Reaction]]] = MappingProxyType(
    {
        (_A, Trigger.SUBSCRIBE): (_J, Reaction.JOIN),
        (_J, Trigger.SUBSCRIBE): (_J, Reaction.WAIT),
        (_S, Trigger.SUBSCRIBE): (_S, Reaction.ASK_POSITION),
        (_A, Trigger.UNSUBSCRIBE): (_A, Reaction.CONFIRM_UNSUBSCRIBED),
        (_J, Trigger.UNSUBSCRIBE): (_A, Reaction.LEAVE),
        (_S, Trigger.UNSUBSCRIBE): (_A, Reaction.LEAVE),
        (_A, Trigger.PLACED): (_A, Reaction.NOTHING),
        (_J, Trigger.PLACED): (_S, Reaction.CONFIRM),
        (_S, Trigger.PLACED): (_S, Reaction.REPORT_POSITION),
        (_A, Trigger.REFUSED): (_A, Reaction.NOTHING),
        (_J, Trigger.REFUSED): (_A, Reaction.ERRORS),
        (_S, Trigger.REFUSED): (_A, Reaction.END),
        (_A, Trigger.ENDED): (_A, Reaction.NOTHING),
        (_J, Trigger.ENDED): (_A, Reaction.ERRORS),
        (_S, Trigger.ENDED): (_A, Reaction.END),
        (_A, Trigger.REVOKED): (_A, Reaction.NOTHING),
        (_J, Trigger.REVOKED): (_A, Reaction.LEAVE_ERRORS),
        (_S, Trigger.REVOKED): (_A, Reaction.LEAVE_END),
    }
)


class Phase(StrEnum):
    """The phase of a session."""

    UNAUTHENTICATED = "unauthenticated"
    OPEN = "open"
    EXPIRED = "expired"
    CLOSING = "closing"
    CLOSED = "closed"


class Transition(StrEnum):
    """What moves a session from phase to phase."""

    AUTHENTICATED = "a good token"
    TOKEN_REFUSED = "a token refused"  # noqa: S105 - a name, not a secret
    TOKEN_EXPIRED = "the token's end"  # noqa: S105 - a name, not a secret
    TIMED_OUT = "time is up"
    IDLE = "idle too long"
    OVERRUN = "more than allowed"
    ANSWERED = "all is answered"


_U, _O, _E, _L, _C = Phase.UNAUTHENTICATED, Phase.OPEN, Phase.EXPIRED, Phase.CLOSING, Phase.CLOSED

PHASES: Final[Mapping[tuple[Phase, Transition], Phase]] = MappingProxyType(
    {
        (_U, Transition.AUTHENTICATED): _O,
        (_U, Transition.TOKEN_REFUSED): _C,
        (_U, Transition.TIMED_OUT): _C,
        (_U, Transition.OVERRUN): _C,
        (_O, Transition.AUTHENTICATED): _O,
        (_O, Transition.TOKEN_REFUSED): _O,
        (_O, Transition.TOKEN_EXPIRED): _E,
        (_O, Transition.IDLE): _C,
        (_O, Transition.OVERRUN): _L,
        (_E, Transition.AUTHENTICATED): _O,
        (_E, Transition.TOKEN_REFUSED): _E,
        (_E, Transition.TIMED_OUT): _C,
        (_E, Transition.OVERRUN): _C,
        (_L, Transition.AUTHENTICATED): _L,
        (_L, Transition.TOKEN_REFUSED): _L,
        (_L, Transition.TIMED_OUT): _C,
        (_L, Transition.ANSWERED): _C,
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
"""The frames that a client may send in each phase."""

NOT_NOW: Final[Mapping[Phase, tuple[ErrorCode, str]]] = MappingProxyType(
    {
        Phase.UNAUTHENTICATED: (ErrorCode.UNAUTHENTICATED, "authenticate first"),
        Phase.EXPIRED: (ErrorCode.TOKEN_EXPIRED, "the token expired; authenticate with a new one first"),
    }
)
"""The error for a frame that its phase does not allow. The phases that are missing here ignore every frame."""
