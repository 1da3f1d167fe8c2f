"""Events over HTTP: said by agents in any language, read page by page, or waited for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from broadcasters.errors import InvalidEvent
from broadcasters.events import EVENTS, PlanEvent, build
from broadcasters.log.contract import MAX_APPEND_EVENTS
from broadcasters.position import Position
from hub.api.callers import PlanIdPath, caller_of, require
from hub.api.problems import Problem, ProblemRoute, problems
from hub.core.principal import Principal
from hub.node import Hub
from hub.transports.door import Refused
from hub.transports.polling import wait_for_events
from hub.transports.visitors import visitor_of
from hub.wire.frames import event_frame, event_prefix

__all__ = ["router"]

PAGE_BYTES: Final = 1024 * 1024


class SaidEvent(BaseModel):
    """An event as an agent says it: its type, and its data without the plan's id (or with the right one)."""

    type: str
    data: dict[str, Any]


class SaidEvents(BaseModel):
    """Several events, appended in this order, side by side."""

    events: Annotated[list[SaidEvent], Field(min_length=1, max_length=MAX_APPEND_EVENTS)]


class Appended(BaseModel):
    """Where the events stand: durable, and on their way to everybody."""

    epoch: str
    offsets: list[int]


def router(hub: Hub) -> APIRouter:
    """The events' routes, for this hub."""
    routes = APIRouter(prefix="/api/plans/{plan_id}/events", tags=["events"], route_class=ProblemRoute)
    caller: Principal = Depends(caller_of(hub))

    @routes.post("", status_code=201, responses=problems(400, 401, 403, 422, 503, 507))
    async def publish(
        plan_id: PlanIdPath,
        said: Annotated[SaidEvent | SaidEvents, Body()],
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
        principal: Principal = caller,
    ) -> Appended:
        """Say something about a plan. With an Idempotency-Key, saying it again changes nothing."""
        require(principal, "publish", plan_id)
        events = [_event(plan_id, one) for one in (said.events if isinstance(said, SaidEvents) else [said])]
        places = await hub.broadcaster.send_all(plan_id, events, key=idempotency_key)
        return Appended(epoch=places[-1].epoch, offsets=[place.offset for place in places])

    @routes.get("", response_class=Response, responses={200: _PAGE, **problems(401, 403, 410, 422, 429, 503)})
    async def read_events(
        plan_id: PlanIdPath,
        request: Request,
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        epoch: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
        wait: Annotated[float, Query(ge=0, le=30)] = 0,
        principal: Principal = caller,
    ) -> Response:
        """The events after a place; with `wait`, as soon as there is one. 410: they are gone, take the snapshot."""
        require(principal, "read", plan_id)
        page = await hub.log.read(plan_id, after, limit, PAGE_BYTES)
        head = page.head
        place = Position(epoch or head.lineage.epoch, after)
        reason = head.lineage.continuity(place, head.offset, head.floor)
        if reason != "ok":
            raise _gone(request, plan_id, reason)
        prefix = event_prefix(plan_id, head.lineage.epoch)
        frames = [event_frame(prefix, at, payload) for at, payload in enumerate(page.payloads, page.first)]
        if frames or not wait:
            return _page(plan_id, Position(head.lineage.epoch, after + len(frames)), head.offset, frames)
        try:
            found = await wait_for_events(hub.door, visitor_of(request), plan_id, place, wait)
        except Refused as refusal:
            raise Problem("too_many_requests", refusal.reason, status=429) from None
        if found.reason is not None:
            raise _gone(request, plan_id, found.reason)
        return _page(plan_id, found.place, found.head, found.frames)

    return routes


_PAGE: Final[dict[str, Any]] = {
    "description": "Event frames as the socket sends them, and the place after them.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["plan_id", "epoch", "offset", "head", "events"],
                "properties": {
                    "plan_id": {"type": "string"},
                    "epoch": {"type": "string"},
                    "offset": {"type": "integer", "description": "Ask for what follows this."},
                    "head": {"type": "integer"},
                    "events": {"type": "array", "items": {"type": "object"}},
                },
            }
        }
    },
}


def _event(plan_id: str, said: SaidEvent) -> PlanEvent:
    cls = EVENTS.get(said.type)
    if cls is None:
        raise InvalidEvent("type", f"{said.type!r:.60} is none of {', '.join(EVENTS)}")
    if said.data.get("plan_id", plan_id) != plan_id:
        raise InvalidEvent("plan_id", "the event is of another plan than the one it is sent to")
    return build(cls, {**said.data, "plan_id": plan_id})


def _page(plan_id: str, place: Position, head: int, frames: Sequence[bytes]) -> Response:
    said = json.dumps({"plan_id": plan_id, "epoch": place.epoch, "offset": place.offset, "head": head})
    body = b'%b,"events":[%b]}' % (said[:-1].encode(), b",".join(frames))
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _gone(request: Request, plan_id: str, reason: str) -> Problem:
    snapshot = str(request.url_for("get_plan", plan_id=plan_id))
    detail = "the story can't be continued from there; take the snapshot and go on from its place"
    return Problem("continuity_lost", detail, status=410, reason=reason, snapshot=snapshot)
