"""Events over HTTP: published by agents in any language, read in pages, or long-polled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

from broadcasters.errors import InvalidEvent
from broadcasters.events import EVENTS, PlanEvent, build
from broadcasters.log.contract import MAX_APPEND_EVENTS
from broadcasters.position import Position
from broadcasters.tracing import current_traceparent, within
from hub.access.principal import Principal, refuse_reserved
from hub.api.callers import PlanIdPath, caller_of, holder_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import CARRIED_BYTES, LIGHT
from hub.node import Hub
from hub.transports.peers import peer_of
from hub.transports.polling import wait_for_events
from hub.wire.codes import ErrorCode
from hub.wire.frames import event_frame, event_prefix

__all__ = ["EventsAppended", "EventsPage", "NewEvent", "NewEvents", "new_event", "router"]

PAGE_BYTES: Final = 1024 * 1024
LOOK_AGAIN_S: Final = 0.05
"""Delay before a poll that was woken but found no event waits again."""
_HELLO: Final[JsonValue] = {
    "type": "agent_message",
    "data": {"agent_name": "Data Analyst", "content": "Looking at the orders…"},
}
_DONE: Final[JsonValue] = {
    "type": "plan_update",
    "data": {"status": "completed", "content": "There is a recommendation."},
}


class NewEvent(BaseModel):
    """An event to publish: its type and data. The plan's id in the data is optional.

    `docs/schemas` has the schema of each type's data."""

    model_config = ConfigDict(json_schema_extra={"examples": [_HELLO, _DONE]})

    type: Annotated[str, Field(json_schema_extra={"enum": list(EVENTS)})]
    data: dict[str, Any]


class NewEvents(BaseModel):
    """Several events, appended contiguously in this order, or not at all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": [_HELLO, _DONE]}]})

    events: Annotated[list[NewEvent], Field(min_length=1, max_length=MAX_APPEND_EVENTS)]


def _kind(body: Any) -> str:
    return "several" if isinstance(body, dict) and "events" in body else "one"


EventBody = Annotated[
    Annotated[NewEvent, Tag("one")] | Annotated[NewEvents, Tag("several")], Discriminator(_kind), Body()
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[ -~]+$",
        description="Unique in the plan: the events are stored only once, however often the request is sent.",
        examples=["order-17"],
    ),
]

Traceparent = Annotated[
    str | None, Header(max_length=512, description="W3C trace context, stored as the events' `trace`.")
]


class EventsAppended(BaseModel):
    """The events' positions. The events are durable and are being delivered."""

    epoch: str
    offsets: list[int]


class EventsPage(BaseModel):
    """Event frames as on the WebSocket, and the position after them, from which to read the next page."""

    plan_id: str
    epoch: str
    offset: int
    head: int
    events: list[dict[str, Any]]


class _PollRoute(ApiRoute):
    """A route with the time that a long poll and the log may take together."""

    seconds: ClassVar[float] = 45.0


def router(hub: Hub) -> APIRouter:
    """The events' routes, for this hub."""
    routes = APIRouter()
    routes.routes.extend(_publishing(hub).routes)
    routes.routes.extend(_reading(hub).routes)
    return routes


def _router(route_class: type[ApiRoute]) -> APIRouter:
    return APIRouter(
        prefix="/api/plans/{plan_id}/events",
        tags=["events"],
        route_class=route_class,
        generate_unique_id_function=operation_id,
    )


