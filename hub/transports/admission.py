"""Admission: the checks that every client of every transport passes before it is served."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Generator
from contextlib import contextmanager

from broadcasters.events import timestamp
from hub.access.auth import AuthenticationFailed, AuthenticationUnavailable, Authenticator
from hub.access.origins import Origins
from hub.access.principal import Principal
from hub.access.tickets import Tickets
from hub.config.limits import Limits, SessionLimits
from hub.core.connection import ClientOutlet, Connection, HubServices, RequestRefused, TokenRefused
from hub.core.connections import Connections, WaterMarks
from hub.core.counts import HubCounts
from hub.core.rates import Rates, TooManyRequests
from hub.core.registry import Registry
from hub.core.session import Session
from hub.core.shares import ConnectionCounts, Holder, PlanShares, TooManyConnections, TooManyPlans, network
from hub.transports.peers import Peer
from hub.transports.refusals import Refusals
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["HEARTBEAT_SECONDS", "AdmissionControl", "AdmissionRefused", "AdmittedClient", "bearer"]

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 25.0
ADMISSION_SECONDS = 10.0
"""How long the check of a token or a ticket may take: its issuer, or the log, may not answer."""


class AdmissionRefused(Exception):
    """The client is not admitted. `code` is the code that closes a WebSocket for this reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class AdmittedClient:
    """A client that was admitted, and the limits it shares. Pass it to `AdmissionControl.leave` when it has gone."""

    __slots__ = ("_admission", "network", "principal", "subject")

    def __init__(self, admission: AdmissionControl, network: str, principal: Principal | None) -> None:
        self._admission = admission
        self.network = network
        self.principal = principal
        """None: the first frame must be a token."""
        self.subject: str | None = None
        """The subject that the connection is counted for, if any."""

    @property
    def holder(self) -> Holder:
        return Holder(self.network, self.subject)

    def claim(self, principal: Principal) -> None:
        """Counts the connection as this principal's from now on; raises `TokenRefused`."""
        try:
            self._admission.claim(self, principal)
        except TooManyConnections as full:
            raise TokenRefused(ErrorCode.TOO_MANY_REQUESTS, str(full)) from None

    def charge(self, cost: float) -> None:
        """Charges a request to the client's rate limit; raises `RequestRefused`."""
        try:
            self._admission.rates.charge(self.holder, cost)
        except TooManyRequests as refusal:
            code, retry = ErrorCode.TOO_MANY_REQUESTS, refusal.wait * 1000
            raise RequestRefused(code, str(refusal), retry_after_ms=retry) from None

    def follow(self, plan_id: str) -> None:
        """Counts a plan that the client follows; raises `RequestRefused`."""
        try:
            self._admission.shares.follow(self.holder, plan_id)
        except TooManyPlans as full:
            raise RequestRefused(ErrorCode.TOO_MANY_SUBSCRIPTIONS, str(full)) from None

    def unfollow(self, plan_id: str) -> None:
        """Counts it no longer."""
        self._admission.shares.unfollow(self.holder, plan_id)


