"""Plans over HTTP: lists, snapshots, starting, signals, answers, tickets."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, JsonValue

from broadcasters.checkpointing import snapshot_of
from broadcasters.events import PLAN_ID, PlanStatus, timestamp
from broadcasters.log.contract import PlanEntry
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, encode
from hub.api.callers import PlanIdPath, caller_of, require
from hub.api.problems import Problem, ProblemRoute, problems
from hub.core.principal import Principal
from hub.engine_port import EnginePort, UnfitInput, UnknownTemplate
from hub.node import Hub
from hub.wire.codes import ErrorCode

__all__ = ["etag", "router"]

PAGES_AT_MOST: Final = 20
"""A list reads this many pages of the index for one answer; those that may be seen can be few among many."""


class PlanSummary(BaseModel):
    """A plan as a list shows it."""

    plan_id: str
    status: str
    title: str | None
    progress: float | None
    owner: str | None
    labels: list[str]
    created_at: str
    updated_at: str
    epoch: str
    offset: int

    @classmethod
    def of(cls, plan: PlanEntry) -> PlanSummary:
        return cls(
            plan_id=plan.plan_id,
            status=plan.status,
            title=plan.title,
            progress=plan.progress,
            owner=plan.owner,
            labels=list(plan.labels),
            created_at=plan.created_at,
            updated_at=plan.updated_at,
            epoch=plan.head.epoch,
            offset=plan.head.offset,
        )


class PlanList(BaseModel):
    """Plans, the last active first. `cursor` asks for those that follow; null: there are none."""

    plans: list[PlanSummary]
    cursor: str | None


class StartPlan(BaseModel):
    """What to run. Without a plan_id, one is made up; with one, starting again changes nothing."""

    template: Annotated[str, Field(min_length=1, max_length=128)]
    input: dict[str, JsonValue] = Field(default_factory=dict)
    plan_id: Annotated[str, Field(pattern=PLAN_ID)] | None = None


class PlanStarted(BaseModel):
    """The plan is on its way; watch it at `url`."""

    plan_id: str
    url: str


class Template(BaseModel):
    """Something that can be started."""

    name: str
    title: str
    about: str
    input_schema: dict[str, Any]


class SignalPlan(BaseModel):
    signal: Literal["cancel", "pause", "resume"]


class SignalTaken(BaseModel):
    """The signal reached whoever runs the plan; the plan itself says when it obeyed."""

    plan_id: str
    signal: str


class GiveAnswer(BaseModel):
    answer: JsonValue = None


class Place(BaseModel):
    """Where something stands in the plan's log."""

    epoch: str
    offset: int


class TicketIssued(BaseModel):
    """Good once, until it expires: `?ticket=` of a socket or a stream."""

    ticket: str
    expires_at: str


def etag(place: Position) -> str:
    """A plan's state as an entity tag: its place says it all."""
    return f'"{place.epoch}:{place.offset}"'


