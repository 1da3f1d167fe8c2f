"""Durable Streams over HTTP: HEAD, catching up, long polls and server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack
from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import TypeAdapter, ValidationError

from broadcasters.errors import LogUnavailable
from broadcasters.events import PlanEvent
from broadcasters.position import Position
from hub.access.principal import Principal
from hub.api.callers import PlanIdPath, caller_of, holder_of, require
from hub.api.events import NewEvent, new_event
from hub.api.middleware import HEAD
from hub.api.problems import Problem
from hub.api.route import etag_matches, operation_id
from hub.config.limits import MIB
from hub.core.rates import CARRIED_BYTES, LIGHT
from hub.node import Hub
from hub.protocols.durable_streams.appending import BatchId, StreamAppender
from hub.protocols.durable_streams.offsets import BEGIN, offset_text, position_in_text
from hub.protocols.durable_streams.reading import Chunk, LogReader
from hub.protocols.route import STREAM_HEADERS, ProtocolRoute
from hub.transports.http_stream import KEEP_ALIVE
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import StreamedResponse
from hub.transports.sse import EndedPlans

__all__ = ["router"]

POLL_S: Final = 25.0
KEEP_ALIVE_S: Final = 15.0
CURSOR_S: Final = 20
"""Responses to polls of the same seconds may be shared by caches."""
_TEXT: Final = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_REASONS: Final[Mapping[int, str]] = {
    400: "The offset, or another parameter, is not valid.",
    401: "The request has no token, or its token is invalid or expired.",
    403: "The token gives no right to this, whether or not the plan exists.",
    404: "There is no such plan.",
    409: "The stream is closed, or an earlier batch of the producer is missing.",
    410: "The log was trimmed, or replaced by another history.",
    413: "The body is too large.",
    415: "The Content-Type is not JSON.",
    422: "The plan's id, or an event, is not valid.",
    429: "A limit was exceeded; retry after `Retry-After` seconds.",
    503: "The log does not respond, or the hub is stopping; retry after `Retry-After` seconds.",
    507: "The log is full.",
}

Live = Literal["long-poll", "sse"]


class _StreamRoute(ProtocolRoute):
    """Reports errors as text, which the client puts into its own errors."""

    seconds: ClassVar[float] = 45.0
    body_bytes: ClassVar[int] = 2 * MIB

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        status = 400 if problem.status_code == 422 and problem.body.get("field") in _PARAMETERS else problem.status_code
        return PlainTextResponse(f"{problem.detail}\n", status, problem.headers)


_PARAMETERS: Final = frozenset(
    {
        "offset",
        "live",
        "cursor",
        "Producer-Id",
        "Producer-Epoch",
        "Producer-Seq",
        "producer-id",
        "producer-epoch",
        "producer-seq",
        "stream-closed",
    }
)


def _texts(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries for a route's `responses` that describe errors as text."""
    return {status: {"description": _REASONS[status], **_TEXT} for status in statuses}


NUMBER: Final = r"^[0-9]{1,15}$"
_EVENT_LIST: Final = TypeAdapter(list[NewEvent])
_EVENTS: Final = {
    "description": "Events, each {type, data}. May be empty with `Stream-Closed: true`.",
    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
}
_APPENDED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A producer's batch was stored.", "content": {}},
    204: {"description": "The events were stored, or the producer's batch was stored before."},
}
_READ: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Frames, as a JSON array or as server-sent events.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "text/event-stream": {},
        },
    },
    204: {"description": "Nothing followed while the poll waited."},
    304: {"description": "Nothing has changed since the given ETag."},
}


def router(hub: Hub) -> APIRouter:
    """The protocol's routes."""
    ended = EndedPlans(hub.log, hub.counts)
    routes = APIRouter()
    routes.routes.extend(_reads(hub, ended).routes)
    routes.routes.extend(_appends(hub, ended).routes)
    return routes


def _router() -> APIRouter:
    return APIRouter(
        prefix="/streams/{plan_id}",
        tags=["protocols"],
        route_class=_StreamRoute,
        generate_unique_id_function=operation_id,
    )


