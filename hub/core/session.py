"""One client connection's protocol as a state machine without I/O: frames and requests in, effects out.

How a connection carries a session:

- Call `begin` once, `receive` for every frame, and `tick` when `due()` has come. Carry out the effects in their order.
- An effect that requires a result is answered by a call, in the same turn or later, which returns effects again:

      Join          subscriptions.placed, .refused or .ended
      Confirm       subscriptions.placed, in the same turn
      CheckToken    authenticated, authentication_failed
      SubmitAnswer  requests.input_accepted, .refused
      SendSignal    requests.signal_accepted, .refused

- Pass the effects of `subscriptions` and `requests` through `settled`: it adds the close if nothing else is waited for.
- The channel may report `placed` with a reason, `refused` and `ended` at any time while the plan is joined.
- After Leave, report nothing more about that join. After Close, flush and close; later reports are ignored.
- `now` is Unix time in seconds. If it goes back, the session's time stays.

Requests come as frames, or as calls of `subscribe`, `unsubscribe`, `answer` and `signal` from transports that have no
client frames (server-sent events, dialects). Both are held to the same phases, rights and limits.

No method raises, for any input and any order of calls. The states are tables: see
session_states.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from broadcasters.errors import InvalidPlanId
from broadcasters.events import check_plan_id
from broadcasters.position import Position
from hub.access.principal import Principal, Verb
from hub.config.limits import SessionLimits
from hub.core.effects import CheckToken, Close, Effect, Send, SendSignal, SubmitAnswer, error_about
from hub.core.rates import TokenBucket
from hub.core.session_requests import PendingRequests, Subscriptions
from hub.core.session_states import ALLOWED, NOT_NOW, PHASES, Phase, PlanState, Transition
from hub.core.subscriber import Since
from hub.wire.client_frames import (
    MAX_OFFSET,
    Authenticate,
    Ping,
    Place,
    PlanInput,
    PlanSignal,
    SignalName,
    SubscribePlan,
    UnsubscribePlan,
)
from hub.wire.codec import BadFrame, decode
from hub.wire.codes import CloseCode, ErrorCode, SubscriptionCode
from hub.wire.server_frames import (
    Authenticated,
    Connected,
    Error,
    GoingAway,
    Pong,
    moment,
)

__all__ = ["Session"]

EXPIRY_GRACE: Final = 30.0
"""Seconds that a session stays open after its token expired, so that the client can send a new one."""

CLOSING_SECONDS: Final = 10.0
"""Seconds that earlier requests may take after the client exceeded a limit; then the session is closed anyway."""

MAX_REASON: Final = 123
"""Bytes of reason that fit into a close frame (RFC 6455, 5.5)."""

_ACTIONS: Final[Mapping[Verb, str]] = {"read": "read", "input": "answer requests of", "signal": "signal"}


class Session:
    """The protocol state of one connection. Without a principal, the client must authenticate first."""

    __slots__ = (
        "_bad",
        "_bytes",
        "_frames",
        "_last_frame",
        "_limits",
        "_now",
        "_overrun",
        "_phase_since",
        "_token",
        "connection_id",
        "phase",
        "principal",
        "requests",
        "subscriptions",
    )

    def __init__(self, connection_id: str, limits: SessionLimits, principal: Principal | None, now: float) -> None:
        self.connection_id = connection_id
        self.principal = principal
        self.phase = Phase.OPEN if principal else Phase.UNAUTHENTICATED
        self.subscriptions = Subscriptions(limits.subscriptions)
        self.requests = PendingRequests(limits.pending_requests)
        self._limits = limits
        self._now = self._last_frame = self._phase_since = now
        self._token: Authenticate | None = None  # the one being checked
        self._overrun = ""  # the limit that was exceeded
        self._bad = 0
        self._frames = TokenBucket(limits.frames_per_second, limits.frames_burst, now)
        self._bytes = TokenBucket(limits.bytes_per_second, limits.bytes_burst, now)
        if principal is None:
            self._bytes = TokenBucket(0, limits.unauthenticated_bytes, now)

    @property
    def plans(self) -> Mapping[str, PlanState]:
        """The plans that are joined or being joined."""
        return self.subscriptions.states()

    @property
    def listening(self) -> bool:
        """Whether the client's next frame would be read."""
        return self.phase not in (Phase.CLOSING, Phase.CLOSED)

    # -- the connection -----------------------------------------------------------------------------------------------

    def begin(self, server_time: str, heartbeat: float) -> list[Effect]:
        """Returns the first frame of every connection."""
        connected = Connected(
            connection_id=self.connection_id,
            heartbeat_s=heartbeat,
            server_time=server_time,
            expires_at=moment(self.principal.expires_at) if self.principal else None,
        )
        return [Send(connected)]

    def receive(self, frame: str | bytes, now: float) -> list[Effect]:
        """Handles a frame of the client. A binary frame ends the connection."""
        effects = self.check_limits(frame, now)
        return effects + self.handle(str(frame)) if self.listening else effects

    def check_limits(self, frame: str | bytes, now: float) -> list[Effect]:
        """Counts a frame against the limits, and closes the session if it exceeds one. Does not read the frame."""
        if not self.listening:
            return []
        if not isinstance(frame, str):
            return self._close(CloseCode.NOT_TEXT, "frames are text, not binary")
        self._last_frame = now = self._advance(now)
        size = _size(frame)
        if size > self._limits.frame_bytes:
            return self._close(CloseCode.TOO_LARGE, f"a frame is at most {self._limits.frame_bytes} bytes")
        if not self._frames.take(1, now):
            return self._overran("too many frames a second")
        if not self._bytes.take(size, now):
            return self._overran("too many bytes a second")
        return self._expire(now)

    def tick(self, now: float) -> list[Effect]:
        """Ends what timed out. Call it when `due()` has come; before that it does nothing."""
        if (effects := self._expire(self._advance(now))) or self._now < self.due():
            return effects
        if self.phase is Phase.UNAUTHENTICATED:
            return self._turn(Transition.TIMED_OUT, CloseCode.UNAUTHENTICATED, "no valid token was sent in time")
        if self.phase is Phase.CLOSING:
            return self._turn(Transition.TIMED_OUT, CloseCode.TOO_MANY_REQUESTS, self._overrun)
        if self.phase is Phase.EXPIRED:
            return self._turn(Transition.TIMED_OUT, CloseCode.TOKEN_EXPIRED, "the token expired")
        return self._turn(Transition.IDLE, CloseCode.IDLE, "no subscription and no frame for too long")

    def due(self) -> float:
        """Returns the time of the next timeout, as far as it is known now."""
        match self.phase:
            case Phase.CLOSED:
                return inf
            case Phase.UNAUTHENTICATED:
                return self._phase_since + self._limits.unauthenticated_seconds
            case Phase.EXPIRED:
                return self._phase_since + EXPIRY_GRACE
            case Phase.CLOSING:
                return self._phase_since + CLOSING_SECONDS
            case Phase.OPEN:
                expires_at = self.principal.expires_at if self.principal else None
                busy = len(self.subscriptions) or len(self.requests)
                idle = inf if busy else self._last_frame + self._limits.idle_seconds
                return idle if expires_at is None else min(idle, expires_at)

    def going_away(self, reconnect_after_ms: int) -> list[Effect]:
        """Tells the client when to reconnect, and closes; the hub is being drained."""
        if self.phase is Phase.CLOSED:
            return []
        hint = Send(GoingAway(reconnect_after_ms=reconnect_after_ms))
        return [hint, *self._close(CloseCode.RESTART, "the hub restarts; reconnect after the hint")]

    def close(self, code: CloseCode, reason: str) -> list[Effect]:
        """Closes the session for a reason of the connection's, such as a client that reads nothing."""
        return [] if self.phase is Phase.CLOSED else self._close(code, reason)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def authenticated(self, principal: Principal, now: float) -> list[Effect]:
        """Reports the token's principal. Subscriptions that it has no right to read are ended."""
        now = self._advance(now)
        if (token := self._checked()) is None:
            return []
        if principal.expired(now):
            return self._token_refused(token, ErrorCode.TOKEN_EXPIRED, "the token has expired")
        if self.principal is not None and self.principal.subject != principal.subject:
            message = "this connection belongs to another subject; open a new one"
            return self.settled([error_about(token, ErrorCode.FORBIDDEN, message)])
        if self.phase is Phase.UNAUTHENTICATED:
            self._bytes = TokenBucket(self._limits.bytes_per_second, self._limits.bytes_burst, now)
        self._turn(Transition.AUTHENTICATED)
        self.principal = principal
        confirmed = Send(Authenticated(expires_at=moment(principal.expires_at), request_id=token.request_id))
        lost = [plan_id for plan_id in self.plans if not principal.may("read", plan_id)]
        reason = "the new token gives no right to read this plan"
        return self.settled([confirmed, *self.subscriptions.revoke(lost, SubscriptionCode.FORBIDDEN, reason)])

    def authentication_failed(self, code: ErrorCode, message: str) -> list[Effect]:
        """The token was refused (`invalid_token`, `token_expired`), or could not be checked (`unavailable`)."""
        if (token := self._checked()) is None:
            return []
        if code is ErrorCode.UNAVAILABLE:
            return self.settled([error_about(token, code, message)])
        return self._token_refused(token, code, message)

    def _token_refused(self, token: Authenticate, code: ErrorCode, message: str) -> list[Effect]:
        expired = code is ErrorCode.TOKEN_EXPIRED
        close = CloseCode.TOKEN_EXPIRED if expired else CloseCode.UNAUTHENTICATED
        reason = "the token expired" if expired else "the token was refused"
        return self.settled([error_about(token, code, message), *self._turn(Transition.TOKEN_REFUSED, close, reason)])

    def _checked(self) -> Authenticate | None:
        """Returns the token that was being checked, unless the session was closed meanwhile."""
        token, self._token = self._token, None
        return None if self.phase is Phase.CLOSED else token

    def _expire(self, now: float) -> list[Effect]:
        """Ends all subscriptions once the token has expired."""
        if self.phase is not Phase.OPEN or self.principal is None or not self.principal.expired(now):
            return []
        self._turn(Transition.TOKEN_EXPIRED)
        message = f"the token expired; authenticate with a new one within {EXPIRY_GRACE:.0f} s"
        expired = Send(Error.about(ErrorCode.TOKEN_EXPIRED, message))
        plans = list(self.plans)
        return [expired, *self.subscriptions.revoke(plans, SubscriptionCode.TOKEN_EXPIRED, "the token expired")]

    # -- requests -----------------------------------------------------------------------------------------------------

    def handle(self, text: str) -> list[Effect]:
        """Decodes a frame that `check_limits` has counted, and does what it requests."""
        if not self.listening:
            return []
        try:
            frame = decode(text)
        except BadFrame as bad:
            return self._bad_frame(bad)
        self._bad = 0
        match frame:
            case SubscribePlan(plan_id=plan_id, since=since, request_id=request_id):
                start = Position(since.epoch, since.offset) if isinstance(since, Place) else since
                return self.subscribe(plan_id, start, request_id)
            case UnsubscribePlan(plan_id=plan_id, request_id=request_id):
                return self.unsubscribe(plan_id, request_id)
            case Authenticate():
                return self._authenticate(frame)
            case PlanInput():
                return self.answer(frame.plan_id, frame.request_id, frame.answer, frame.idempotency_key)
            case PlanSignal():
                return self.signal(frame.plan_id, frame.signal, frame.request_id)
            case Ping(nonce=nonce):
                return [Send(Pong(nonce=nonce))]

    def subscribe(self, plan_id: str, since: Since | None, request_id: str | None) -> list[Effect]:
        """Subscribes to the plan. The channel's report confirms it, or an error refuses it."""
        refusal = self._refusal("subscribe_plan", plan_id, request_id, "read")
        if refusal is None and isinstance(since, Position) and not 0 <= since.offset <= MAX_OFFSET:
            message = f"since: an offset must be 0 to {MAX_OFFSET}; got {since.offset}"
            refusal = [_error(ErrorCode.INVALID_FIELD, message, plan_id, request_id)]
        return self.subscriptions.subscribe(plan_id, since, request_id) if refusal is None else refusal

    def unsubscribe(self, plan_id: str, request_id: str | None) -> list[Effect]:
        """Ends the subscription to the plan, if there is one."""
        refusal = self._refusal("unsubscribe_plan", plan_id, request_id)
        return self.subscriptions.unsubscribe(plan_id, request_id) if refusal is None else refusal

    def answer(self, plan_id: str, request_id: str, answer: Any, idempotency_key: str | None) -> list[Effect]:
        """Answers an input request of the plan."""
        refusal = self._refusal("plan_input", plan_id, request_id, "input")
        subject = self.principal.subject if self.principal else ""
        request = SubmitAnswer(plan_id, request_id, answer, idempotency_key, subject)
        return self.requests.submit(request) if refusal is None else refusal

    def signal(self, plan_id: str, signal: SignalName, request_id: str | None) -> list[Effect]:
        """Asks the engine to cancel, pause or resume the plan."""
        refusal = self._refusal("plan_signal", plan_id, request_id, "signal")
        subject = self.principal.subject if self.principal else ""
        return self.requests.submit(SendSignal(plan_id, signal, request_id, subject)) if refusal is None else refusal

    def _refusal(
        self, frame_type: str, plan_id: str, request_id: str | None, verb: Verb | None = None
    ) -> list[Effect] | None:
        """Returns the effects that refuse the request, or None if it may be served."""
        if not self.listening:
            return []
        if frame_type not in ALLOWED[self.phase]:
            return [_error(*NOT_NOW[self.phase], plan_id, request_id)]
        try:
            check_plan_id(plan_id)
        except InvalidPlanId as error:
            return [_error(ErrorCode.INVALID_PLAN_ID, error.problem, plan_id, request_id)]
        if verb is not None and (self.principal is None or not self.principal.may(verb, plan_id)):
            return [_error(ErrorCode.FORBIDDEN, f"no right to {_ACTIONS[verb]} this plan", plan_id, request_id)]
        return None

    def _authenticate(self, frame: Authenticate) -> list[Effect]:
        if self._token is not None:
            return [error_about(frame, ErrorCode.TOO_MANY_REQUESTS, "the previous token is still being checked")]
        self._token = frame
        return [CheckToken(frame.token)]

    def _bad_frame(self, bad: BadFrame) -> list[Effect]:
        effects: list[Effect] = [error_about(bad, bad.code, bad.message)]
        if bad.code is ErrorCode.UNKNOWN_TYPE:  # a newer client may send it, and must not be closed for it
            return effects
        self._bad += 1
        if self._bad < self._limits.bad_frames:
            return effects
        return effects + self._close(CloseCode.PROTOCOL_ERROR, f"{self._bad} invalid frames in a row")

    # -- phases -------------------------------------------------------------------------------------------------------

    def _overran(self, limit: str) -> list[Effect]:
        """Answers the earlier requests, then closes, because the client exceeded a limit."""
        self._overrun = limit
        return self.settled(self._turn(Transition.OVERRUN, CloseCode.TOO_MANY_REQUESTS, limit))

    def settled(self, effects: list[Effect]) -> list[Effect]:
        """Returns the effects, and the close if the session waited for nothing else."""
        if self.phase is not Phase.CLOSING or self.subscriptions.joining or self.requests or self._token is not None:
            return effects
        return effects + self._turn(Transition.ANSWERED, CloseCode.TOO_MANY_REQUESTS, self._overrun)

    def _turn(self, transition: Transition, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> list[Effect]:
        """Moves to the next phase by the table. If that is CLOSED, closes with this code and reason."""
        phase = PHASES[self.phase, transition]
        if phase is Phase.CLOSED:
            return self._close(code, reason)
        if phase is not self.phase:
            self.phase, self._phase_since = phase, self._now
        return []

    def _close(self, code: CloseCode, reason: str) -> list[Effect]:
        self.phase = Phase.CLOSED
        self.subscriptions.clear()
        self.requests.clear()
        return [Close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))]

    def _advance(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now


def _error(code: ErrorCode, message: str, plan_id: str, request_id: str | None) -> Effect:
    return Send(Error.about(code, message, plan_id, request_id), refuses=code)


def _size(text: str) -> int:
    """Returns the size in UTF-8. A lone surrogate, which no transport lets through, counts as three bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