class AdmissionControl:
    """Admits clients within the limits, and opens connections for those admitted."""

    def __init__(
        self,
        registry: Registry,
        roster: Connections,
        services: HubServices,
        authenticator: Authenticator,
        tickets: Tickets,
        origins: Origins,
        limits: Limits,
        counts: HubCounts,
    ) -> None:
        self.open = False
        """Whether the hub is open; set by the hub."""
        self.limits = limits
        self.waters = WaterMarks(limits)
        self.counts = counts
        self.registry = registry
        self.roster = roster
        self._services = services
        self._authenticator = authenticator
        self._tickets = tickets
        self._origins = origins
        self._present = ConnectionCounts(limits.connections)
        self.refusals = Refusals(self._present)
        self.rates = Rates(limits.requests, counts.refused_requests)
        self.shares = PlanShares(limits.plans, counts.refused_plans)

    def admit(self, peer: Peer) -> AdmittedClient | Awaitable[AdmittedClient]:
        """Admits the client or raises `AdmissionRefused`. Returns an awaitable if its token can't be checked at once."""
        self._check(peer)
        now = time.time()
        try:
            if peer.ticket is not None:
                return self._admit_later(peer, self._tickets.redeem(peer.ticket, now))
            if peer.authorization is None:
                return self._enter(peer, self._authenticator.anonymous)
            token = bearer(peer.authorization)
            principal = self._authenticator.at_once(token, now)
        except AuthenticationFailed as failure:
            raise self._unauthenticated(failure) from None
        if principal is None:
            return self._admit_later(peer, self._authenticator.authenticate(token, now))
        return self._enter(peer, principal)

    def admit_principal(self, peer: Peer, principal: Principal) -> AdmittedClient:
        """Admits a client that was authenticated already, or raises `AdmissionRefused`."""
        self._check(peer)
        return self._enter(peer, principal)

    @contextmanager
    def guest(self, peer: Peer, principal: Principal, transport: str) -> Generator[AdmittedClient]:
        """Admits and counts, for the duration of the block, a client without a session; raises `AdmissionRefused`."""
        client = self.admit_principal(peer, principal)
        self.counts.connections[transport] += 1
        self.counts.connections_total[transport] += 1
        try:
            yield client
        finally:
            self.counts.connections[transport] -= 1
            self.leave(None, client)

    def connect(
        self, outlet: ClientOutlet, client: AdmittedClient, transport: str, limits: SessionLimits | None = None
    ) -> Connection:
        """Makes the connection of an admitted client; `begin` it when its transport is open. `limits`: the session's, if
        they are not those of all others."""
        limits = limits or self.limits.session
        session = Session(secrets.token_urlsafe(9), limits, client.principal, time.time())
        connection = Connection(session, outlet, self.registry, client, self._services, self.counts)
        self.roster.enter(connection, transport)
        self.waters.share(len(self.roster))
        return connection

    def begin(self, connection: Connection) -> None:
        """Sends the connection's first frame; its transport is open."""
        connection.begin(HEARTBEAT_SECONDS, timestamp())

    def leave(self, connection: Connection | None, client: AdmittedClient) -> None:
        """Counts the client no longer; it has gone. Call it exactly once for each admitted client."""
        if connection is not None:
            self.roster.leave(connection)
            self.waters.share(len(self.roster))
        self._present.leave(client.network)
        if client.subject is not None:
            self._present.release(client.subject)

    def claim(self, client: AdmittedClient, principal: Principal) -> None:
        """Counts the client's connection as this principal's from now on; raises `TooManyConnections`."""
        anonymous = self._authenticator.anonymous
        if client.subject is None and (anonymous is None or principal.subject != anonymous.subject):
            self._present.claim(principal.subject)
            client.subject = principal.subject

    def holder_of(self, address: str | None, principal: Principal) -> Holder:
        """Returns whose limits a request of this principal, from this address, counts against."""
        return Holder(network(address), None if self._authenticator.anonymous is not None else principal.subject)

    @property
    def full(self) -> str | None:
        """Why the hub can't serve another client, or None if it can."""
        if self._present.full:
            return "the connection limit is reached (PLANCAST_MAX_CONNECTIONS)"
        if self.registry.full:
            return "the limit of followed plans is reached (PLANCAST_MAX_PLANS)"
        return None

    def require_open(self) -> None:
        """Raises `RuntimeError` unless the hub is open."""
        if not self.open:
            raise RuntimeError(
                "this hub is not open: enter it in your application's lifespan, `async with hub:` (docs/EMBEDDING.md)"
            )

    def _check(self, peer: Peer) -> None:
        self.require_open()
        if self.roster.draining:
            self.counts.refused_connections["draining"] += 1
            raise AdmissionRefused(CloseCode.RESTART, "the hub restarts; reconnect in a moment")
        # A WebSocket of a page always has an Origin. Without one it is a program, which still has to authenticate.
        if not self._origins.permit(peer.origin, scheme=peer.scheme, host=peer.host, authenticated=peer.origin is None):
            self.counts.auth_failures["origin"] += 1
            raise AdmissionRefused(CloseCode.ORIGIN_REFUSED, "this origin must not connect; see PLANCAST_ORIGINS")

    async def _admit_later(self, peer: Peer, principal: Awaitable[Principal]) -> AdmittedClient:
        try:
            async with asyncio.timeout(ADMISSION_SECONDS):
                known = await principal
        except AuthenticationFailed as failure:
            raise self._unauthenticated(failure) from None
        except TimeoutError:
            raise self._unauthenticated(AuthenticationUnavailable("the check timed out; try again")) from None
        except Exception as error:
            log.error("a client's token could not be checked: %s", error, exc_info=error)
            raise AdmissionRefused(CloseCode.INTERNAL, "the hub has an internal error") from None
        return self._enter(peer, known)

    def _enter(self, peer: Peer, principal: Principal | None) -> AdmittedClient:
        try:
            client = AdmittedClient(self, self._present.enter(peer.address), principal)
            if principal is not None:
                try:
                    self.claim(client, principal)
                except TooManyConnections:
                    self.leave(None, client)
                    raise
        except TooManyConnections as full:
            self.counts.refused_connections[full.kind] += 1
            raise AdmissionRefused(CloseCode.TOO_MANY_REQUESTS, str(full)) from None
        return client

    def _unauthenticated(self, failure: AuthenticationFailed) -> AdmissionRefused:
        self.counts.auth_failures[failure.code.value] += 1
        failure.log()
        return AdmissionRefused(failure.close, str(failure))


def bearer(authorization: str) -> str:
    """Returns the token of an Authorization header; for another scheme "", which is no valid token."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
