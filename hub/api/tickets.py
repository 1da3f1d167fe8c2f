"""Tickets over HTTP."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from broadcasters.events import timestamp
from hub.access.principal import Principal
from hub.api.callers import token_holder_of
from hub.api.problems import problems
from hub.api.route import ApiRoute, operation_id
from hub.node import Hub

__all__ = ["TicketIssued", "router"]


class TicketIssued(BaseModel):
    """Good once, until it expires: `?ticket=` of a socket or a stream."""

    ticket: str
    expires_at: str


def router(hub: Hub) -> APIRouter:
    """The route to tickets of this hub."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(token_holder_of(hub))

    @routes.post("/tickets", status_code=201, responses=problems(401, 403, 422, 429, 503))
    async def issue_ticket(principal: Principal = caller) -> TicketIssued:
        """A ticket for a browser API that can set no header; it stands for the caller, once, for half a minute.

        Only a token gets one: a ticket issues no other."""
        ticket = hub.tickets.issue(principal, time.time())
        expires_at = timestamp(datetime.fromtimestamp(ticket.expires_at, UTC))
        return TicketIssued(ticket=ticket.ticket, expires_at=expires_at)

    return routes
