"""The hub's log over HTTP, for `broadcasters.log.http`: for agents that can't reach the log itself.

Events are passed on as they are stored. Each is validated, and what lists show of a plan is taken from its events, since
publishers are not trusted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, ClassVar, Final, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from broadcasters.checkpointing import snapshot_in
from broadcasters.errors import InvalidEvent, SnapshotUnreadable
from broadcasters.event_bytes import envelope_of
from broadcasters.events import EVENTS, MAX_EVENT_BYTES, PlanEvent, PlanId, build, check_plan_id
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Checkpoint, facts_of
from broadcasters.log.http.lines import (
    MEDIA_TYPE,
    AppendRequest,
    Unreadable,
    read_appends,
    read_checkpoint,
    write_checkpoint,
    write_head,
    write_page,
)
from broadcasters.snapshot import encode
from broadcasters.snapshot_draft import WEIGHT_LIMIT
from broadcasters.usage_fold import plus_reported
from hub.access.principal import Principal, refuse_reserved
from hub.api.callers import PlanIdPath, caller_of, holder_of, require
from hub.api.problems import Problem, ProblemBody, problem_of, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import CARRIED_BYTES, LIGHT, ONE
from hub.node import Hub
from hub.transports.log_tail import HEADERS, LogTailStream
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import StreamedResponse
from hub.wire.codes import ErrorCode

__all__ = [
    "AppendAccepted",
    "AppendRefused",
    "AppendResults",
    "CheckpointKept",
    "LogHead",
    "LogHeads",
    "LogInfo",
    "PlanIds",
    "event_of",
    "router",
]


HEADS_AT_ONCE: Final = 500
APPENDS_AT_ONCE: Final = 256
PLANS_PER_UNIT: Final = 100
"""Plans of a tail that are charged as one request."""
APPEND_S: Final = 5.0
"""Seconds for one append, so that a slow plan does not delay the others of its request."""
PLANS_OF_A_TAIL: Final = 1_000
PAGE_BYTES: Final = 4 * 1024 * 1024


class LogInfo(BaseModel):
    """The log behind this hub."""

    protocol: int = 1
    durability: str
    """How durable an acknowledged append is: memory, second, disk or replicated."""


class AppendAccepted(BaseModel):
    """The entries' offsets, in order. An entry that was already stored has its old offset."""

    epoch: str
    offsets: list[int]
    checkpoint_due: bool
    """The caller should now take a checkpoint."""


class AppendRefused(BaseModel):
    """Why this append failed."""

    problem: ProblemBody


class AppendResults(BaseModel):
    """One result for each append, in order."""

    appends: list[AppendAccepted | AppendRefused]


class PlanIds(BaseModel):
    plans: Annotated[list[PlanId], Field(min_length=1, max_length=PLANS_OF_A_TAIL, examples=[["plan-1", "plan-2"]])]


class LogHead(BaseModel):
    """The plan's log has events `floor` + 1 to `offset`. `ended` lists earlier epochs with the offset each ended at."""

    epoch: str
    ended: list[tuple[str, int]]
    offset: int
    floor: int


class LogHeads(BaseModel):
    heads: dict[str, LogHead]


class CheckpointKept(BaseModel):
    kept: bool
    """False: a newer one is kept, or its position is not in this log's lineage."""


class _LogRoute(ApiRoute):
    """A route whose body may have the size of an append plus its description."""

    body_bytes: ClassVar[int] = MAX_APPEND_BYTES + MAX_APPEND_EVENTS * 2048


class _CheckpointRoute(ApiRoute):
    body_bytes: ClassVar[int] = 4 * 1024 * 1024


def _lines(description: str, **more: Any) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    return {"description": description, "content": content, **more}


_PAGE: Final = _lines(
    "A line of JSON (a head, `first`, `count`), then `count` events, one per line, as they are stored."
)
_TAIL: Final = _lines("A line `standing` with all heads, then a line for each notification; an empty line every 10 s.")
_CHECKPOINT: Final = _lines("A line of JSON (`epoch`, `offset`, `window`, `count`: 1), then the snapshot in one line.")
_APPENDS: Final = _lines(
    "For each append, a line of JSON (`plan_id`, `producer`, `seq`, `count`, `keys`?) and `count` events, one per line.",
    required=True,
)


def router(hub: Hub) -> APIRouter:
    """The routes of the log."""
    routes = APIRouter()
    for part in (_reading, _appending, _checkpoints):
        routes.routes.extend(part(hub).routes)
    return routes


def _router(prefix: str, route_class: type[ApiRoute]) -> APIRouter:
    return APIRouter(prefix=prefix, tags=["log"], route_class=route_class, generate_unique_id_function=operation_id)


