"""Who is asking over HTTP, and may they?"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Request

from broadcasters.events import PLAN_ID
from hub.api.problems import Problem
from hub.auth import TokenInvalid
from hub.core.principal import Principal, Verb
from hub.node import Hub
from hub.transports.door import bearer
from hub.wire.codes import ErrorCode

__all__ = ["Caller", "PlanIdPath", "caller_of", "require"]

PlanIdPath = Annotated[str, Path(pattern=PLAN_ID, description="1 to 128 of A-Z a-z 0-9 . _ : @ ~ -")]
Caller = Callable[[Request], Awaitable[Principal]]


def caller_of(hub: Hub) -> Caller:
    """A dependency: the principal that makes the request, from its bearer token or (once) its ticket."""

    async def caller(request: Request) -> Principal:
        headers = request.headers
        authorization, ticket = headers.get("authorization"), request.query_params.get("ticket")
        origin = headers.get("origin")
        if not hub.origins.permit(
            origin,
            scheme=request.url.scheme,
            host=headers.get("host"),
            # A page's own GETs carry no Origin; a program still has to say who it is. In development the Host decides.
            authenticated=bool(authorization or ticket) or origin is None,
        ):
            hub.counts.auth_failures["origin"] += 1
            raise Problem(ErrorCode.FORBIDDEN, "pages of this origin may not ask; see PLANCAST_ORIGINS")
        if ticket is not None:
            return await hub.tickets.redeem(ticket, time.time())
        if authorization is not None:
            return await hub.authenticator.authenticate(bearer(authorization), time.time())
        if hub.authenticator.anonymous is None:
            raise TokenInvalid("a token is needed: Authorization: Bearer …")
        return hub.authenticator.anonymous

    return caller


def require(principal: Principal, verb: Verb, plan_id: str) -> None:
    """Let the principal do this to the plan, or say that it may not, whether or not the plan exists."""
    if not principal.may(verb, plan_id):
        raise Problem(ErrorCode.FORBIDDEN, f"no right to {verb} this plan")
