"""The numbers and names by which the hub says what went wrong, whose doing it was, and what to do next.

One table each for closes, for ended subscriptions and for `error` frames. docs/PROTOCOL.md carries the same tables,
and a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "CLOSE_CODES",
    "ERROR_CODES",
    "SUBSCRIPTION_CODES",
    "CloseCode",
    "Code",
    "ErrorCode",
    "Fault",
    "SubscriptionCode",
    "reconnectable",
]

Fault = Literal["nobody", "client", "person", "hub", "network"]
"""Who can mend it: the client's code, the person (or their rights), the hub and its operator, or just time."""


class CloseCode(IntEnum):
    """Why a connection was closed."""

    NORMAL = 1000
    GOING_AWAY = 1001
    NOT_WEBSOCKET = 1002
    NOT_TEXT = 1003
    NOT_UTF8 = 1007
    TOO_LARGE = 1009
    INTERNAL = 1011
    RESTART = 1012
    SLOW_CONSUMER = 4408
    IDLE = 4410
    TOO_MANY_REQUESTS = 4429
    TOKEN_EXPIRED = 4440
    PROTOCOL_ERROR = 4500
    UNAUTHENTICATED = 4501
    FORBIDDEN = 4503
    ORIGIN_REFUSED = 4504


class SubscriptionCode(IntEnum):
    """Why a subscription was ended while the connection stays open."""

    FORBIDDEN = 2403
    PLAN_DELETED = 2404
    CONTINUITY_LOST = 2500
    TOKEN_EXPIRED = 2501


