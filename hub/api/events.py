"""Events over HTTP: said by agents in any language, read page by page, or waited for."""

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

__all__ = ["Appended", "EventsPage", "SaidEvent", "SaidEvents", "router"]

PAGE_BYTES: Final = 1024 * 1024
LOOK_AGAIN_S: Final = 0.05
"""Before a poll that was woken and found nothing waits again."""
_HELLO: Final[JsonValue] = {
    "type": "agent_message",
    "data": {"agent_name": "Data Analyst", "content": "Looking at the orders…"},
}
_DONE: Final[JsonValue] = {
    "type": "plan_update",
    "data": {"status": "completed", "content": "There is a recommendation."},
}


class SaidEvent(BaseModel):
    """An event as an agent says it: its type, and its data without the plan's id (or with the right one).

    `docs/schemas` says what the data of each type is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_HELLO, _DONE]})

    type: Annotated[str, Field(json_schema_extra={"enum": list(EVENTS)})]
    data: dict[str, Any]


class SaidEvents(BaseModel):
    """Several events, appended in this order, side by side or not at all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": [_HELLO, _DONE]}]})

    events: Annotated[list[SaidEvent], Field(min_length=1, max_length=MAX_APPEND_EVENTS)]


def _number(said: Any) -> str:
    return "several" if isinstance(said, dict) and "events" in said else "one"


Said = Annotated[
    Annotated[SaidEvent, Tag("one")] | Annotated[SaidEvents, Tag("several")], Discriminator(_number), Body()
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[ -~]+$",
        description="Unique in the plan, for ever.",
        examples=["order-17"],
    ),
]

Traceparent = Annotated[
    str | None, Header(max_length=512, description="W3C trace context: the events carry it as their `trace`.")
]


class Appended(BaseModel):
    """Where the events stand: durable, and on their way to everybody."""

    epoch: str
    offsets: list[int]


class EventsPage(BaseModel):
    """Event frames as the socket sends them, and the place after them: ask for what follows that."""

    plan_id: str
    epoch: str
    offset: int
    head: int
    events: list[dict[str, Any]]


class _PollRoute(ApiRoute):
    """As long as a poll may wait, and the log may take."""

    seconds: ClassVar[float] = 45.0


def router(hub: Hub) -> APIRouter:
    """The events' routes, for this hub."""
    routes = APIRouter(tags=["events"], generate_unique_id_function=operation_id)
    routes.include_router(_publishing(hub))
    routes.include_router(_reading(hub))
    return routes


