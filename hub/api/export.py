"""A plan as a file: its events as JSON lines, or a document in Markdown."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from broadcasters.checkpointing import snapshot_of
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from hub.access.principal import Principal
from hub.api.callers import PlanIdPath, caller_of, holder_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import CARRIED_BYTES
from hub.core.shares import Holder
from hub.node import Hub
from hub.terminal.plan_document import markdown
from hub.wire.frames import event_line, snapshot_line

__all__ = ["lines_of", "router"]

_FILE: Final[dict[str, Any]] = {
    "description": "The file.",
    "content": {
        "application/x-ndjson": {"schema": {"type": "string"}},
        "text/markdown": {"schema": {"type": "string"}},
    },
}


def router(hub: Hub) -> APIRouter:
    """The route of exports."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))

    @routes.get(
        "/plans/{plan_id}/export",
        response_class=Response,
        responses={200: _FILE, **problems(401, 403, 404, 422, 429, 503)},
    )
    async def export_plan(
        plan_id: PlanIdPath,
        request: Request,
        format: Annotated[  # noqa: A002 - the name in the URL
            Literal["jsonl", "markdown"], Query(description="All events, or a document for people.")
        ] = "jsonl",
        principal: Principal = caller,
    ) -> Response:
        """Download the plan as it is now. The JSON lines are those that `plancast publish` reads."""
        require(principal, "read", plan_id)
        parts = _document(hub.log, plan_id) if format == "markdown" else lines_of(hub.log, plan_id)
        first = await anext(parts, None)  # here, so that an unavailable log is an error of this request
        if first is None:
            raise Problem("no_such_plan", "there is no such plan; its first event creates it", status=404)
        media_type, suffix = ("text/markdown", "md") if format == "markdown" else ("application/x-ndjson", "jsonl")
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{plan_id}.{suffix}"'}
        charged = _charged(hub, holder_of(hub, request, principal), first, parts)
        return StreamingResponse(charged, media_type=media_type, headers=headers)

    return routes


async def _charged(hub: Hub, holder: Holder, first: bytes, others: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The parts of a file. What they cost counts against the rates of later requests."""
    async with aclosing(others):
        yield first
        hub.admission.rates.owe(holder, len(first) / CARRIED_BYTES)
        async for part in others:
            yield part
            hub.admission.rates.owe(holder, len(part) / CARRIED_BYTES)


async def _document(log: PlanLog, plan_id: str) -> AsyncGenerator[bytes]:
    """The document of a plan for people, as one part; none if there is no such plan."""
    plan, head = await snapshot_of(log, plan_id)
    if head.offset:
        yield markdown(plan).encode()


async def lines_of(log: PlanLog, plan_id: str) -> AsyncGenerator[bytes]:
    """The plan's events so far, a page at a time. A snapshot stands for those that were trimmed."""
    end = (await log.head(plan_id)).offset
    after = 0
    while after < end:
        page = await log.read(plan_id, after)
        if page.first > after + 1 and (checkpoint := await log.checkpoint(plan_id)) is not None:
            yield snapshot_line(plan_id, checkpoint.position, checkpoint.snapshot)
            after = checkpoint.position.offset
            continue
        if not page.payloads:
            return
        epoch = page.head.lineage.epoch
        yield b"".join(
            event_line(Position(epoch, offset), payload) for offset, payload in enumerate(page.payloads, page.first)
        )
        after = page.first + len(page.payloads) - 1
