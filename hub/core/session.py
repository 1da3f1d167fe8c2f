"""One client connection's protocol, pure: frames in, effects out. No await, clock, socket or log inside.

How to carry one (any transport does it like this):

- `begin` once, then `receive` for every frame, `tick` when `due()` has come; carry out the effects in their order.
- An effect that asks for something is answered by a call, now or later, which gives effects again:

      Join          placed, refused or ended           Confirm       placed, in the same turn
      Authenticate  authenticated, authentication_failed
      Answer        input_accepted, request_refused    Signal        signal_accepted, request_refused

- The channel's own calls (`placed` with a reason, `refused`, `ended`) may come at any time while joined.
- After Leave, call nothing more for that join; after Close, flush and close: everything reported later is ignored.
- `now` is Unix time in seconds. If it goes back, the session does not.

Nothing here raises, whatever the client sends and in whatever order the calls come. The states are tables: see
session_states.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from broadcasters.position import Position
from hub.access.principal import Principal, Verb
from hub.config.limits import SessionLimits
from hub.core.effects import Answer, Authenticate, Close, Effect, Signal, error_about, send
from hub.core.rates import TokenBucket
from hub.core.session_states import ALLOWED, NOT_NOW, PHASES, Phase, PlanState, Turn
from hub.core.subscriptions import Subscriptions
from hub.wire import client_frames as asked
from hub.wire.codec import BadFrame, decode
from hub.wire.codes import CloseCode, ErrorCode, SubscriptionCode
from hub.wire.server_frames import (
    Authenticated,
    Connected,
    Error,
    GoingAway,
    InputAccepted,
    Pong,
    SignalAccepted,
    moment,
)

__all__ = ["Session"]

EXPIRY_GRACE: Final = 30.0
"""Seconds that a session whose token expired is kept, so that it can show a new one."""

CLOSING_SECONDS: Final = 10.0
"""Seconds that what was asked before may take, when a client asked for more than it may and is to be closed."""

MAX_REASON: Final = 123
"""Bytes of reason that a close frame has room for (RFC 6455, 5.5)."""


class Session:
    """The protocol state of one connection. Without a principal, a token must come first."""

    __slots__ = (
        "_bad",
        "_bytes",
        "_frames",
        "_heard",
        "_limits",
        "_now",
        "_overrun",
        "_pending",
        "_phase_since",
        "_subscriptions",
        "_token",
        "connection_id",
        "phase",
        "principal",
    )

    def __init__(self, connection_id: str, limits: SessionLimits, principal: Principal | None, now: float) -> None:
        self.connection_id = connection_id
        self.principal = principal
        self.phase = Phase.OPEN if principal else Phase.UNAUTHENTICATED
        self._limits = limits
        self._now = self._heard = self._phase_since = now
        self._subscriptions = Subscriptions(limits.subscriptions)
        self._pending: set[Answer | Signal] = set()
        self._token: asked.Authenticate | None = None  # the one being checked
        self._overrun = ""  # of what there was more than allowed
        self._bad = 0
        self._frames = TokenBucket(limits.frames_per_second, limits.frames_burst, now)
        self._bytes = TokenBucket(limits.bytes_per_second, limits.bytes_burst, now)
        if principal is None:
            self._bytes = TokenBucket(0, limits.unauthenticated_bytes, now)

    @property
    def plans(self) -> Mapping[str, PlanState]:
        """The plans that are joined or being joined."""
        return self._subscriptions.states()

    # -- the connection -----------------------------------------------------------------------------------------------

    @property
    def hears(self) -> bool:
        """Whether another frame of the client would be looked at."""
        return self.phase not in (Phase.CLOSING, Phase.CLOSED)

    def begin(self, server_time: str, heartbeat: float) -> list[Effect]:
        """The first frame of every connection."""
        return [
            send(
                Connected(
                    connection_id=self.connection_id,
                    heartbeat_s=heartbeat,
                    server_time=server_time,
                    expires_at=moment(self.principal.expires_at) if self.principal else None,
                )
            )
        ]

    def receive(self, frame: str | bytes, now: float) -> list[Effect]:
        """A frame came: text, or a binary one, which ends the connection."""
        effects = self.weigh(frame, now)
        return effects + self.understand(str(frame)) if self.hears else effects

    def weigh(self, frame: str | bytes, now: float) -> list[Effect]:
        """A frame came whose words are for somebody else (a dialect): it closes the session if it may not be taken."""
        if not self.hears:
            return []
        if not isinstance(frame, str):
            return self._close(CloseCode.NOT_TEXT, "frames are text, not binary")
        self._heard = now = self._advance(now)
        size = _size(frame)
        if size > self._limits.frame_bytes:
            return self._close(CloseCode.TOO_LARGE, f"a frame is at most {self._limits.frame_bytes} bytes")
        if not self._frames.take(1, now):
            return self._overran("too many frames a second")
        if not self._bytes.take(size, now):
            return self._overran("too many bytes a second")
        return self._expire(now)

    def tick(self, now: float) -> list[Effect]:
        """Time passes. Call it when `due()` has come; before that it does nothing."""
        if (effects := self._expire(self._advance(now))) or self._now < self.due():
            return effects
        if self.phase is Phase.UNAUTHENTICATED:
            return self._turn(Turn.TOO_LATE, CloseCode.UNAUTHENTICATED, "no good token came in time")
        if self.phase is Phase.CLOSING:
            return self._turn(Turn.TOO_LATE, CloseCode.TOO_MANY_REQUESTS, self._overrun)
        if self.phase is Phase.EXPIRED:
            return self._turn(Turn.TOO_LATE, CloseCode.TOKEN_EXPIRED, "the token expired")
        return self._turn(Turn.IDLE, CloseCode.IDLE, "no subscription and no frame for too long")

    def due(self) -> float:
        """When `tick` will have something to do, as far as is known now."""
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
                busy = len(self._subscriptions) or self._pending
                idle = inf if busy else self._heard + self._limits.idle_seconds
                return idle if expires_at is None else min(idle, expires_at)

    def going_away(self, reconnect_after_ms: int) -> list[Effect]:
        """The hub is drained: tell the client when to come back, and close."""
        if self.phase is Phase.CLOSED:
            return []
        hint = send(GoingAway(reconnect_after_ms=reconnect_after_ms))
        return [hint, *self._close(CloseCode.RESTART, "the hub restarts; come back after the hint")]

    def close(self, code: CloseCode, reason: str) -> list[Effect]:
        """The connection can't go on, for a reason that its carrier knows (a reader that takes nothing, say)."""
        return [] if self.phase is Phase.CLOSED else self._close(code, reason)

    # -- the channel --------------------------------------------------------------------------------------------------

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None = None) -> list[Effect]:
        """What follows of the plan starts after `place`; a reason says why that is not where the client asked."""
        return self._answered(self._subscriptions.placed(plan_id, place, head, reason))

    def refused(
        self,
        plan_id: str,
        message: str,
        retry_after_ms: int | None = None,
        code: ErrorCode = ErrorCode.UNAVAILABLE,
    ) -> list[Effect]:
        """The channel can't serve this client: there is no subscription (any more)."""
        return self._answered(self._subscriptions.refused(plan_id, code, message, retry_after_ms))

    def ended(self, plan_id: str, code: int, reason: str) -> list[Effect]:
        """The channel let the client go: there is no subscription any more."""
        return self._answered(self._subscriptions.ended(plan_id, code, reason))

    # -- tokens -------------------------------------------------------------------------------------------------------

    def authenticated(self, principal: Principal, now: float) -> list[Effect]:
        """The token is this principal's. What it gives no right to read is ended."""
        now = self._advance(now)
        if (token := self._checked()) is None:
            return []
        if principal.expired(now):
            return self._token_refused(token, ErrorCode.TOKEN_EXPIRED, "the token's time is over")
        if self.principal is not None and self.principal.subject != principal.subject:
            return self._answered([error_about(token, ErrorCode.FORBIDDEN, "somebody else's connection; open another")])
        if self.phase is Phase.UNAUTHENTICATED:
            self._bytes = TokenBucket(self._limits.bytes_per_second, self._limits.bytes_burst, now)
        self._turn(Turn.AUTHENTICATED)
        self.principal = principal
        told = send(Authenticated(expires_at=moment(principal.expires_at), request_id=token.request_id))
        lost = [plan_id for plan_id in self.plans if not principal.may("read", plan_id)]
        reason = "the new token gives no right to read this plan"
        return self._answered([told, *self._subscriptions.revoke(lost, SubscriptionCode.FORBIDDEN, reason)])

    def authentication_failed(self, code: ErrorCode, message: str) -> list[Effect]:
        """The token was refused (`invalid_token`, `token_expired`), or could not be checked (`unavailable`)."""
        if (token := self._checked()) is None:
            return []
        if code is ErrorCode.UNAVAILABLE:
            return self._answered([error_about(token, code, message)])
        return self._token_refused(token, code, message)

    def _token_refused(self, token: asked.Authenticate, code: ErrorCode, message: str) -> list[Effect]:
        expired = code is ErrorCode.TOKEN_EXPIRED
        close = CloseCode.TOKEN_EXPIRED if expired else CloseCode.UNAUTHENTICATED
        reason = "the token expired" if expired else "the token was refused"
        return self._answered([error_about(token, code, message), *self._turn(Turn.TOKEN_REFUSED, close, reason)])

    def _checked(self) -> asked.Authenticate | None:
        """The token that was being checked, if that still matters; none is being checked any more."""
        token, self._token = self._token, None
        return None if self.phase is Phase.CLOSED else token

    def _expire(self, now: float) -> list[Effect]:
        """When the token's time is over, so are the subscriptions that it opened."""
        if self.phase is not Phase.OPEN or self.principal is None or not self.principal.expired(now):
            return []
        self._turn(Turn.TOKEN_EXPIRED)
        message = f"the token expired; authenticate with a new one within {EXPIRY_GRACE:.0f} s"
        told = send(Error.about(ErrorCode.TOKEN_EXPIRED, message))
        lost = self._subscriptions.revoke(list(self.plans), SubscriptionCode.TOKEN_EXPIRED, "the token expired")
        return [told, *lost]

    # -- answers and signals ------------------------------------------------------------------------------------------

    def input_accepted(self, answer: Answer, place: Position | None = None) -> list[Effect]:
        """The answer stands in the plan's log, at this place."""
        if not self._settle(answer):
            return []
        epoch, offset = place or (None, None)
        taken = InputAccepted(plan_id=answer.plan_id, request_id=answer.request_id, epoch=epoch, offset=offset)
        return self._answered([send(taken)])

    def signal_accepted(self, signal: Signal) -> list[Effect]:
        """The signal reached whoever runs the plan."""
        if not self._settle(signal):
            return []
        taken = SignalAccepted(plan_id=signal.plan_id, signal=signal.signal, request_id=signal.request_id)
        return self._answered([send(taken)])

    def request_refused(
        self,
        request: Answer | Signal,
        code: ErrorCode,
        message: str,
        retry_after_ms: int | None = None,
        by: str | None = None,
        at: str | None = None,
    ) -> list[Effect]:
        """An answer or a signal was not taken; `by` and `at` say who answered before, and when."""
        if not self._settle(request):
            return []
        return self._answered([error_about(request, code, message, retry_after_ms=retry_after_ms, by=by, at=at)])

    def _settle(self, request: Answer | Signal) -> bool:
        """Whether the request still waits; then it no longer does."""
        if request not in self._pending:
            return False
        self._pending.remove(request)
        return True

    # -- frames -------------------------------------------------------------------------------------------------------

    def understand(self, text: str) -> list[Effect]:
        """What a frame says that was weighed, or that comes from nobody outside."""
        if not self.hears:
            return []
        try:
            frame = decode(text)
        except BadFrame as bad:
            return self._misunderstood(bad)
        self._bad = 0
        if frame.type not in ALLOWED[self.phase]:
            return [error_about(frame, *NOT_NOW[self.phase])]
        return self._do(frame)

    def _do(self, frame: asked.ClientFrame) -> list[Effect]:
        match frame:
            case asked.SubscribePlan():
                return self._subscribe(frame)
            case asked.UnsubscribePlan(plan_id=plan_id, request_id=request_id):
                return self._subscriptions.unsubscribe(plan_id, request_id)
            case asked.Authenticate():
                return self._authenticate(frame)
            case asked.PlanInput():
                return self._input(frame)
            case asked.PlanSignal():
                return self._signal(frame)
            case asked.Ping(nonce=nonce):
                return [send(Pong(nonce=nonce))]

    def _misunderstood(self, bad: BadFrame) -> list[Effect]:
        answer: list[Effect] = [error_about(bad, bad.code, bad.message)]
        if bad.code is ErrorCode.UNKNOWN_TYPE:  # perhaps a newer client's, which can do without
            return answer
        self._bad += 1
        if self._bad < self._limits.bad_frames:
            return answer
        return answer + self._close(CloseCode.PROTOCOL_ERROR, f"{self._bad} frames in a row made no sense")

    def _subscribe(self, frame: asked.SubscribePlan) -> list[Effect]:
        if not self._may("read", frame.plan_id):
            return [error_about(frame, ErrorCode.FORBIDDEN, "no right to read this plan")]
        since = frame.since
        place = Position(since.epoch, since.offset) if isinstance(since, asked.Place) else since
        return self._subscriptions.subscribe(frame.plan_id, place, frame.request_id)

    def _authenticate(self, frame: asked.Authenticate) -> list[Effect]:
        if self._token is not None:
            return [error_about(frame, ErrorCode.TOO_MANY_REQUESTS, "the token before this one is still being checked")]
        self._token = frame
        return [Authenticate(frame.token)]

    def _input(self, frame: asked.PlanInput) -> list[Effect]:
        if not self._may("input", frame.plan_id):
            return [error_about(frame, ErrorCode.FORBIDDEN, "no right to answer for this plan")]
        key, by = frame.idempotency_key, self._subject()
        return self._pass_on(Answer(frame.plan_id, frame.request_id, frame.answer, key, by))

    def _signal(self, frame: asked.PlanSignal) -> list[Effect]:
        if not self._may("signal", frame.plan_id):
            return [error_about(frame, ErrorCode.FORBIDDEN, "no right to signal this plan")]
        return self._pass_on(Signal(frame.plan_id, frame.signal, frame.request_id, self._subject()))

    def _pass_on(self, request: Answer | Signal) -> list[Effect]:
        if len(self._pending) >= self._limits.pending_requests:
            message = f"{len(self._pending)} requests of this connection wait for their answer already"
            return [error_about(request, ErrorCode.TOO_MANY_REQUESTS, message)]
        self._pending.add(request)
        return [request]

    def _overran(self, what: str) -> list[Effect]:
        """More came than allowed: what was asked before is answered, and then the connection is closed."""
        self._overrun = what
        return self._answered(self._turn(Turn.OVERRUN, CloseCode.TOO_MANY_REQUESTS, what))

    def _answered(self, effects: list[Effect]) -> list[Effect]:
        """These effects, and the close if it waited for nothing else."""
        if self.phase is not Phase.CLOSING or self._subscriptions.joining or self._pending or self._token is not None:
            return effects
        return effects + self._turn(Turn.ANSWERED, CloseCode.TOO_MANY_REQUESTS, self._overrun)

    # -- states -------------------------------------------------------------------------------------------------------

    def _turn(self, turn: Turn, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> list[Effect]:
        """The next phase, by the table; the close is for when that is the end."""
        phase = PHASES[self.phase, turn]
        if phase is Phase.CLOSED:
            return self._close(code, reason)
        if phase is not self.phase:
            self.phase, self._phase_since = phase, self._now
        return []

    def _close(self, code: CloseCode, reason: str) -> list[Effect]:
        self.phase = Phase.CLOSED
        self._subscriptions.clear()
        self._pending.clear()
        return [Close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))]

    def _advance(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now

    def _may(self, verb: Verb, plan_id: str) -> bool:
        return self.principal is not None and self.principal.may(verb, plan_id)

    def _subject(self) -> str:
        return self.principal.subject if self.principal else ""


def _size(text: str) -> int:
    """Its bytes in UTF-8; a lone half of a surrogate pair, which no transport lets through, counts as well."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