def _publishing(hub: Hub) -> APIRouter:
    routes = APIRouter(prefix="/api/plans/{plan_id}/events", route_class=ApiRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.post("", status_code=201, responses=problems(400, 401, 403, 413, 415, 422, 429, 503, 507))
    async def publish_events(
        plan_id: PlanIdPath,
        said: Said,
        idempotency_key: IdempotencyKey = None,
        traceparent: Traceparent = None,
        principal: Principal = caller,
    ) -> Appended:
        """Say something about a plan. With an Idempotency-Key, saying it again changes nothing."""
        require(principal, "publish", plan_id)
        events = (
            [_event(plan_id, at, one) for at, one in enumerate(said.events)]
            if isinstance(said, SaidEvents)
            else [_event(plan_id, None, said)]
        )
        # A span of this process's own, if there is one, is nearer than the one that the request came from.
        with within(current_traceparent() or traceparent):
            places = await hub.broadcaster.send_all(plan_id, events, key=idempotency_key, whole=True)
        return Appended(epoch=places[-1].epoch, offsets=[place.offset for place in places])

    return routes


def _reading(hub: Hub) -> APIRouter:
    routes = APIRouter(prefix="/api/plans/{plan_id}/events", route_class=_PollRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get("", response_model=EventsPage, responses=problems(401, 403, 410, 422, 429, 503))
    async def read_events(
        plan_id: PlanIdPath,
        request: Request,
        after: Annotated[int, Query(ge=0, le=2**53, description="The offset of the last event seen.")] = 0,
        epoch: Annotated[str, Query(max_length=64, description="Its epoch; without it, the current one.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
        wait: Annotated[float, Query(ge=0, le=30, description="Seconds to wait for the next event.")] = 0,
        principal: Principal = caller,
    ) -> Response:
        """The events after a place; with `wait`, as soon as there is one. 410: they are gone, take the snapshot."""
        require(principal, "read", plan_id)
        reading = _Reading(hub, request, plan_id, limit)
        response = await reading.page(Position(epoch, after), empty=not wait)
        if response is None:
            with (
                hub.admission.guest(peer_of(request), principal, "poll") as admission,
                hub.admission.shares.following(admission.holder, plan_id),
            ):
                response = await reading.wait(min(wait, principal.lasts(time.time())))
        hub.admission.rates.owe(holder_of(hub, request, principal), len(response.body) / CARRIED_BYTES)
        return response

    return routes


class _Reading:
    """One client's question for what comes after a place."""

    def __init__(self, hub: Hub, request: Request, plan_id: str, limit: int) -> None:
        self._hub = hub
        self._request = request
        self._plan_id = plan_id
        self._limit = limit
        self._place = Position("", 0)
        self._head = 0

    async def page(self, place: Position, *, empty: bool) -> Response | None:
        """What the log holds behind the place; nothing there is None, or an empty page if wished."""
        page = await self._hub.log.read(self._plan_id, place.offset, self._limit, PAGE_BYTES)
        head = page.head
        reason = head.lineage.continuity(
            Position(place.epoch or head.lineage.epoch, place.offset), head.offset, head.floor
        )
        if reason != "ok":
            raise self._gone(reason)
        prefix = event_prefix(self._plan_id, head.lineage.epoch)
        frames = [event_frame(prefix, at, payload) for at, payload in enumerate(page.payloads, page.first)]
        self._place, self._head = Position(head.lineage.epoch, place.offset), head.offset
        return self._answer(head.lineage.epoch, frames) if frames or empty else None

    async def wait(self, seconds: float) -> Response:
        """The first events that come behind the place."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            result = await wait_for_events(self._hub.registry, self._plan_id, self._place, left, self._hub.leaving)
            if result == "deleted":
                raise Problem(ErrorCode.PLAN_DELETED, "the plan was deleted while it was waited for")
            if result is None:
                break
            if result != "read":
                return self._answer(json.loads(result[-1])["epoch"], result[: self._limit])
            if (response := await self.page(self._place, empty=False)) is not None:
                return response
            await asyncio.sleep(LOOK_AGAIN_S)
        return self._answer(self._place.epoch, ())

    def _answer(self, epoch: str, frames: Sequence[bytes | str]) -> Response:
        offset = self._place.offset + len(frames)
        said = {"plan_id": self._plan_id, "epoch": epoch, "offset": offset, "head": max(self._head, offset)}
        body = b'%b,"events":[%b]}' % (json.dumps(said, separators=(",", ":"))[:-1].encode(), b",".join(frames))  # type: ignore[arg-type]
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    def _gone(self, reason: str) -> Problem:
        snapshot = str(self._request.url_for("get_plan", plan_id=self._plan_id))
        detail = "the story can't be continued from there; take the snapshot and go on from its place"
        return Problem(ErrorCode.CONTINUITY_LOST, detail, reason=reason, snapshot=snapshot)


def _event(plan_id: str, at: int | None, said: SaidEvent) -> PlanEvent:
    """The event, or an `InvalidEvent` that names the field as the client wrote it."""
    where = "" if at is None else f"events.{at}."
    cls = EVENTS.get(said.type)
    if cls is None:
        raise InvalidEvent(f"{where}type", f"{said.type!r:.60} is none of {', '.join(EVENTS)}")
    if said.data.get("plan_id", plan_id) != plan_id:
        raise InvalidEvent(f"{where}data.plan_id", "the event is of another plan than the one it is sent to")
    try:
        event = build(cls, {**said.data, "plan_id": plan_id})
        refuse_reserved(event)
    except InvalidEvent as error:
        raise InvalidEvent(f"{where}data.{error.field}", error.problem) from None
    return event