def router(hub: Hub) -> APIRouter:
    """The plans' routes, for this hub."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ProblemRoute)
    caller: Principal = Depends(caller_of(hub))

    @routes.get("/plans", responses=problems(401, 422, 503))
    async def list_plans(
        owner: Annotated[str | None, Query(max_length=256)] = None,
        label: Annotated[str | None, Query(max_length=256)] = None,
        status: PlanStatus | None = None,
        cursor: Annotated[str | None, Query(max_length=512)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        principal: Principal = caller,
    ) -> PlanList:
        """The plans that the caller may read, the last active first."""
        found: list[PlanSummary] = []
        for _ in range(PAGES_AT_MOST):
            page = await hub.log.plans(owner=owner, label=label, cursor=cursor, limit=limit - len(found))
            found += [
                PlanSummary.of(plan)
                for plan in page.plans
                if principal.may("read", plan.plan_id) and status in (None, plan.status)
            ]
            cursor = page.cursor
            if cursor is None or len(found) == limit:
                break
        return PlanList(plans=found, cursor=cursor)

    @routes.get("/templates", responses=problems(401))
    async def list_templates(_: Principal = caller) -> list[Template]:
        """What can be started here."""
        found = hub.engine.templates() if hub.engine is not None else ()
        return [
            Template(name=one.name, title=one.title, about=one.about, input_schema=dict(one.input_schema))
            for one in found
        ]

    @routes.post("/plans", status_code=202, responses=problems(401, 403, 404, 409, 422, 503))
    async def start_plan(start: StartPlan, request: Request, principal: Principal = caller) -> PlanStarted:
        """Start a plan of a template."""
        plan_id = start.plan_id or f"plan-{secrets.token_hex(8)}"
        require(principal, "start", plan_id)
        await _start(_engine(hub), start, plan_id, principal.subject)
        return PlanStarted(plan_id=plan_id, url=str(request.url_for("get_plan", plan_id=plan_id)))

    @routes.get("/plans/{plan_id}", responses={304: {"description": "Unchanged."}, **problems(401, 403, 404, 422, 503)})
    async def get_plan(plan_id: PlanIdPath, request: Request, principal: Principal = caller) -> Snapshot:
        """The plan folded to its newest event; the ETag is its place in the log."""
        require(principal, "read", plan_id)
        head = await hub.log.head(plan_id)
        if head.offset == 0:
            raise Problem("no_such_plan", "nothing was said about this plan yet", status=404)
        if etag(head.position) in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": etag(head.position)})  # type: ignore[return-value]
        snapshot, head = await snapshot_of(hub.log, plan_id)
        headers = {"ETag": etag(head.position), "Cache-Control": "no-cache"}
        return Response(encode(snapshot), media_type="application/json", headers=headers)  # type: ignore[return-value]

    @routes.delete("/plans/{plan_id}", status_code=204, responses=problems(401, 403, 404, 422, 503))
    async def delete_plan(plan_id: PlanIdPath, principal: Principal = caller) -> None:
        """Forget the plan; whoever watches it is told."""
        require(principal, "publish", plan_id)
        if not await hub.log.delete(plan_id):
            raise Problem("no_such_plan", "there is no such plan", status=404)

    @routes.post("/plans/{plan_id}/signals", status_code=202, responses=problems(401, 403, 409, 422, 503))
    async def signal_plan(plan_id: PlanIdPath, ask: SignalPlan, principal: Principal = caller) -> SignalTaken:
        """Ask the plan to stop, to pause or to go on."""
        require(principal, "signal", plan_id)
        await hub.send_signal(plan_id, ask.signal, principal.subject)
        return SignalTaken(plan_id=plan_id, signal=ask.signal)

    @routes.post("/plans/{plan_id}/inputs/{request_id}", responses=problems(401, 403, 404, 409, 410, 422, 503))
    async def answer_request(
        plan_id: PlanIdPath, request_id: str, given: GiveAnswer, principal: Principal = caller
    ) -> Place:
        """Answer what the plan asks; the first answer wins, and 409 says whose that was."""
        require(principal, "input", plan_id)
        place = await hub.answers.give(plan_id, request_id, given.answer, principal.subject)
        return Place(epoch=place.epoch, offset=place.offset)

    @routes.post("/tickets", status_code=201, responses=problems(401, 422))
    async def issue_ticket(principal: Principal = caller) -> TicketIssued:
        """A ticket for a browser API that can set no header; it stands for the caller, once, for half a minute."""
        ticket = hub.tickets.issue(principal, time.time())
        expires_at = timestamp(datetime.fromtimestamp(ticket.expires_at, UTC))
        return TicketIssued(ticket=ticket.ticket, expires_at=expires_at)

    return routes


def _engine(hub: Hub) -> EnginePort:
    if hub.engine is None:
        raise Problem(ErrorCode.NOT_SUPPORTED, "no engine runs here: this hub shows plans, it starts none")
    return hub.engine


async def _start(engine: EnginePort, start: StartPlan, plan_id: str, owner: str) -> None:
    try:
        await engine.start(start.template, start.input, plan_id, owner)
    except UnknownTemplate as error:
        raise Problem("unknown_template", str(error), status=404) from None
    except UnfitInput as error:
        raise Problem(ErrorCode.INVALID_FIELD, str(error), field="input") from None