def _publishing(hub: Hub) -> APIRouter:
    routes = _router(ApiRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.post("", status_code=201, responses=problems(400, 401, 403, 413, 415, 422, 429, 503, 507))
    async def publish_events(
        plan_id: PlanIdPath,
        body: EventBody,
        idempotency_key: IdempotencyKey = None,
        traceparent: Traceparent = None,
        principal: Principal = caller,
    ) -> EventsAppended:
        """Publish events of a plan. With an Idempotency-Key, repeating the request changes nothing."""
        require(principal, "publish", plan_id)
        events = (
            [new_event(plan_id, at, one) for at, one in enumerate(body.events)]
            if isinstance(body, NewEvents)
            else [new_event(plan_id, None, body)]
        )
        # If this process traces the request, its span is closer than the client's.
        with within(current_traceparent() or traceparent):
            positions = await hub.broadcaster.send_all(plan_id, events, key=idempotency_key, whole=True)
        return EventsAppended(epoch=positions[-1].epoch, offsets=[at.offset for at in positions])

    return routes


def _reading(hub: Hub) -> APIRouter:
    routes = _router(_PollRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get("", response_model=EventsPage, responses=problems(401, 403, 410, 422, 429, 503))
    async def read_events(
        plan_id: PlanIdPath,
        request: Request,
        after: Annotated[int, Query(ge=0, le=2**53, description="The offset of the last event received.")] = 0,
        epoch: Annotated[str, Query(max_length=64, description="Its epoch; by default the current one.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000, description="The maximum number of events.")] = 500,
        wait: Annotated[float, Query(ge=0, le=30, description="Seconds to wait for an event.")] = 0,
        principal: Principal = caller,
    ) -> Response:
        """Read the events after a position; with `wait`, wait for the first. 410: they were trimmed, load the snapshot."""
        require(principal, "read", plan_id)
        reader = _PageReader(hub, request, plan_id, limit)
        response = await reader.page(Position(epoch, after), empty=not wait)
        if response is None:
            with (
                hub.admission.guest(peer_of(request), principal, "poll") as admission,
                hub.admission.shares.following(admission.holder, plan_id),
            ):
                response = await reader.wait(min(wait, principal.lasts(time.time())))
        hub.admission.rates.owe(holder_of(hub, request, principal), len(response.body) / CARRIED_BYTES)
        return response

    return routes


class _PageReader:
    """Reads the events after a position for one request."""

    def __init__(self, hub: Hub, request: Request, plan_id: str, limit: int) -> None:
        self._hub = hub
        self._request = request
        self._plan_id = plan_id
        self._limit = limit
        self._position = Position("", 0)
        self._head = 0

    async def page(self, after: Position, *, empty: bool) -> Response | None:
        """The events in the log after a position. If there are none: None, or with `empty` an empty page."""
        page = await self._hub.log.read(self._plan_id, after.offset, self._limit, PAGE_BYTES)
        head = page.head
        reason = head.continuity(Position(after.epoch or head.lineage.epoch, after.offset))
        if reason != "ok":
            raise self._gone(reason)
        prefix = event_prefix(self._plan_id, head.lineage.epoch)
        frames = [event_frame(prefix, at, payload) for at, payload in enumerate(page.payloads, page.first)]
        self._position, self._head = Position(head.lineage.epoch, after.offset), head.offset
        return self._answer(head.lineage.epoch, frames) if frames or empty else None

    async def wait(self, seconds: float) -> Response:
        """The first events after the position to arrive, or an empty page."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            result = await wait_for_events(self._hub.registry, self._plan_id, self._position, left, self._hub.leaving)
            if result == "deleted":
                raise Problem(ErrorCode.PLAN_DELETED, "the plan was deleted during the request")
            if result is None:
                break
            if result != "read":
                return self._answer(json.loads(result[-1])["epoch"], result[: self._limit])
            if (response := await self.page(self._position, empty=False)) is not None:
                return response
            await asyncio.sleep(LOOK_AGAIN_S)
        return self._answer(self._position.epoch, ())

    def _answer(self, epoch: str, frames: Sequence[bytes | str]) -> Response:
        offset = self._position.offset + len(frames)
        head = {"plan_id": self._plan_id, "epoch": epoch, "offset": offset, "head": max(self._head, offset)}
        body = b'%b,"events":[%b]}' % (json.dumps(head, separators=(",", ":"))[:-1].encode(), b",".join(frames))  # type: ignore[arg-type]
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    def _gone(self, reason: str) -> Problem:
        snapshot = str(self._request.url_for("get_plan", plan_id=self._plan_id))
        detail = "the events can't be continued from this position; load the snapshot and continue from its position"
        return Problem(ErrorCode.CONTINUITY_LOST, detail, reason=reason, snapshot=snapshot)


def new_event(plan_id: str, at: int | None, given: NewEvent) -> PlanEvent:
    """The event, the `at`-th of several. Raises `InvalidEvent` with the field as the client wrote it."""
    where = "" if at is None else f"events.{at}."
    cls = EVENTS.get(given.type)
    if cls is None:
        raise InvalidEvent(
            f"{where}type", f"unknown event type {given.type!r:.60}; expected one of {', '.join(EVENTS)}"
        )
    if given.data.get("plan_id", plan_id) != plan_id:
        raise InvalidEvent(f"{where}data.plan_id", f"must be {plan_id!r}, the plan in the URL, or left out")
    try:
        event = build(cls, {**given.data, "plan_id": plan_id})
        refuse_reserved(event)
    except InvalidEvent as error:
        raise InvalidEvent(f"{where}data.{error.field}", error.problem) from None
    return event