def _reads(hub: Hub, ended: EndedPlans) -> APIRouter:
    """The route that reads a stream."""
    routes = _router()
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get("", response_class=Response, responses={**_READ, **_texts(400, 401, 403, 404, 410, 422, 429, 503)})
    async def read_stream(
        plan_id: PlanIdPath,
        request: Request,
        offset: Annotated[str | None, Query(max_length=96, description="-1 (the default), now, or an offset")] = None,
        live: Annotated[Live | None, Query(description="Wait for events: once, or as server-sent events.")] = None,
        cursor: Annotated[str | None, Query(max_length=32, description="The last response's `Stream-Cursor`.")] = None,
        if_none_match: Annotated[str | None, Header(description="The ETag of the response the client has.")] = None,
        principal: Principal = caller,
    ) -> Response:
        """Read a plan's log as a stream, or follow it."""
        require(principal, "read", plan_id)
        reader = LogReader(hub, ended, plan_id)
        if request.scope.get(HEAD):
            return _empty(await reader.tail(), 200, {"Content-Type": "application/json"})
        if len(request.query_params.getlist("offset")) > 1 or (live and offset is None):
            raise _bad_offset("send one offset, and one if live is sent")
        begin = _begin(offset)
        chunk = await _first(reader, begin)
        stream = _Reading(hub, request, principal, plan_id, reader)
        if live == "sse":
            return stream.events(chunk)
        if live == "long-poll" and not chunk.frames and not chunk.closed:
            return await stream.poll(chunk, cursor)
        if live == "long-poll" and not chunk.frames:
            return _empty(chunk, 204, {"Stream-Cursor": _cursor(cursor)})
        return stream.whole(chunk, offset, cursor if live else None, if_none_match)

    return routes


def _appends(hub: Hub, ended: EndedPlans) -> APIRouter:
    """The route that appends to a stream."""
    routes, appender = _router(), StreamAppender(hub, ended)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.post(
        "",
        response_class=Response,
        responses={**_APPENDED, **_texts(400, 401, 403, 409, 413, 415, 422, 429, 503, 507)},
        openapi_extra={"requestBody": _EVENTS},
    )
    async def append_to_stream(
        plan_id: PlanIdPath,
        request: Request,
        producer: Annotated[_ProducerHeaders, Depends()],
        stream_closed: Annotated[str | None, Header(max_length=16, description="`true` ends the plan.")] = None,
        principal: Principal = caller,
    ) -> Response:
        """Append events to a plan; with `Stream-Closed: true`, end it."""
        require(principal, "publish", plan_id)
        events, closes = await _events_in(request, plan_id), (stream_closed or "").lower() == "true"
        if not events and not closes:
            raise Problem("bad_frame", "the body has no events; expected an array of {type, data}")
        batch = producer.batch
        done = await appender.append(plan_id, principal.subject, batch, events, closes=closes)
        headers = {"Stream-Next-Offset": offset_text(done.position)}
        if done.closed:
            headers["Stream-Closed"] = "true"
        if batch is not None:
            headers |= {"Producer-Epoch": str(batch.epoch), "Producer-Seq": str(batch.seq)}
        return Response(status_code=204 if done.repeated or batch is None else 200, headers=headers)

    return routes


class _ProducerHeaders:
    """The headers of an idempotent producer: all of them, or none."""

    def __init__(
        self,
        producer_id: Annotated[
            str | None, Header(min_length=1, max_length=256, description="The producer's name, of its choice.")
        ] = None,
        producer_epoch: Annotated[str | None, Header(pattern=NUMBER, description="Greater after each restart.")] = None,
        producer_seq: Annotated[
            str | None, Header(pattern=NUMBER, description="The number of the request in its epoch, from 0.")
        ] = None,
    ) -> None:
        self.batch: BatchId | None = None
        if producer_id is not None and producer_epoch is not None and producer_seq is not None:
            self.batch = BatchId(producer_id, int(producer_epoch), int(producer_seq))
        elif producer_id is not None or producer_epoch is not None or producer_seq is not None:
            detail = "send Producer-Id, Producer-Epoch and Producer-Seq together, or none of them"
            raise Problem("invalid_field", detail, status=400)


async def _events_in(request: Request, plan_id: str) -> list[PlanEvent]:
    if not await request.body():
        return []
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            "not_json", f"the Content-Type must be application/json; got {media_type[:60] or 'none'}", status=415
        )
    body: Any = await request.json()
    if body == []:
        raise Problem("bad_frame", "the array is empty; expected events, {type, data}")
    try:
        given = _EVENT_LIST.validate_python(body if isinstance(body, list) else [body])
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise Problem("invalid_field", f"{path}: {first['msg']}; expected an array of {{type, data}}") from None
    return [new_event(plan_id, at, one) for at, one in enumerate(given)]