class ErrorCode(StrEnum):
    """What an `error` frame is about."""

    BAD_FRAME = "bad_frame"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_FIELD = "invalid_field"
    INVALID_PLAN_ID = "invalid_plan_id"
    UNAUTHENTICATED = "unauthenticated"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a name, not a secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a name, not a secret
    FORBIDDEN = "forbidden"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    TOO_MANY_REQUESTS = "too_many_requests"
    UNAVAILABLE = "unavailable"
    CONTINUITY_LOST = "continuity_lost"
    PLAN_DELETED = "plan_deleted"
    ALREADY_ANSWERED = "already_answered"
    NO_SUCH_REQUEST = "no_such_request"
    REQUEST_EXPIRED = "request_expired"
    INVALID_ANSWER = "invalid_answer"
    PLAN_ENDED = "plan_ended"
    NOT_SUPPORTED = "not_supported"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means, who can mend it, and what the client does next."""

    meaning: str
    fault: Fault
    todo: str


CLOSE_CODES: Final[Mapping[CloseCode, Code]] = MappingProxyType(
    {
        CloseCode.NORMAL: Code("Closed at the client's own wish.", "nobody", "Nothing."),
        CloseCode.GOING_AWAY: Code("The hub, or something between, goes away.", "nobody", "Reconnect, after the hint."),
        CloseCode.NOT_WEBSOCKET: Code(
            "What came breaks the rules of WebSocket (RFC 6455).", "client", "Stop; mend the client."
        ),
        CloseCode.NOT_TEXT: Code("A binary frame came; frames are text.", "client", "Stop; mend the client."),
        CloseCode.NOT_UTF8: Code("A text frame was not UTF-8.", "client", "Stop; mend the client."),
        CloseCode.TOO_LARGE: Code("A frame was larger than the hub takes.", "client", "Stop; send less at once."),
        CloseCode.INTERNAL: Code("Something in the hub failed.", "hub", "Reconnect, with backoff."),
        CloseCode.RESTART: Code("The hub restarts or is drained.", "nobody", "Reconnect, after the hint."),
        CloseCode.SLOW_CONSUMER: Code(
            "The client took nothing for too long.", "network", "Reconnect and resume from the last place seen."
        ),
        CloseCode.IDLE: Code(
            "No subscription and no frame for too long.", "client", "Reconnect when there is something to watch."
        ),
        CloseCode.TOO_MANY_REQUESTS: Code(
            "More frames, bytes or connections than allowed.", "client", "Slow down; reconnect, with backoff."
        ),
        CloseCode.TOKEN_EXPIRED: Code("The token expired.", "person", "Fetch a new token, then reconnect."),
        CloseCode.PROTOCOL_ERROR: Code("Too many frames in a row made no sense.", "client", "Stop; mend the client."),
        CloseCode.UNAUTHENTICATED: Code("No valid token came, or none in time.", "person", "Stop; sign in first."),
        CloseCode.FORBIDDEN: Code("The token is good, but not for this hub.", "person", "Stop; ask for the right."),
        CloseCode.ORIGIN_REFUSED: Code(
            "Pages of this origin may not connect.", "hub", "Stop; the operator adds the origin to PLANCAST_ORIGINS."
        ),
    }
)

SUBSCRIPTION_CODES: Final[Mapping[SubscriptionCode, Code]] = MappingProxyType(
    {
        SubscriptionCode.FORBIDDEN: Code("The right to read this plan is gone.", "person", "Don't ask again."),
        SubscriptionCode.PLAN_DELETED: Code("The plan was deleted.", "nobody", "Forget it; don't ask again."),
        SubscriptionCode.CONTINUITY_LOST: Code(
            "The story can't go on without a break.", "hub", 'Subscribe again with since "snapshot".'
        ),
        SubscriptionCode.TOKEN_EXPIRED: Code(
            "The token expired.", "person", "Authenticate with a new token, then subscribe from the last place seen."
        ),
    }
)

ERROR_CODES: Final[Mapping[ErrorCode, Code]] = MappingProxyType(
    {
        ErrorCode.BAD_FRAME: Code("Not one well-formed JSON object.", "client", "Mend the client."),
        ErrorCode.UNKNOWN_TYPE: Code("The hub knows no frame of this type.", "client", "Don't send it to this hub."),
        ErrorCode.INVALID_FIELD: Code("A field is missing or unfit; the message names it.", "client", "Mend it."),
        ErrorCode.INVALID_PLAN_ID: Code(
            "Not a plan id: 1 to 128 of A-Z a-z 0-9 . _ : @ ~ - are.", "client", "Ask for another plan."
        ),
        ErrorCode.UNAUTHENTICATED: Code("A token must come first.", "client", "Send authenticate, then ask again."),
        ErrorCode.INVALID_TOKEN: Code("The token was refused.", "person", "Sign in again for a new one."),
        ErrorCode.TOKEN_EXPIRED: Code(
            "The token's time is over.", "person", "Authenticate with a new one, then ask again."
        ),
        ErrorCode.FORBIDDEN: Code(
            "The token gives no right to this, whether or not the plan exists.", "person", "Ask for the right."
        ),
        ErrorCode.TOO_MANY_SUBSCRIPTIONS: Code(
            "The connection, its principal or its address watches as many plans as it may; the message says which.",
            "client",
            "Unsubscribe from another plan first.",
        ),
        ErrorCode.TOO_MANY_REQUESTS: Code(
            "More requests than this connection, its principal or its address may make; the message says which.",
            "client",
            "Wait for an answer, or for retry_after_ms if given, then ask again.",
        ),
        ErrorCode.UNAVAILABLE: Code(
            "The log or the engine did not answer.", "hub", "Ask again, after retry_after_ms if given."
        ),
        ErrorCode.CONTINUITY_LOST: Code(
            "The story could not be continued from there.", "hub", 'Subscribe with since "snapshot".'
        ),
        ErrorCode.PLAN_DELETED: Code("The plan was deleted.", "nobody", "Forget it."),
        ErrorCode.ALREADY_ANSWERED: Code(
            "Somebody answered first; by and at say who and when.", "nobody", "Show their answer."
        ),
        ErrorCode.NO_SUCH_REQUEST: Code("The plan asks no such question.", "client", "Look at the plan's snapshot."),
        ErrorCode.REQUEST_EXPIRED: Code("The question's time is over.", "person", "Nothing; the plan went on."),
        ErrorCode.INVALID_ANSWER: Code(
            "The answer fits neither the options nor the schema.", "person", "Answer as the question asks."
        ),
        ErrorCode.PLAN_ENDED: Code("The plan has ended; nothing waits.", "nobody", "Nothing; it is over."),
        ErrorCode.NOT_SUPPORTED: Code("Nobody runs this plan who could obey.", "hub", "Don't offer it for this plan."),
        ErrorCode.INTERNAL: Code("Something in the hub failed.", "hub", "Ask again, with backoff."),
    }
)


def reconnectable(code: int) -> bool:
    """May a client come back after a close with this code? Numbers alone decide, codes of later versions too.

    Anything but a final code is worth another try: a cut line (1006), a proxy's 1001, a crash's 1011.
    """
    return not (code in _FINAL or 4500 <= code <= 4599)


_FINAL: Final = frozenset(
    {CloseCode.NORMAL, CloseCode.NOT_WEBSOCKET, CloseCode.NOT_TEXT, CloseCode.NOT_UTF8, 1008, CloseCode.TOO_LARGE}
)
