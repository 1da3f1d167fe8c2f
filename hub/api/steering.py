"""What people do with plans over HTTP: start them, signal them, answer what they ask."""

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

__all__ = ["GiveAnswer", "Place", "PlanStarted", "SignalPlan", "SignalTaken", "StartPlan", "Template", "router"]


class StartPlan(BaseModel):
    """What to run. Without a plan_id, one is made up; with one, starting again changes nothing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"template": "exhibition", "input": {"theme": "Rivers"}, "plan_id": "plan-1"}]}
    )

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
    """What whoever runs the plan is asked to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"signal": "cancel"}]})

    signal: Literal["cancel", "pause", "resume"]


class SignalTaken(BaseModel):
    """The signal reached whoever runs the plan; the plan itself says when it obeyed."""

    plan_id: str
    signal: str


class GiveAnswer(BaseModel):
    """What a person answers: anything that fits what was asked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"answer": {"approved": True}}]})

    answer: Any


AnswerKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[ -~]+$",
        description="Sent again with its key by the same caller, an answer is answered as the first time.",
        examples=["3f1c9a"],
    ),
]


class Place(BaseModel):
    """Where the answer stands in the plan's log."""

    epoch: str
    offset: int


def router(hub: Hub) -> APIRouter:
    """These routes, for this hub."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))
    answerer: Principal = Depends(caller_of(hub, ANSWER))

    @routes.get("/templates", responses=problems(401, 403, 422, 429, 503))
    async def list_templates(_: Principal = caller) -> list[Template]:
        """What can be started here."""
        found = hub.engine.templates() if hub.engine is not None else ()
        return [
            Template(name=one.name, title=one.title, about=one.about, input_schema=dict(one.input_schema))
            for one in found
        ]

    @routes.post("/plans", status_code=202, responses=problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 503))
    async def start_plan(start: StartPlan, request: Request, principal: Principal = starter) -> PlanStarted:
        """Start a plan of a template."""
        plan_id = start.plan_id or f"plan-{secrets.token_hex(8)}"
        require(principal, "start", plan_id)
        await hub.start_plan(start.template, start.input, plan_id, principal.subject)
        return PlanStarted(plan_id=plan_id, url=str(request.url_for("get_plan", plan_id=plan_id)))

    @routes.post(
        "/plans/{plan_id}/signals", status_code=202, responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503)
    )
    async def signal_plan(plan_id: PlanIdPath, ask: SignalPlan, principal: Principal = caller) -> SignalTaken:
        """Ask the plan to stop, to pause or to go on."""
        require(principal, "signal", plan_id)
        await hub.signal(SendSignal(plan_id, ask.signal, None, principal.subject))
        return SignalTaken(plan_id=plan_id, signal=ask.signal)

    @routes.post(
        "/plans/{plan_id}/inputs/{request_id}",
        responses=problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503),
    )
    async def answer_request(
        plan_id: PlanIdPath,
        request_id: Annotated[str, Path(min_length=1, max_length=256, examples=["budget"])],
        given: GiveAnswer,
        idempotency_key: AnswerKey = None,
        principal: Principal = answerer,
    ) -> Place:
        """Answer what the plan asks; the first answer wins, and 409 says whose that was, and when."""
        require(principal, "input", plan_id)
        place = await hub.answer(SubmitAnswer(plan_id, request_id, given.answer, idempotency_key, principal.subject))
        return Place(epoch=place.epoch, offset=place.offset)

    return routes