class _Reading:
    """One request that reads."""

    def __init__(self, hub: Hub, request: Request, principal: Principal, plan_id: str, reader: LogReader) -> None:
        self._hub = hub
        self._request = request
        self._principal = principal
        self._plan_id = plan_id
        self._reader = reader

    def whole(self, chunk: Chunk, offset: str | None, cursor: str | None, if_none_match: str | None) -> Response:
        """The chunk as a response of its own."""
        etag = f'"{offset or -1}:{chunk.next_offset}{":closed" if chunk.closed else ""}"'
        headers = {
            **_headers(chunk),
            "ETag": etag,
            "Cache-Control": "private, no-cache",
            "Stream-Cursor": _cursor(cursor),
        }
        if etag_matches(if_none_match, etag):
            return Response(status_code=304, headers=headers)
        body = chunk.items
        holder = holder_of(self._hub, self._request, self._principal)
        self._hub.admission.rates.owe(holder, len(body) / CARRIED_BYTES)
        return Response(body, media_type="application/json", headers=headers)

    async def poll(self, chunk: Chunk, cursor: str | None) -> Response:
        """What follows the chunk, which is at the head, as soon as something does."""
        hub, principal = self._hub, self._principal
        with (
            hub.admission.guest(peer_of(self._request), principal, "poll") as admission,
            hub.admission.shares.following(admission.holder, self._plan_id),
        ):
            following = await self._reader.wait(chunk.position, min(POLL_S, principal.lasts(time.time())))
        if following is None or not following.frames:
            return _empty(following or chunk, 204, {"Stream-Cursor": _cursor(cursor)})
        return self.whole(following, chunk.next_offset, cursor, None)

    def events(self, chunk: Chunk) -> Response:
        """The chunk and what follows it, as server-sent events."""
        hub = self._hub
        with ExitStack() as stack:
            admission = stack.enter_context(hub.admission.guest(peer_of(self._request), self._principal, "sse"))
            stack.enter_context(hub.admission.shares.following(admission.holder, self._plan_id))
            left = stack.pop_all().close
        return StreamedResponse(self._events(chunk), STREAM_HEADERS, hub.leaving, left)

    async def _events(self, chunk: Chunk) -> AsyncGenerator[bytes]:
        yield _event(chunk)
        while not chunk.closed and not self._hub.leaving.is_set() and (left := self._principal.lasts(time.time())) > 0:
            try:
                following = await self._following(chunk, left)
            except (Problem, LogUnavailable):
                return  # the client requests the next offset, and gets the reason as a status
            yield KEEP_ALIVE if following is None else _event(following)
            chunk = following or chunk

    async def _following(self, chunk: Chunk, left: float) -> Chunk | None:
        if not chunk.at_head:
            return await self._reader.after(chunk.position)
        return await self._reader.wait(chunk.position, min(KEEP_ALIVE_S, left))


async def _first(reader: LogReader, begin: Position | Literal["now"]) -> Chunk:
    if begin == "now":
        return await reader.tail()
    return await (reader.beginning() if begin is BEGIN else reader.after(begin))


def _begin(offset: str | None) -> Position | Literal["now"]:
    if offset is None or offset == "-1":
        return BEGIN
    if offset == "now":
        return "now"
    position = position_in_text(offset)
    if position is None:
        raise _bad_offset(f"expected -1, now, or an offset of this stream; got {offset!r:.60}")
    return position


def _bad_offset(detail: str) -> Problem:
    return Problem("invalid_field", f"offset: {detail}", status=400)


def _headers(chunk: Chunk) -> dict[str, str]:
    up_to_date = {"Stream-Up-To-Date": "true"} if chunk.at_head else {}
    closed = {"Stream-Closed": "true"} if chunk.closed else {}
    return {"Stream-Next-Offset": chunk.next_offset, **up_to_date, **closed}


def _empty(chunk: Chunk, status: int, more: Mapping[str, str]) -> Response:
    return Response(status_code=status, headers={**_headers(chunk), "Cache-Control": "no-store", **more})


def _event(chunk: Chunk) -> bytes:
    control: dict[str, Any] = {"streamNextOffset": offset_text(chunk.position), "streamCursor": _cursor(None)}
    if chunk.at_head:
        control["upToDate"] = True
    if chunk.closed:
        control["streamClosed"] = True
    data = b"event: data\ndata: %b\n\n" % chunk.items if chunk.frames else b""
    return b"%bevent: control\ndata: %b\n\n" % (data, json.dumps(control, separators=(",", ":")).encode())


def _cursor(cursor: str | None) -> str:
    """The cursor of a response: that of its time, but greater than the request's."""
    now = int(time.time()) // CURSOR_S
    given = int(cursor) if cursor is not None and cursor.isascii() and cursor.isdecimal() and len(cursor) < 16 else -1
    return str(max(now, given + 1))
