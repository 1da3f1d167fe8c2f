"""The user behind a request of MACAE's page.

The page names the user in the header `x-ms-client-principal-id`, and on its socket as `user_id`. Anyone can send that, so it
counts only in development, and where a trusted proxy (PLANCAST_PROXIES) forwarded the request. Otherwise the user is the
token's subject. The header never gives a right: it chooses whose plans and teams the request is about, and behind a proxy it
takes away the right to those of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, Request
from starlette.requests import HTTPConnection

from broadcasters.events import check_plan_id
from hub.access.principal import Principal, Verb
from hub.api.callers import caller_of, require
from hub.api.problems import Problem
from hub.core.rates import ONE
from hub.dialects.macae.shapes import owner_in, prefix_of
from hub.node import Hub
from hub.wire.codes import ErrorCode

__all__ = ["USER_HEADER", "Visitor", "user_named", "visitor_of"]

USER_HEADER: Final = "x-ms-client-principal-id"
MAX_USER: Final = 64


@dataclass(frozen=True, slots=True)
class Visitor:
    """A request's principal, and the user for whom it acts. `confined`: it may use only this user's plans."""

    principal: Principal
    user: str
    confined: bool = False

    def require(self, verb: Verb, plan_id: str) -> None:
        """Raises `Problem` unless the visitor has this right to the plan, and `InvalidPlanId` if it can't be one."""
        require(self.principal, verb, check_plan_id(plan_id))
        if self.confined and owner_in(plan_id) != self.user:
            raise Problem(ErrorCode.FORBIDDEN, f"{self.user} has no right to {verb} this plan", plan_id=plan_id)

    def require_teams(self, verb: Verb) -> None:
        """The right to the user's teams is that to all of the user's plans."""
        require(self.principal, verb, prefix_of(self.user))


def user_named(hub: Hub, request: HTTPConnection, principal: Principal, named: str | None) -> Visitor:
    """The visitor, if the request names this user. Raises `Problem` if that can't be a user."""
    forwarded = _forwarded(request)
    if not named or not (hub.settings.development or forwarded):
        return Visitor(principal, principal.subject)
    if len(named) > MAX_USER:
        problem = f"{USER_HEADER}: expected at most {MAX_USER} characters"
        raise Problem(ErrorCode.INVALID_FIELD, problem, field=USER_HEADER)
    return Visitor(principal, named, confined=forwarded)


def _forwarded(request: HTTPConnection) -> bool:
    """Whether a trusted proxy forwarded the request: the server then replaced the peer's address, which has no port."""
    return "x-forwarded-for" in request.headers and request.client is not None and request.client.port == 0


def visitor_of(hub: Hub, cost: float = ONE) -> Callable[..., object]:
    """A dependency that returns the request's visitor."""
    caller: Principal = Depends(caller_of(hub, cost))

    async def visitor(
        request: Request,
        named: Annotated[
            str | None, Header(alias=USER_HEADER, description="The user, in development or from a trusted proxy.")
        ] = None,
        principal: Principal = caller,
    ) -> Visitor:
        return user_named(hub, request, principal, named)

    return visitor
