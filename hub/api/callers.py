"""The principal of an HTTP request, its rights, and tickets for browser APIs that can't send a token."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Security
from fastapi.security import APIKeyQuery, HTTPBearer
from pydantic import BaseModel

from broadcasters.events import PLAN_ID, timestamp
from hub.access.auth import AuthenticationFailed, TokenMissing
from hub.access.principal import Principal, Verb
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import CARRIED_BYTES, ONE
from hub.core.shares import Holder
from hub.node import Hub
from hub.transports.admission import bearer
from hub.transports.peers import authorization_of
from hub.wire.codes import ErrorCode

__all__ = ["Caller", "PlanIdPath", "TicketIssued", "caller_of", "charge", "holder_of", "require", "router"]

PlanIdPath = Annotated[
    str, Path(pattern=PLAN_ID, description="1 to 128 of A-Z a-z 0-9 . _ : @ ~ -", examples=["plan-1"])
]
Caller = Callable[[Request], Awaitable[Principal]]

# These two only describe the schemes in the OpenAPI document; `_caller` does the work.
_BEARER = HTTPBearer(
    bearerFormat="JWT",
    scheme_name="token",
    description="A token (JWT) with a principal and its rights.",
    auto_error=False,
)
_TICKET = APIKeyQuery(
    name="ticket", scheme_name="ticket", description="A ticket from `POST /api/tickets`, valid once.", auto_error=False
)


def caller_of(hub: Hub, cost: float = ONE) -> Caller:
    """A dependency that returns the request's principal, from its bearer token or (once) its ticket.

    The request counts against the rates of the principal and of its address."""

    async def caller(
        request: Request, _token: object = Security(_BEARER), _used: object = Security(_TICKET)
    ) -> Principal:
        return await _caller(hub, request, request.query_params.get("ticket"), cost)

    return caller


def _token_holder_of(hub: Hub) -> Caller:
    """The same from the bearer token only; a ticket in the request is ignored."""

    async def token_holder(request: Request, _token: object = Security(_BEARER)) -> Principal:
        return await _caller(hub, request, None, ONE)

    return token_holder


async def _caller(hub: Hub, request: Request, ticket: str | None, cost: float) -> Principal:
    hub.admission.require_open()
    if not _origin_allowed(hub, request):
        hub.counts.auth_failures["origin"] += 1
        raise Problem(
            ErrorCode.FORBIDDEN,
            "requests from pages of this origin are not allowed; see PLANCAST_ORIGINS",
        )
    try:
        principal = await _principal(hub, authorization_of(request), ticket)
    except AuthenticationFailed as failure:
        hub.counts.auth_failures[failure.code.value] += 1
        failure.log()
        raise
    body = await request.body() if request.method in ("POST", "PUT", "PATCH") else b""
    charge(hub, request, principal, cost + len(body) / CARRIED_BYTES)
    return principal


def charge(hub: Hub, request: Request, principal: Principal, cost: float) -> None:
    """Charge what the request costs to its principal and address. Raises `TooManyRequests`."""
    hub.admission.rates.charge(holder_of(hub, request, principal), cost)


def holder_of(hub: Hub, request: Request, principal: Principal) -> Holder:
    """The address and principal that the request counts against."""
    return hub.admission.holder_of(request.client.host if request.client else None, principal)


async def _principal(hub: Hub, authorization: str | None, ticket: str | None) -> Principal:
    if ticket is not None:
        return await hub.tickets.redeem(ticket, time.time())
    if authorization is not None:
        return await hub.authenticator.authenticate(bearer(authorization), time.time())
    if hub.authenticator.anonymous is None:
        raise TokenMissing("a token is required: send Authorization: Bearer …")
    return hub.authenticator.anonymous


def _origin_allowed(hub: Hub, request: Request) -> bool:
    """Whether pages of the request's origin, if it names one, may use the hub. In development the Host is checked, too."""
    headers = request.headers
    origin, host = headers.get("origin"), headers.get("host")
    shown = origin is None or authorization_of(request) is not None or "ticket" in request.query_params
    return hub.origins.permit(origin, scheme=request.url.scheme, host=host, authenticated=shown)


def require(principal: Principal, verb: Verb, *plan_ids: str) -> None:
    """Raises `Problem` unless the principal has this right to all the plans, whether or not they exist."""
    for plan_id in plan_ids:
        if not principal.may(verb, plan_id):
            raise Problem(ErrorCode.FORBIDDEN, f"the token gives no right to {verb} this plan", plan_id=plan_id)


class TicketIssued(BaseModel):
    """A ticket, valid once until it expires: pass it as `?ticket=` of a socket or stream."""

    ticket: str
    expires_at: str


def router(hub: Hub) -> APIRouter:
    """The route that issues tickets."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(_token_holder_of(hub))

    @routes.post("/tickets", status_code=201, responses=problems(401, 403, 422, 429, 503))
    async def issue_ticket(principal: Principal = caller) -> TicketIssued:
        """Issue a ticket for a browser API that can't set headers. It stands for the caller, once, for 30 seconds.

        Requires a token: a ticket can't be used to get another."""
        ticket = hub.tickets.issue(principal, time.time())
        expires_at = timestamp(datetime.fromtimestamp(ticket.expires_at, UTC))
        return TicketIssued(ticket=ticket.ticket, expires_at=expires_at)

    return routes
