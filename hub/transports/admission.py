"""The hub's door: every client of every transport comes in here, or is told why not."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from broadcasters.events import timestamp
from broadcasters.position import Position
from hub.access.auth import AuthenticationFailed, AuthenticationUnavailable, Authenticator
from hub.access.origins import Origins
from hub.access.principal import Principal
from hub.access.tickets import Tickets
from hub.config.limits import Limits
from hub.core.connection import Connection, Outlet, RequestRefused, Requests, TokenRefused
from hub.core.connections import Connections, WaterMarks
from hub.core.counts import HubCounts
from hub.core.effects import Answer, Signal
from hub.core.rates import ANSWER, ONE, Rates, TooManyRequests
from hub.core.registry import Registry
from hub.core.session import Session
from hub.core.shares import ConnectionCounts, Holder, PlanShares, TooManyConnections, TooManyPlans, network
from hub.transports.refusals import Refusals
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["HEARTBEAT_SECONDS", "Admission", "Door", "Refused", "Visitor", "bearer"]

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 25.0
ADMISSION_SECONDS = 10.0
"""How long it may take to check a token or a ticket: its issuer, or the log, may not answer."""


class Refused(Exception):
    """This client can't come in. The code is the one to close a WebSocket with."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who knocks: what the request says of itself."""

    address: str | None
    scheme: str
    host: str | None
    origin: str | None = None
    authorization: str | None = None
    ticket: str | None = None


@dataclass(slots=True)
class Admission:
    """A client that may come in; give it back to `Door.leave` when it has gone."""

    network: str
    principal: Principal | None
    """None: a token must come as the first frame."""
    claimed: str | None = None
    """Whose connection it is counted as."""

    @property
    def holder(self) -> Holder:
        return Holder(self.network, self.claimed)


