"""Who is asking over HTTP, and may they?"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Request, Security
from fastapi.security import APIKeyQuery, HTTPBearer

from broadcasters.events import PLAN_ID
from hub.access.auth import AuthenticationFailed, TokenMissing
from hub.access.principal import Principal, Verb
from hub.api.problems import Problem
from hub.core.rates import CARRIED_BYTES, ONE
from hub.core.shares import Holder
from hub.node import Hub
from hub.transports.admission import bearer
from hub.wire.codes import ErrorCode

__all__ = ["Caller", "PlanIdPath", "caller_of", "holder_of", "require", "token_holder_of"]

PlanIdPath = Annotated[
    str, Path(pattern=PLAN_ID, description="1 to 128 of A-Z a-z 0-9 . _ : @ ~ -", examples=["plan-1"])
]
Caller = Callable[[Request], Awaitable[Principal]]

# These two only tell the OpenAPI document what there is; the caller is found below.
_BEARER = HTTPBearer(
    bearerFormat="JWT", scheme_name="token", description="A token (JWT) that says who may do what.", auto_error=False
)
_TICKET = APIKeyQuery(
    name="ticket", scheme_name="ticket", description="A ticket from `POST /api/tickets`, good once.", auto_error=False
)


def caller_of(hub: Hub, cost: float = ONE) -> Caller:
    """A dependency: the principal that makes the request, from its bearer token or (once) its ticket.

    The request is charged to it, and to its address."""

    async def caller(
        request: Request, _token: object = Security(_BEARER), _used: object = Security(_TICKET)
    ) -> Principal:
        return await _caller(hub, request, request.query_params.get("ticket"), cost)

    return caller


def token_holder_of(hub: Hub) -> Caller:
    """The same, from its bearer token only: a ticket that comes with the request is not looked at."""

    async def token_holder(request: Request, _token: object = Security(_BEARER)) -> Principal:
        return await _caller(hub, request, None, ONE)

    return token_holder


async def _caller(hub: Hub, request: Request, ticket: str | None, cost: float) -> Principal:
    hub.admission.require_open()
    if not _permitted(hub, request):
        hub.counts.auth_failures["origin"] += 1
        raise Problem(ErrorCode.FORBIDDEN, "pages of this origin may not ask; see PLANCAST_ORIGINS")
    try:
        principal = await _who(hub, request.headers.get("authorization"), ticket)
    except AuthenticationFailed as failure:
        hub.counts.auth_failures[failure.code.value] += 1
        failure.log()
        raise
    body = await request.body() if request.method in ("POST", "PUT") else b""
    hub.admission.rates.charge(holder_of(hub, request, principal), cost + len(body) / CARRIED_BYTES)
    return principal


def holder_of(hub: Hub, request: Request, principal: Principal) -> Holder:
    """For whom the request is counted."""
    return hub.admission.holder_of(request.client.host if request.client else None, principal)


async def _who(hub: Hub, authorization: str | None, ticket: str | None) -> Principal:
    if ticket is not None:
        return await hub.tickets.redeem(ticket, time.time())
    if authorization is not None:
        return await hub.authenticator.authenticate(bearer(authorization), time.time())
    if hub.authenticator.anonymous is None:
        raise TokenMissing("a token is needed: Authorization: Bearer …")
    return hub.authenticator.anonymous


def _permitted(hub: Hub, request: Request) -> bool:
    """Without an origin it is no foreign page, and what it may do is another question; but in development its own name
    for this hub must be one of this machine's."""
    headers = request.headers
    origin, host = headers.get("origin"), headers.get("host")
    shown = origin is None or "authorization" in headers or "ticket" in request.query_params
    return hub.origins.permit(origin, scheme=request.url.scheme, host=host, authenticated=shown)


def require(principal: Principal, verb: Verb, *plan_ids: str) -> None:
    """Let the principal do this to the plans, or say that it may not, whether or not they exist."""
    for plan_id in plan_ids:
        if not principal.may(verb, plan_id):
            raise Problem(ErrorCode.FORBIDDEN, f"no right to {verb} this plan", plan_id=plan_id)
