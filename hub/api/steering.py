"""Starting and signalling plans, and answering their input requests, over HTTP."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from broadcasters.events import PLAN_ID
from hub.access.principal import Principal
from hub.api.callers import PlanIdPath, caller_of, require
from hub.api.problems import problems
from hub.api.route import ApiRoute, operation_id
from hub.core.effects import SendSignal, SubmitAnswer
from hub.core.rates import ANSWER, START
from hub.node import Hub

__all__ = [
    "AnswerPosition",
    "GiveAnswer",
    "PlanStarted",
    "SignalPlan",
    "SignalSent",
    "StartPlan",
    "TemplateSummary",
    "router",
]


class StartPlan(BaseModel):
    """The plan to start. Without a plan_id, one is generated; with one, repeating the request changes nothing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"template": "exhibition", "input": {"theme": "Rivers"}, "plan_id": "plan-1"}]}
    )

    template: Annotated[str, Field(min_length=1, max_length=128)]
    input: dict[str, JsonValue] = Field(default_factory=dict)
    plan_id: Annotated[str, Field(pattern=PLAN_ID)] | None = None


class PlanStarted(BaseModel):
    """The plan was started; `url` has its snapshot."""

    plan_id: str
    url: str


class TemplateSummary(BaseModel):
    """A template of plans that can be started."""

    name: str
    title: str
    about: str
    input_schema: dict[str, Any]


class SignalPlan(BaseModel):
    """The signal to send to the plan's engine."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"signal": "cancel"}]})

    signal: Literal["cancel", "pause", "resume"]


class SignalSent(BaseModel):
    """The engine got the signal; the plan's events report its effect."""

    plan_id: str
    signal: str


class GiveAnswer(BaseModel):
    """The answer: any value that matches the input request."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"answer": {"approved": True}}]})

    answer: Any


AnswerKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[ -~]+$",
        description="Repeating an answer with the same key and caller returns the first response.",
        examples=["3f1c9a"],
    ),
]


class AnswerPosition(BaseModel):
    """The answer's position in the plan's log."""

    epoch: str
    offset: int


def router(hub: Hub) -> APIRouter:
    """The routes for plans, signals and answers."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))
    answerer: Principal = Depends(caller_of(hub, ANSWER))

    @routes.get("/templates", responses=problems(401, 403, 422, 429, 503))
    async def list_templates(_: Principal = caller) -> list[TemplateSummary]:
        """List the templates of plans that can be started."""
        found = hub.engine.templates() if hub.engine is not None else ()
        return [
            TemplateSummary(name=one.name, title=one.title, about=one.about, input_schema=dict(one.input_schema))
            for one in found
        ]

    @routes.post("/plans", status_code=202, responses=problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 503))
    async def start_plan(start: StartPlan, request: Request, principal: Principal = starter) -> PlanStarted:
        """Start a plan from a template."""
        plan_id = start.plan_id or f"plan-{secrets.token_hex(8)}"
        require(principal, "start", plan_id)
        await hub.start_plan(start.template, start.input, plan_id, principal.subject)
        return PlanStarted(plan_id=plan_id, url=str(request.url_for("get_plan", plan_id=plan_id)))

    @routes.post(
        "/plans/{plan_id}/signals", status_code=202, responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503)
    )
    async def signal_plan(plan_id: PlanIdPath, body: SignalPlan, principal: Principal = caller) -> SignalSent:
        """Cancel, pause or resume a plan."""
        require(principal, "signal", plan_id)
        await hub.signal(SendSignal(plan_id, body.signal, None, principal.subject))
        return SignalSent(plan_id=plan_id, signal=body.signal)

    @routes.post(
        "/plans/{plan_id}/inputs/{request_id}",
        responses=problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503),
    )
    async def answer_request(
        plan_id: PlanIdPath,
        request_id: Annotated[
            str, Path(min_length=1, max_length=256, examples=["budget"], description="The id of the request for input.")
        ],
        body: GiveAnswer,
        idempotency_key: AnswerKey = None,
        principal: Principal = answerer,
    ) -> AnswerPosition:
        """Answer an input request. The first answer wins; 409 reports by whom and when it was given."""
        require(principal, "input", plan_id)
        position = await hub.answer(SubmitAnswer(plan_id, request_id, body.answer, idempotency_key, principal.subject))
        return AnswerPosition(epoch=position.epoch, offset=position.offset)

    return routes