def _reading(hub: Hub) -> APIRouter:
    routes = _router("/api", ApiRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get("/log", responses=problems(401, 403, 422, 429, 503))
    async def about_log(_: Principal = caller) -> LogInfo:
        """The log behind this hub, and its durability."""
        return LogInfo(durability=hub.log.durability)

    @routes.post("/heads", responses=problems(400, 401, 403, 413, 415, 422, 429, 503))
    async def read_heads(body: PlanIds, request: Request, principal: Principal = caller) -> LogHeads:
        """The heads of these plans' logs (at most 500)."""
        require(principal, "read", *body.plans)
        if len(body.plans) > HEADS_AT_ONCE:
            raise Problem(
                ErrorCode.INVALID_FIELD,
                f"plans: at most {HEADS_AT_ONCE} at once",
                field="plans",
            )
        hub.admission.rates.owe(holder_of(hub, request, principal), len(body.plans) / HEADS_AT_ONCE)
        heads = await hub.log.heads(body.plans)
        return LogHeads(heads={plan_id: LogHead(**write_head(head)) for plan_id, head in heads.items()})

    @routes.get(
        "/plans/{plan_id}/log", response_class=Response, responses={200: _PAGE, **problems(401, 403, 422, 429, 503)}
    )
    async def read_log(
        plan_id: PlanIdPath,
        request: Request,
        after: Annotated[int, Query(ge=0, le=2**53, description="The offset of the last event received.")] = 0,
        limit: Annotated[int, Query(ge=1, le=1000, description="The maximum number of events.")] = 500,
        max_bytes: Annotated[
            int,
            Query(
                ge=1, le=PAGE_BYTES, description="The maximum size of the events in bytes; one event is always sent."
            ),
        ] = 1024 * 1024,
        principal: Principal = caller,
    ) -> Response:
        """The events after an offset (or after the floor, if that is higher) as they are stored."""
        require(principal, "read", plan_id)
        page = write_page(await hub.log.read(plan_id, after, limit, max_bytes))
        hub.admission.rates.owe(holder_of(hub, request, principal), len(page) / CARRIED_BYTES)
        return Response(page, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @routes.post(
        "/tail",
        response_class=Response,
        responses={200: _TAIL, **problems(400, 401, 403, 413, 415, 422, 429, 503)},
    )
    async def tail_logs(body: PlanIds, request: Request, principal: Principal = caller) -> Response:
        """Follow these plans: every append is sent until the client or the hub closes the connection."""
        require(principal, "read", *body.plans)
        hub.admission.rates.owe(holder_of(hub, request, principal), ONE + len(body.plans) / PLANS_PER_UNIT)
        lines = _tail_lines(hub, request, principal, body.plans)
        first = await anext(lines)
        return StreamedResponse(_resumed(first, lines), HEADERS, hub.leaving)

    return routes


async def _tail_lines(hub: Hub, request: Request, principal: Principal, plan_ids: list[str]) -> AsyncGenerator[bytes]:
    plan_ids = list(dict.fromkeys(check_plan_id(plan_id) for plan_id in plan_ids))
    with hub.admission.guest(peer_of(request), principal, "tail") as admission:
        tail = LogTailStream(hub.log, hub.admission, admission.holder, plan_ids)
        try:
            heads = await tail.watch()
            async with aclosing(tail.lines(heads, hub.leaving, principal.expires_at)) as pieces:
                async for lines in pieces:
                    yield lines
        finally:
            await tail.close()


async def _resumed(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The generator after its first item, which was awaited so that a failure could still set the response's status."""
    try:
        yield first
        async for lines in rest:
            yield lines
    finally:
        await rest.aclose()


def _appending(hub: Hub) -> APIRouter:
    routes = _router("/api", _LogRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.post("/log", responses=problems(401, 403, 413, 422, 429, 503), openapi_extra={"requestBody": _APPENDS})
    async def append_log(request: Request, principal: Principal = caller) -> AppendResults:
        """Append events in their stored form. Each append is atomic and has its own result; repeating one (same plan,
        producer and seq) changes nothing.

        A caller with the right to read takes a checkpoint when one is due; for other callers the hub does."""
        try:
            appends = read_appends(await request.body(), APPENDS_AT_ONCE)
        except Unreadable as error:
            raise Problem(ErrorCode.INVALID_FIELD, str(error), field="body") from None
        results = await asyncio.gather(*[_result(hub, principal, one) for one in appends])
        return AppendResults(appends=results)

    return routes


async def _result(hub: Hub, principal: Principal, append: AppendRequest) -> AppendAccepted | AppendRefused:
    try:
        async with asyncio.timeout(APPEND_S):
            return await _append(hub, principal, append)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return AppendRefused(problem=ProblemBody.model_validate(problem.body))


async def _append(hub: Hub, principal: Principal, append: AppendRequest) -> AppendAccepted:
    plan_id, entries = check_plan_id(append.plan_id), append.entries
    require(principal, "publish", plan_id)
    if len(entries) > MAX_APPEND_EVENTS:
        raise InvalidEvent("count", f"an append must have at most {MAX_APPEND_EVENTS} events; got {len(entries)}")
    events = [event_of(plan_id, entry.payload) for entry in entries]
    taken = await hub.log.append(plan_id, _producer(principal, append.producer), append.seq, entries, facts_of(events))
    for event, offset in zip(events, taken.offsets, strict=True):
        if offset:  # 0: a repeated append of long ago
            hub.counts.usage = plus_reported(hub.counts.usage, event)
    due = taken.checkpoint_due
    if due and not principal.may("read", plan_id):
        hub.broadcaster.checkpoint_soon(plan_id)
        due = False
    return AppendAccepted(epoch=taken.epoch, offsets=list(taken.offsets), checkpoint_due=due)


def event_of(plan_id: str, payload: bytes) -> PlanEvent:
    """Parse and validate a stored event. Raises `InvalidEvent`."""
    if len(payload) > MAX_EVENT_BYTES:
        raise InvalidEvent("event", f"an event must have at most {MAX_EVENT_BYTES:,} bytes; got {len(payload):,}")
    envelope = envelope_of(payload)
    if envelope is None:
        raise InvalidEvent("event", 'expected compact JSON that begins with {"type":…,"id":…,"data":{')
    parsed = _parsed(payload)
    data: Any = parsed.pop("data", None)
    envelope_fields = {name: value for name, value in envelope._asdict().items() if value is not None}
    if parsed != envelope_fields or not isinstance(data, dict):
        raise InvalidEvent("event", "expected only type, id, trace and data")
    cls = EVENTS.get(envelope.type)
    if cls is None:
        raise InvalidEvent("type", f"unknown event type {envelope.type!r}; expected one of {', '.join(EVENTS)}")
    fields = cast("dict[str, Any]", data)
    if fields.get("plan_id") != plan_id:
        raise InvalidEvent("plan_id", f"must be {plan_id!r}, the plan of the append")
    event = build(cls, fields)
    refuse_reserved(event)
    return event


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        parsed: Any = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidEvent("event", f"not valid JSON: {error}") from None
    if to_json(parsed) != payload:  # written by another library, or with a duplicate key, of which the last was read
        json.loads(payload, object_pairs_hook=_unique_keys)
    return cast("dict[str, Any]", parsed)


def _unique_keys(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidEvent(key[:128], "duplicate key in a JSON object")
        seen.add(key)


def _producer(principal: Principal, name: str) -> str:
    """The producer's name in a namespace of the caller, so that no caller can use another's producer."""
    return hashlib.blake2b(f"{principal.subject}\n{name}".encode(), digest_size=12).hexdigest()


def _checkpoints(hub: Hub) -> APIRouter:
    routes = _router("/api/plans", _CheckpointRoute)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get(
        "/{plan_id}/checkpoint",
        response_class=Response,
        responses={200: _CHECKPOINT, **problems(401, 403, 404, 422, 429, 503)},
    )
    async def read_checkpoint_of(plan_id: PlanIdPath, principal: Principal = caller) -> Response:
        """The newest checkpoint stored in the log, to fold later events into."""
        require(principal, "read", plan_id)
        kept = await hub.log.checkpoint(plan_id)
        if kept is None:
            raise Problem("no_checkpoint", "this plan has no checkpoint yet", status=404)
        return Response(write_checkpoint(kept), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @routes.put(
        "/{plan_id}/checkpoint",
        responses=problems(401, 403, 413, 422, 429, 503, 507),
        openapi_extra={"requestBody": {**_CHECKPOINT, "required": True}},
    )
    async def keep_checkpoint(plan_id: PlanIdPath, request: Request, principal: Principal = caller) -> CheckpointKept:
        """Store a checkpoint of the plan, and let the log trim events more than `window` before it."""
        require(principal, "publish", plan_id)
        try:
            checkpoint, window = read_checkpoint(await request.body())
            checkpoint = _re_encoded(plan_id, checkpoint)
        except (Unreadable, SnapshotUnreadable) as error:
            raise Problem(ErrorCode.INVALID_FIELD, str(error), field="body") from None
        return CheckpointKept(kept=await hub.log.keep_checkpoint(plan_id, checkpoint, window))

    return routes


def _re_encoded(plan_id: str, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with its snapshot in this hub's own encoding, so that all readers decode it alike."""
    snapshot = snapshot_in(plan_id, checkpoint)
    if not 0 <= snapshot.weight <= WEIGHT_LIMIT:
        raise SnapshotUnreadable(f"its weight is {snapshot.weight}; expected 0 to {WEIGHT_LIMIT}")
    return Checkpoint(checkpoint.position, encode(snapshot))
