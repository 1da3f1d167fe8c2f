"""Server-sent events over HTTP: the events of one plan, or of several on one connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from broadcasters.events import check_plan_id
from hub.access.principal import Principal
from hub.api.callers import PlanIdPath, caller_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.subscriber import Since
from hub.node import Hub
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import StreamedResponse
from hub.transports.sse import HEADERS, BadCursor, EndedPlans, EventStreamClient, positions_of
from hub.wire.codes import ErrorCode

__all__ = ["router"]

PLANS_AT_MOST: Final = 50
"""The cursor of more plans would exceed the header size that proxies allow."""

SinceQuery = Annotated[
    str | None,
    Query(
        max_length=8192,
        description="now, start, snapshot, or the id of the last event",
        examples=["snapshot"],
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID", max_length=8192, description="The id of the last event received, instead of `since`."
    ),
]

_STARTS: Final[Mapping[str, Since]] = {"now": "now", "start": "start", "snapshot": "snapshot"}
_STREAM: Final[dict[str, Any]] = {
    "description": "Frames as on the WebSocket, each the data of one event.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def router(hub: Hub) -> APIRouter:
    """The routes of event streams."""
    routes = APIRouter(prefix="/api", tags=["streams"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    ended = EndedPlans(hub.log, hub.counts)
    responses = {200: _STREAM, **problems(401, 403, 422, 429, 503)}

    @routes.get("/plans/{plan_id}/stream", response_class=Response, responses=responses)
    async def stream_plan(
        plan_id: PlanIdPath,
        request: Request,
        since: SinceQuery = None,
        last_event_id: LastEventId = None,
        principal: Principal = caller,
    ) -> Response:
        """Follow a plan. The stream ends, with an `end` event, when the plan does."""
        return _open(hub, ended, request, principal, _since([plan_id], since, last_event_id))

    @routes.get("/stream", response_class=Response, responses=responses)
    async def stream_plans(
        request: Request,
        plan: Annotated[
            list[str],
            Query(
                min_length=1,
                max_length=PLANS_AT_MOST,
                examples=[["plan-1", "plan-2"]],
                description="A plan; repeatable.",
            ),
        ],
        since: SinceQuery = None,
        last_event_id: LastEventId = None,
        principal: Principal = caller,
    ) -> Response:
        """Follow several plans on one connection."""
        plan_ids = list(dict.fromkeys(check_plan_id(plan_id) for plan_id in plan))
        return _open(hub, ended, request, principal, _since(plan_ids, since, last_event_id))

    return routes


def _open(
    hub: Hub, ended: EndedPlans, request: Request, principal: Principal, plans: dict[str, Since | None]
) -> Response:
    require(principal, "read", *plans)
    client = hub.admission.admit_principal(peer_of(request), principal)
    stream = EventStreamClient(hub.admission, client, plans, ended)
    return StreamedResponse(stream.messages(), HEADERS, stream.outlet.ended, stream.leave)


def _since(plan_ids: Sequence[str], since: str | None, last_event_id: str | None) -> dict[str, Since | None]:
    """The positions to begin at. Last-Event-ID overrides `since`, which stays in the URL when a browser reconnects."""
    begin = _STARTS.get(since or "")
    cursor = last_event_id or (since if begin is None else None)
    if cursor is None:
        return dict.fromkeys(plan_ids, begin)
    try:
        return positions_of(plan_ids, cursor, begin)
    except BadCursor as error:
        raise Problem(ErrorCode.INVALID_FIELD, f"since: {error}", field="since") from None
