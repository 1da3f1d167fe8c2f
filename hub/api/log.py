"""A plan's log over HTTP, as `broadcasters.log.http` uses it: for agents that can't reach the log itself.

Events go through as they are stored. What a publisher says they are is not believed: each is looked at, and what lists
show of the plan is taken from them, not from it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
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
    "AppendRefused",
    "AppendTaken",
    "AppendsTaken",
    "CheckpointKept",
    "LogAbout",
    "LogHead",
    "LogHeads",
    "PlansAsked",
    "event_of",
    "router",
]


def event_of(plan_id: str, payload: bytes) -> PlanEvent:
    """The event of this payload, or an `InvalidEvent` that says what is wrong with it."""
    if len(payload) > MAX_EVENT_BYTES:
        raise InvalidEvent("event", f"{len(payload):,} bytes; at most {MAX_EVENT_BYTES:,} fit")
    envelope = envelope_of(payload)
    if envelope is None:
        raise InvalidEvent("event", 'compact JSON that begins with {"type":…,"id":…,"data":{ is needed')
    said = _parsed(payload)
    data: Any = said.pop("data", None)
    around = {name: value for name, value in envelope._asdict().items() if value is not None}
    if said != around or not isinstance(data, dict):
        raise InvalidEvent("event", "there is more around its data than type and id")
    cls = EVENTS.get(envelope.type)
    if cls is None:
        raise InvalidEvent("type", f"{envelope.type!r} is none that this hub knows: {', '.join(EVENTS)}")
    fields = cast("dict[str, Any]", data)
    if fields.get("plan_id") != plan_id:
        raise InvalidEvent("plan_id", "the event is of another plan than the one it is sent to")
    event = build(cls, fields)
    refuse_reserved(event)
    return event


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        said: Any = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidEvent("event", f"not JSON: {error}") from None
    if to_json(said) != payload:  # written by another library, or with a key twice, of which the last was read
        json.loads(payload, object_pairs_hook=_each_key_once)
    return cast("dict[str, Any]", said)


def _each_key_once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidEvent(key[:128], "this key stands twice in one object")
        seen.add(key)


HEADS_AT_ONCE: Final = 500
APPENDS_AT_ONCE: Final = 256
WATCHES: Final = 100
"""So many plans of a tail cost one unit."""
APPEND_S: Final = 5.0
"""An append that the log keeps waiting for so long must not keep waiting those that came with it."""
PLANS_OF_A_TAIL: Final = 1_000
PAGE_BYTES: Final = 4 * 1024 * 1024


class LogAbout(BaseModel):
    """What log this hub keeps."""

    protocol: int = 1
    durability: str
    """What an append's answer means: memory, second, disk or replicated."""


class AppendTaken(BaseModel):
    """Where the entries stand, in their order; an entry known before stands where it stood."""

    epoch: str
    offsets: list[int]
    checkpoint_due: bool
    """A checkpoint is now the caller's to take."""


class AppendRefused(BaseModel):
    """Why this append was not taken, as far as is known."""

    problem: ProblemBody


class AppendsTaken(BaseModel):
    """One answer for each append, in their order."""

    appends: list[AppendTaken | AppendRefused]


class PlansAsked(BaseModel):
    plans: Annotated[list[PlanId], Field(min_length=1, max_length=PLANS_OF_A_TAIL, examples=[["plan-1", "plan-2"]])]


class LogHead(BaseModel):
    """A plan's log holds the events floor + 1 … offset; `ended` are its older epochs and where each ended."""

    epoch: str
    ended: list[tuple[str, int]]
    offset: int
    floor: int


class LogHeads(BaseModel):
    heads: dict[str, LogHead]


class CheckpointKept(BaseModel):
    kept: bool
    """False: a newer one is kept, or its place is none of this log's."""


class _LogRoute(ApiRoute):
    """Appends weigh as much as a body may elsewhere; what says what they are comes on top."""

    body_bytes: ClassVar[int] = MAX_APPEND_BYTES + MAX_APPEND_EVENTS * 2048


class _CheckpointRoute(ApiRoute):
    body_bytes: ClassVar[int] = 4 * 1024 * 1024


def _lines(description: str, **more: Any) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    return {"description": description, "content": content, **more}


