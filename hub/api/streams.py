"""Server-sent events over HTTP: one plan, or several on one line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from broadcasters.checkpointing import snapshot_of
from broadcasters.events import check_plan_id
from hub.api.callers import PlanIdPath, caller_of, require
from hub.api.problems import STATUS, Problem, ProblemRoute, problems
from hub.core.principal import Principal
from hub.node import Hub
from hub.transports.door import Refused
from hub.transports.sse import HEADERS, BadCursor, Since, places_of, stream
from hub.transports.visitors import visitor_of
from hub.wire.codes import ErrorCode

__all__ = ["router"]

PLANS_AT_MOST: Final = 50
"""More don't fit into a cursor that proxies let through as a header."""

SinceQuery = Annotated[str | None, Query(max_length=8192, description="now, start, snapshot, or a cursor")]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=8192)]

_STREAM: Final[dict[str, Any]] = {
    "description": "Frames as the socket sends them, one an event.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def router(hub: Hub) -> APIRouter:
    """The streams' routes, for this hub."""
    routes = APIRouter(prefix="/api", tags=["streams"], route_class=ProblemRoute)
    caller: Principal = Depends(caller_of(hub))
    responses = {200: _STREAM, **problems(401, 403, 422, 429, 503)}

    @routes.get("/plans/{plan_id}/stream", response_class=StreamingResponse, responses=responses)
    async def stream_plan(
        plan_id: PlanIdPath,
        request: Request,
        since: SinceQuery = None,
        last_event_id: LastEventId = None,
        principal: Principal = caller,
    ) -> StreamingResponse:
        """Watch a plan. The stream ends, with an `end` event, when the plan does."""
        return await _open(hub, request, principal, [plan_id], last_event_id or since)

    @routes.get("/stream", response_class=StreamingResponse, responses=responses)
    async def stream_plans(
        request: Request,
        plan: Annotated[list[str], Query(min_length=1, max_length=PLANS_AT_MOST)],
        since: SinceQuery = None,
        last_event_id: LastEventId = None,
        principal: Principal = caller,
    ) -> StreamingResponse:
        """Watch several plans on one line."""
        plan_ids = list(dict.fromkeys(check_plan_id(plan_id) for plan_id in plan))
        return await _open(hub, request, principal, plan_ids, last_event_id or since)

    return routes


async def _open(
    hub: Hub, request: Request, principal: Principal, plan_ids: Sequence[str], cursor: str | None
) -> StreamingResponse:
    for plan_id in plan_ids:
        require(principal, "read", plan_id)
    plans = _since(plan_ids, cursor)
    told = stream(hub.door, visitor_of(request), plans, await _ended(hub, plans))
    try:
        first = await anext(told)
    except Refused as refusal:
        status = STATUS[ErrorCode.TOO_MANY_REQUESTS] if refusal.code != 4504 else 403
        raise Problem("refused", refusal.reason, status=status) from None
    return StreamingResponse(_from(first, told), headers=HEADERS)


async def _from(first: bytes, told: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        yield first
        async for chunk in told:
            yield chunk
    finally:
        await told.aclose()


def _since(plan_ids: Sequence[str], cursor: str | None) -> dict[str, Since | None]:
    if cursor is None or cursor in ("now", "start", "snapshot"):
        return dict.fromkeys(plan_ids, cursor)
    try:
        return dict(places_of(plan_ids, cursor))
    except BadCursor as error:
        raise Problem(ErrorCode.INVALID_FIELD, f"since: {error}", field="since") from None


async def _ended(hub: Hub, plans: dict[str, Since | None]) -> frozenset[str]:
    """Plans that are over and have nothing more to tell from there on."""
    ended: set[str] = set()
    for plan_id, since in plans.items():
        if since in ("start", "snapshot"):
            continue
        snapshot, head = await snapshot_of(hub.log, plan_id)
        at_head = since in (None, "now") or since == {"epoch": head.lineage.epoch, "offset": head.offset}
        if snapshot.ended_at is not None and at_head:
            ended.add(plan_id)
    return frozenset(ended)