class Door:
    """Counts who is in, and opens connections for those who are."""

    def __init__(
        self,
        registry: Registry,
        roster: Connections,
        requests: Requests,
        authenticator: Authenticator,
        tickets: Tickets,
        origins: Origins,
        limits: Limits,
        counts: HubCounts,
    ) -> None:
        self.open = False
        """Whether the hub is; set by the hub."""
        self.limits = limits
        self.waters = WaterMarks(limits)
        self.counts = counts
        self.registry = registry
        self.roster = roster
        self._requests = requests
        self._authenticator = authenticator
        self._tickets = tickets
        self._origins = origins
        self._present = ConnectionCounts(limits.connections)
        self.refusals = Refusals(self._present)
        self.rates = Rates(limits.requests, counts.refused_requests)
        self.shares = PlanShares(limits.plans, counts.refused_plans)

    def admit(self, visitor: Visitor) -> Admission | Awaitable[Admission]:
        """Let the visitor in, or raise `Refused`; an awaitable of the same when its token takes a while to check."""
        self._check(visitor)
        now = time.time()
        try:
            if visitor.ticket is not None:
                return self._admit_later(visitor, self._tickets.redeem(visitor.ticket, now))
            if visitor.authorization is None:
                return self._enter(visitor, self._authenticator.anonymous)
            token = bearer(visitor.authorization)
            principal = self._authenticator.at_once(token, now)
        except AuthenticationFailed as failure:
            raise self._no_good(failure) from None
        if principal is None:
            return self._admit_later(visitor, self._authenticator.authenticate(token, now))
        return self._enter(visitor, principal)

    def receive(self, visitor: Visitor, principal: Principal) -> Admission:
        """Let in a visitor whose principal is known already, or raise `Refused`."""
        self._check(visitor)
        return self._enter(visitor, principal)

    def connect(self, outlet: Outlet, admission: Admission, transport: str) -> Connection:
        """A connection for a client that was let in; begin it when its line is open."""
        session = Session(secrets.token_urlsafe(9), self.limits.session, admission.principal, time.time())
        services = _Inside(self, admission, self._requests)
        connection = Connection(session, outlet, self.registry, services, self.counts)
        self.roster.enter(connection, transport)
        self.waters.share(len(self.roster))
        return connection

    def begin(self, connection: Connection) -> None:
        """The client's line is open: greet it."""
        connection.begin(HEARTBEAT_SECONDS, timestamp())

    def leave(self, connection: Connection | None, admission: Admission) -> None:
        """The client has gone. Call it exactly once for each admission."""
        if connection is not None:
            self.roster.leave(connection)
            self.waters.share(len(self.roster))
        self._present.leave(admission.network)
        if admission.claimed is not None:
            self._present.release(admission.claimed)

    def claim(self, admission: Admission, principal: Principal) -> None:
        """The client turns out to be this principal: count it as its connection, or raise `TooManyConnections`."""
        anonymous = self._authenticator.anonymous
        if admission.claimed is None and (anonymous is None or principal.subject != anonymous.subject):
            self._present.claim(principal.subject)
            admission.claimed = principal.subject

    def holder_of(self, address: str | None, principal: Principal) -> Holder:
        """For whom a request of this principal is counted."""
        return Holder(network(address), None if self._authenticator.anonymous is not None else principal.subject)

    @property
    def full(self) -> str | None:
        """Why no further client can be served as it should; None: it can."""
        if self._present.full:
            return "it has as many connections as it may (PLANCAST_MAX_CONNECTIONS)"
        if self.registry.full:
            return "it follows as many plans as it may (PLANCAST_MAX_PLANS)"
        return None

    def require_open(self) -> None:
        """Tell whoever forgot to open the hub how that is done."""
        if not self.open:
            raise RuntimeError(
                "this hub is not open: enter it in your application's lifespan, `async with hub:` (docs/EMBEDDING.md)"
            )

    def _check(self, visitor: Visitor) -> None:
        self.require_open()
        if self.roster.draining:
            self.counts.refused_connections["draining"] += 1
            raise Refused(CloseCode.RESTART, "the hub restarts; come back in a moment")
        # A WebSocket from a page always has an Origin; what has none is a program, which still has to say who it is.
        if not self._origins.permit(
            visitor.origin, scheme=visitor.scheme, host=visitor.host, authenticated=visitor.origin is None
        ):
            self.counts.auth_failures["origin"] += 1
            raise Refused(CloseCode.ORIGIN_REFUSED, "pages of this origin may not connect; see PLANCAST_ORIGINS")

    async def _admit_later(self, visitor: Visitor, principal: Awaitable[Principal]) -> Admission:
        try:
            async with asyncio.timeout(ADMISSION_SECONDS):
                known = await principal
        except AuthenticationFailed as failure:
            raise self._no_good(failure) from None
        except TimeoutError:
            raise self._no_good(AuthenticationUnavailable("it can't be checked just now; try again")) from None
        except Exception as error:
            log.error("a visitor's token: %s", error, exc_info=error)
            raise Refused(CloseCode.INTERNAL, "something in the hub failed") from None
        return self._enter(visitor, known)

    def _enter(self, visitor: Visitor, principal: Principal | None) -> Admission:
        try:
            admission = Admission(self._present.enter(visitor.address), principal)
            if principal is not None:
                try:
                    self.claim(admission, principal)
                except TooManyConnections:
                    self.leave(None, admission)
                    raise
        except TooManyConnections as full:
            self.counts.refused_connections[full.kind] += 1
            raise Refused(CloseCode.TOO_MANY_REQUESTS, str(full)) from None
        return admission

    def _no_good(self, failure: AuthenticationFailed) -> Refused:
        self.counts.auth_failures[failure.code.value] += 1
        failure.log()
        return Refused(failure.close, str(failure))


def bearer(authorization: str) -> str:
    """The token of an Authorization header; of another scheme, nothing that would be taken for one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class _Inside:
    """The hub's services for one client that was let in: who it says it is counts."""

    __slots__ = ("_admission", "_door", "_requests")

    def __init__(self, door: Door, admission: Admission, requests: Requests) -> None:
        self._door = door
        self._admission = admission
        self._requests = requests

    def charge(self, cost: float) -> None:
        try:
            self._door.rates.charge(self._admission.holder, cost)
        except TooManyRequests as refusal:
            code, retry = ErrorCode.TOO_MANY_REQUESTS, refusal.wait * 1000
            raise RequestRefused(code, str(refusal), retry_after_ms=retry) from None

    async def answer(self, answer: Answer) -> Position:
        self.charge(ANSWER)
        return await self._requests.answer(answer)

    async def signal(self, signal: Signal) -> None:
        self.charge(ONE)
        await self._requests.signal(signal)

    def follow(self, plan_id: str) -> None:
        try:
            self._door.shares.follow(self._admission.holder, plan_id)
        except TooManyPlans as full:
            raise RequestRefused(ErrorCode.TOO_MANY_SUBSCRIPTIONS, str(full)) from None

    def unfollow(self, plan_id: str) -> None:
        self._door.shares.unfollow(self._admission.holder, plan_id)

    async def authenticate(self, token: str) -> Principal:
        principal = await self._requests.authenticate(token)
        try:
            self._door.claim(self._admission, principal)
        except TooManyConnections as full:
            raise TokenRefused(ErrorCode.TOO_MANY_REQUESTS, str(full)) from None
        return principal