_PAGE: Final = _lines("A line of JSON (a head, `first`, `count`), then `count` events, one a line, as they are stored.")
_TAIL: Final = _lines("A line `standing` with all heads, then lines as watchers are told; an empty one every 10 s.")
_CHECKPOINT: Final = _lines("A line of JSON (`epoch`, `offset`, `window`, `count`: 1), then the snapshot in one line.")
_APPENDS: Final = _lines(
    "For each append a line of JSON (`plan_id`, `producer`, `seq`, `count`, `keys`?) and `count` events, one a line.",
    required=True,
)


def router(hub: Hub) -> APIRouter:
    """The log's routes, for this hub."""
    routes = APIRouter(tags=["log"], generate_unique_id_function=operation_id)
    routes.include_router(_reading(hub))
    routes.include_router(_appending(hub))
    routes.include_router(_checkpoints(hub))
    return routes


def _reading(hub: Hub) -> APIRouter:
    routes = APIRouter(prefix="/api", route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get("/log", responses=problems(401, 403, 422, 429, 503))
    async def about_log(_: Principal = caller) -> LogAbout:
        """What log this hub keeps."""
        return LogAbout(durability=hub.log.durability)

    @routes.post("/heads", responses=problems(400, 401, 403, 413, 415, 422, 429, 503))
    async def read_heads(asked: PlansAsked, request: Request, principal: Principal = caller) -> LogHeads:
        """Where these plans' logs stand (at most 500)."""
        require(principal, "read", *asked.plans)
        if len(asked.plans) > HEADS_AT_ONCE:
            raise Problem(ErrorCode.INVALID_FIELD, f"plans: at most {HEADS_AT_ONCE} at once", field="plans")
        hub.admission.rates.owe(holder_of(hub, request, principal), len(asked.plans) / HEADS_AT_ONCE)
        heads = await hub.log.heads(asked.plans)
        return LogHeads(heads={plan_id: LogHead(**write_head(head)) for plan_id, head in heads.items()})

    @routes.get(
        "/plans/{plan_id}/log", response_class=Response, responses={200: _PAGE, **problems(401, 403, 422, 429, 503)}
    )
    async def read_log(
        plan_id: PlanIdPath,
        request: Request,
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
        max_bytes: Annotated[int, Query(ge=1, le=PAGE_BYTES)] = 1024 * 1024,
        principal: Principal = caller,
    ) -> Response:
        """The events behind an offset (or behind the floor, if that is higher) as they are stored."""
        require(principal, "read", plan_id)
        page = write_page(await hub.log.read(plan_id, after, limit, max_bytes))
        hub.admission.rates.owe(holder_of(hub, request, principal), len(page) / CARRIED_BYTES)
        return Response(page, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @routes.post(
        "/tail",
        response_class=Response,
        responses={200: _TAIL, **problems(400, 401, 403, 413, 415, 422, 429, 503)},
    )
    async def tail_logs(asked: PlansAsked, request: Request, principal: Principal = caller) -> Response:
        """Be told of every append to these plans, until one of the two hangs up."""
        require(principal, "read", *asked.plans)
        hub.admission.rates.owe(holder_of(hub, request, principal), ONE + len(asked.plans) / WATCHES)
        told = _told(hub, request, principal, asked.plans)
        first = await anext(told)
        return StreamedResponse(_continued(first, told), HEADERS, hub.leaving)

    return routes


async def _told(hub: Hub, request: Request, principal: Principal, plan_ids: list[str]) -> AsyncGenerator[bytes]:
    plan_ids = list(dict.fromkeys(check_plan_id(plan_id) for plan_id in plan_ids))
    with hub.admission.guest(peer_of(request), principal, "tail") as admission:
        tail = LogTailStream(hub.log, hub.admission, admission.holder, plan_ids)
        try:
            heads = await tail.watch()
            async for lines in tail.lines(heads, hub.leaving, principal.expires_at):
                yield lines
        finally:
            await tail.close()


async def _continued(first: bytes, told: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Its first step is taken before the answer's status is said."""
    try:
        yield first
        async for lines in told:
            yield lines
    finally:
        await told.aclose()


def _appending(hub: Hub) -> APIRouter:
    routes = APIRouter(prefix="/api", route_class=_LogRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.post("/log", responses=problems(401, 403, 413, 422, 429, 503), openapi_extra={"requestBody": _APPENDS})
    async def append_log(request: Request, principal: Principal = caller) -> AppendsTaken:
        """Append events as they are to be stored. Each append has its own answer, and is made whole or not at all;
        repeating one (same plan, producer and seq) changes nothing.

        A caller that may read takes the checkpoint when it is told that one is due; for any other the hub does."""
        try:
            asked = read_appends(await request.body(), APPENDS_AT_ONCE)
        except Unreadable as error:
            raise Problem(ErrorCode.INVALID_FIELD, str(error), field="body") from None
        answers = await asyncio.gather(*[_answer(hub, principal, one) for one in asked])
        return AppendsTaken(appends=answers)

    return routes


async def _answer(hub: Hub, principal: Principal, asked: AppendRequest) -> AppendTaken | AppendRefused:
    try:
        async with asyncio.timeout(APPEND_S):
            return await _append(hub, principal, asked)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return AppendRefused(problem=ProblemBody.model_validate(problem.body))


async def _append(hub: Hub, principal: Principal, asked: AppendRequest) -> AppendTaken:
    plan_id, entries = check_plan_id(asked.plan_id), asked.entries
    require(principal, "publish", plan_id)
    if len(entries) > MAX_APPEND_EVENTS:
        raise InvalidEvent("count", f"an append has at most {MAX_APPEND_EVENTS} events, not {len(entries)}")
    facts = facts_of([event_of(plan_id, entry.payload) for entry in entries])
    taken = await hub.log.append(plan_id, _producer(principal, asked.producer), asked.seq, entries, facts)
    due = taken.checkpoint_due
    if due and not principal.may("read", plan_id):
        hub.broadcaster.checkpoint_soon(plan_id)
        due = False
    return AppendTaken(epoch=taken.epoch, offsets=list(taken.offsets), checkpoint_due=due)


def _producer(principal: Principal, name: str) -> str:
    """Of a space of the caller's own: nobody can speak under a producer's name that belongs to somebody else."""
    return hashlib.blake2b(f"{principal.subject}\n{name}".encode(), digest_size=12).hexdigest()


def _checkpoints(hub: Hub) -> APIRouter:
    routes = APIRouter(prefix="/api/plans", route_class=_CheckpointRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub, LIGHT))

    @routes.get(
        "/{plan_id}/checkpoint",
        response_class=Response,
        responses={200: _CHECKPOINT, **problems(401, 403, 404, 422, 429, 503)},
    )
    async def read_checkpoint_of(plan_id: PlanIdPath, principal: Principal = caller) -> Response:
        """The newest snapshot kept with the log, to fold on from."""
        require(principal, "read", plan_id)
        kept = await hub.log.checkpoint(plan_id)
        if kept is None:
            raise Problem("no_checkpoint", "no checkpoint is kept of this plan", status=404)
        return Response(write_checkpoint(kept), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @routes.put(
        "/{plan_id}/checkpoint",
        responses=problems(401, 403, 413, 422, 429, 503, 507),
        openapi_extra={"requestBody": {**_CHECKPOINT, "required": True}},
    )
    async def keep_checkpoint(plan_id: PlanIdPath, request: Request, principal: Principal = caller) -> CheckpointKept:
        """Keep a snapshot of the plan at that position, and let the log forget what is more than `window` events
        before it."""
        require(principal, "publish", plan_id)
        try:
            checkpoint, window = read_checkpoint(await request.body())
            checkpoint = _encoded_anew(plan_id, checkpoint)
        except (Unreadable, SnapshotUnreadable) as error:
            raise Problem(ErrorCode.INVALID_FIELD, str(error), field="body") from None
        return CheckpointKept(kept=await hub.log.keep_checkpoint(plan_id, checkpoint, window))

    return routes


def _encoded_anew(plan_id: str, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with this hub's own encoding of its snapshot, so that all readers read the same in it."""
    snapshot = snapshot_in(plan_id, checkpoint)
    if not 0 <= snapshot.weight <= WEIGHT_LIMIT:
        raise SnapshotUnreadable(f"its weight is {snapshot.weight}; expected 0 to {WEIGHT_LIMIT}")
    return Checkpoint(checkpoint.position, encode(snapshot))
