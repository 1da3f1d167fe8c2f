"""Close codes, subscription codes and error codes of the protocol, with their meaning, who can fix them, and what to do.

One table each for closed connections, for ended subscriptions and for `error` frames. docs/PROTOCOL.md has the same
tables, and a test compares them.
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
"""Who can fix it: the client's code, the person (or their rights), the hub and its operator, the network, or nobody."""


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
    """Code of an `error` frame."""

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
    """What a code means, who can fix it, and what the client does next."""

    meaning: str
    fault: Fault
    todo: str


CLOSE_CODES: Final[Mapping[CloseCode, Code]] = MappingProxyType(
    {
        CloseCode.NORMAL: Code("The client closed the connection.", "nobody", "Nothing."),
        CloseCode.GOING_AWAY: Code("The hub, or a proxy before it, goes away.", "nobody", "Reconnect, after the hint."),
        CloseCode.NOT_WEBSOCKET: Code(
            "The client broke the WebSocket protocol (RFC 6455).", "client", "Stop; fix the client."
        ),
        CloseCode.NOT_TEXT: Code(
            "The client sent a binary frame; frames must be text.", "client", "Stop; fix the client."
        ),
        CloseCode.NOT_UTF8: Code("A text frame was not UTF-8.", "client", "Stop; fix the client."),
        CloseCode.TOO_LARGE: Code("A frame was larger than the hub allows.", "client", "Stop; send smaller frames."),
        CloseCode.INTERNAL: Code("Something in the hub failed.", "hub", "Reconnect, with backoff."),
        CloseCode.RESTART: Code("The hub restarts or is being drained.", "nobody", "Reconnect, after the hint."),
        CloseCode.SLOW_CONSUMER: Code(
            "The client read nothing for too long.", "network", "Reconnect and resume from the last position."
        ),
        CloseCode.IDLE: Code(
            "The client had no subscription and sent no frame for too long.", "client", "Reconnect to subscribe again."
        ),
        CloseCode.TOO_MANY_REQUESTS: Code(
            "More frames, bytes or connections than allowed.", "client", "Slow down; reconnect, with backoff."
        ),
        CloseCode.TOKEN_EXPIRED: Code("The token expired.", "person", "Fetch a new token, then reconnect."),
        CloseCode.PROTOCOL_ERROR: Code("Too many frames in a row were invalid.", "client", "Stop; fix the client."),
        CloseCode.UNAUTHENTICATED: Code("The client sent no valid token in time.", "person", "Stop; sign in first."),
        CloseCode.FORBIDDEN: Code("The token is valid, but not for this hub.", "person", "Stop; request access."),
        CloseCode.ORIGIN_REFUSED: Code(
            "Pages of this origin must not connect.", "hub", "Stop; the operator adds the origin to PLANCAST_ORIGINS."
        ),
    }
)

SUBSCRIPTION_CODES: Final[Mapping[SubscriptionCode, Code]] = MappingProxyType(
    {
        SubscriptionCode.FORBIDDEN: Code("The client may no longer read this plan.", "person", "Don't retry."),
        SubscriptionCode.PLAN_DELETED: Code("The plan was deleted.", "nobody", "Drop it; don't retry."),
        SubscriptionCode.CONTINUITY_LOST: Code(
            "The events can't continue without a gap.", "hub", 'Subscribe again with since "snapshot".'
        ),
        SubscriptionCode.TOKEN_EXPIRED: Code(
            "The token expired.", "person", "Authenticate with a new token, then subscribe from the last position."
        ),
    }
)

ERROR_CODES: Final[Mapping[ErrorCode, Code]] = MappingProxyType(
    {
        ErrorCode.BAD_FRAME: Code("Not one well-formed JSON object.", "client", "Fix the client."),
        ErrorCode.UNKNOWN_TYPE: Code("The hub has no frame of this type.", "client", "Don't send it to this hub."),
        ErrorCode.INVALID_FIELD: Code(
            "A field is missing or invalid; the message names it.", "client", "Fix the field."
        ),
        ErrorCode.INVALID_PLAN_ID: Code(
            "Not a plan id, which has 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -.", "client", "Fix the plan id."
        ),
        ErrorCode.UNAUTHENTICATED: Code(
            "The client must authenticate first.", "client", "Send authenticate, then retry."
        ),
        ErrorCode.INVALID_TOKEN: Code("The token was refused.", "person", "Sign in again for a new one."),
        ErrorCode.TOKEN_EXPIRED: Code("The token expired.", "person", "Authenticate with a new one, then retry."),
        ErrorCode.FORBIDDEN: Code(
            "The token does not permit this, whether or not the plan exists.", "person", "Request access."
        ),
        ErrorCode.TOO_MANY_SUBSCRIPTIONS: Code(
            "The connection, its principal or its address has reached its limit of plans; the message says which.",
            "client",
            "Unsubscribe from another plan first.",
        ),
        ErrorCode.TOO_MANY_REQUESTS: Code(
            "The connection, its principal or its address has made too many requests; the message says which.",
            "client",
            "Wait for a response, or for retry_after_ms if given, then retry.",
        ),
        ErrorCode.UNAVAILABLE: Code(
            "The log or the engine did not answer.", "hub", "Retry, after retry_after_ms if given."
        ),
        ErrorCode.CONTINUITY_LOST: Code(
            "The events could not be continued from that position.", "hub", 'Subscribe with since "snapshot".'
        ),
        ErrorCode.PLAN_DELETED: Code("The plan was deleted.", "nobody", "Drop it."),
        ErrorCode.ALREADY_ANSWERED: Code(
            "Someone else answered first; by and at say who and when.", "nobody", "Show their answer."
        ),
        ErrorCode.NO_SUCH_REQUEST: Code("The plan has no such input request.", "client", "Check the plan's snapshot."),
        ErrorCode.REQUEST_EXPIRED: Code("The input request expired.", "person", "Nothing; the plan continued."),
        ErrorCode.INVALID_ANSWER: Code(
            "The answer fits neither the options nor the schema.", "person", "Give an answer that fits."
        ),
        ErrorCode.PLAN_ENDED: Code("The plan has ended and takes no answers.", "nobody", "Nothing."),
        ErrorCode.NOT_SUPPORTED: Code(
            "The engine does not run this plan, or there is none.", "hub", "Don't offer it for this plan."
        ),
        ErrorCode.INTERNAL: Code("Something in the hub failed.", "hub", "Retry, with backoff."),
    }
)


def reconnectable(code: int) -> bool:
    """Whether a client should reconnect after a close with this code, which may be one of a later version.

    It should unless the code is final: after a lost connection (1006), a proxy's 1001, a crash's 1011 it should.
    """
    return not (code in _FINAL or 4500 <= code <= 4599)


_FINAL: Final = frozenset(
    {CloseCode.NORMAL, CloseCode.NOT_WEBSOCKET, CloseCode.NOT_TEXT, CloseCode.NOT_UTF8, 1008, CloseCode.TOO_LARGE}
)
