"""The requests of MACAE's page: teams, plans, approval and clarification, under `/api/v4`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from email.parser import BytesParser
from email.policy import HTTP
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import WebSocketRoute

from broadcasters.checkpointing import snapshot_of
from broadcasters.log.contract import PlanEntry
from broadcasters.position import Position
from broadcasters.snapshot import InputState, Snapshot
from hub.api.callers import holder_of
from hub.api.problems import Problem, refusals
from hub.api.route import ApiRoute, operation_id
from hub.config.limits import KIB
from hub.core.connection import RequestRefused
from hub.core.effects import SubmitAnswer
from hub.core.rates import ANSWER, START
from hub.dialects.macae.encoder import ANSWERED_HERE
from hub.dialects.macae.places import Places
from hub.dialects.macae.shapes import (
    answer_to,
    approvals,
    found_plan,
    listed_plan,
    macae_plan,
    messages_of,
    options_of,
    owner_in,
    plan_of,
    prefix_of,
    team_in,
    thoughts_of,
)
from hub.dialects.macae.sockets import PlanSockets
from hub.dialects.macae.teams import TeamConfig, Teams, team_in_file
from hub.dialects.macae.visitors import Visitor, visitor_of
from hub.node import Hub
from hub.protocols.threads import Threads, not_cancelled
from hub.wire.codes import ErrorCode

__all__ = [
    "Approval",
    "BrowserLanguage",
    "Clarification",
    "HeardMessage",
    "MacaeError",
    "TaskRequest",
    "TeamChoice",
    "router",
]

TEMPLATE: Final = "team"
LISTED: Final = 100
PATH: Final = "/api/v4"
_ANSWERED: Final = frozenset({ErrorCode.ALREADY_ANSWERED, ErrorCode.PLAN_ENDED})
_FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            }
        },
    }
}


class MacaeError(BaseModel):
    """What is wrong, for people."""

    detail: str


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return refusals(MacaeError, dict.fromkeys(statuses, "The request was refused."))


class _MacaeRoute(ApiRoute):
    """A route whose errors are `{"detail": …}`, which the page shows as they are."""

    body_bytes = 256 * KIB

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        return JSONResponse({"detail": problem.detail}, problem.status_code, problem.headers)


# -- requests


class BrowserLanguage(BaseModel):
    """The browser's language, which nothing depends on."""

    language: Annotated[str, Field(max_length=100)] = ""


class TeamChoice(BaseModel):
    """The team to use from now on."""

    team_id: Annotated[str, Field(min_length=1, max_length=100)]


class TaskRequest(BaseModel):
    """A task for a team; without a team_id, for the current one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"session_id": "sid_1_2", "description": "Onboard Jessica Smith"}]}
    )

    description: Annotated[str, Field(min_length=1, max_length=5000, pattern=r"\S")]
    session_id: Annotated[str, Field(max_length=64)] | None = None
    team_id: Annotated[str, Field(max_length=100)] | None = None


class Approval(BaseModel):
    """Whether the team may do the steps. `approved: false` cancels the plan."""

    m_plan_id: Annotated[str, Field(max_length=256)] = ""
    plan_id: Annotated[str, Field(max_length=128)]
    approved: bool
    feedback: Annotated[str, Field(max_length=4000)] | None = None


class Clarification(BaseModel):
    """The answer to an agent's question."""

    request_id: Annotated[str, Field(max_length=256)]
    answer: Annotated[str, Field(max_length=8192)]
    plan_id: Annotated[str, Field(max_length=128)]
    m_plan_id: Annotated[str, Field(max_length=256)] | None = None


class HeardMessage(BaseModel):
    """A message that the page received and sends back; the log has it already."""

    model_config = ConfigDict(extra="ignore")

    plan_id: str = ""


# -- what they have in common


class _Plans:
    """Finds plans and answers their questions, for visitors who may."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._threads = Threads(hub)

    async def plan(self, visitor: Visitor, plan_id: str) -> tuple[Snapshot, Position]:
        """The plan, and its position. Raises `Problem` if there is none."""
        visitor.require("read", plan_id)
        snapshot, head = await snapshot_of(self._hub.log, plan_id)
        if not snapshot.offset:
            raise Problem("no_such_plan", "There is no such plan.", status=404)
        return snapshot, head.position

    async def listed(self, visitor: Visitor, request: Request, team_id: str) -> list[Any]:
        """The user's completed plans with this team, or with any if that is empty."""
        prefix, label = prefix_of(visitor.user), f"team:user:{visitor.user}"

        def shown(plan: PlanEntry) -> bool:
            mine = plan.plan_id.startswith(prefix) and visitor.principal.may("read", plan.plan_id)
            return mine and plan.status == "completed" and team_id in ("", team_in(plan.labels))

        holder = holder_of(self._hub, request, visitor.principal)
        found, _ = await self._hub.lists.find(holder, shown, LISTED, label=label)
        return [listed_plan(plan.plan_id, visitor.user, plan.title, plan.created_at, plan.labels) for plan in found]

    async def answer(self, visitor: Visitor, plan_id: str, question: InputState, answer: Any) -> None:
        """Answers the question. That it was answered before, by another tab or client, is no error."""
        visitor.require("input", plan_id)
        key = f"{ANSWERED_HERE}{secrets.token_hex(8)}"
        try:
            await self._hub.answer(SubmitAnswer(plan_id, question.request_id, answer, key, visitor.user))
        except RequestRefused as refusal:
            if refusal.code not in _ANSWERED:
                raise

    async def cancel(self, visitor: Visitor, plan_id: str) -> bool:
        """Cancels the plan. False: nothing that obeys works on it."""
        visitor.require("signal", plan_id)
        return await self._threads.cancel(visitor.principal, plan_id)


def _affirmative(question: InputState) -> Any:
    """The answer that approves: the first option, which is yes."""
    return next((value for _, value in options_of(question)), "yes")


def _file_in(content_type: str, body: bytes) -> bytes:
    """The file of a form. Raises `Problem` if there is none."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            return bytes(part.get_payload(decode=True) or b"")
    raise Problem("no_file", "Send the team's JSON file as the form's field `file`.", status=400)


# -- routes


def router(hub: Hub) -> APIRouter:
    """The dialect's routes."""
    places = Places()
    routes = APIRouter(tags=["dialects"], route_class=_MacaeRoute, generate_unique_id_function=operation_id)
    routes.routes.append(WebSocketRoute(f"{PATH}/socket/{{plan_id}}", PlanSockets(hub, places)))
    _add_teams(routes, hub)
    _add_plans(routes, hub, places)
    _add_answers(routes, hub)
    _add_reports(routes, hub)
    return routes


def _add_teams(routes: APIRouter, hub: Hub) -> None:
    teams = Teams(hub)
    known: Visitor = Depends(visitor_of(hub))

    @routes.get(f"{PATH}/team_configs", responses=_errors(401, 403, 422, 429, 503))
    async def macae_teams(visitor: Visitor = known) -> list[TeamConfig]:
        """The user's teams, the current one first."""
        visitor.require_teams("read")
        return await teams.of(visitor.user)

    @routes.get(f"{PATH}/init_team", responses=_errors(401, 403, 422, 429, 503))
    async def macae_init_team(
        team_switched: Annotated[bool, Query(description="Has no effect.")] = False, visitor: Visitor = known
    ) -> dict[str, Any]:
        """The current team, or the request to upload one."""
        del team_switched
        visitor.require_teams("read")
        status = "Request started successfully"
        if found := await teams.of(visitor.user):
            return {"status": status, "team_id": found[0].team_id, "team": found[0].model_dump()}
        return {"status": status, "team_id": None, "team": None, "requires_team_upload": True}

    @routes.post(f"{PATH}/select_team", responses=_errors(400, 401, 403, 404, 413, 415, 422, 429, 503))
    async def macae_select_team(body: TeamChoice, visitor: Visitor = known) -> dict[str, Any]:
        """Make a team the current one."""
        visitor.require_teams("start")
        team = await teams.select(visitor.user, body.team_id)
        return {
            "status": "success",
            "message": f"Team '{team.name}' selected",
            "team_id": team.team_id,
            "team_name": team.name,
            "agents_count": len(team.agents),
            "team_description": team.description,
        }

    @routes.post(
        f"{PATH}/upload_team_config", openapi_extra=_FILE, responses=_errors(400, 401, 403, 413, 422, 429, 503)
    )
    async def macae_upload_team(request: Request, visitor: Visitor = known) -> dict[str, Any]:
        """Add a team from a JSON file. It gets new ids, and becomes the current one."""
        visitor.require_teams("start")
        content = _file_in(request.headers.get("content-type", ""), await request.body())
        team = await teams.add(visitor.user, team_in_file(content))
        message = f"Team '{team.name}' was uploaded"
        ids = {"team_id": team.team_id, "name": team.name}
        return {"status": "success", **ids, "message": message, "team": team.model_dump()}

    @routes.delete(f"{PATH}/team_configs/{{team_id}}", responses=_errors(401, 403, 404, 422, 429, 503))
    async def macae_delete_team(
        team_id: Annotated[str, Path(max_length=100, description="The team.")], visitor: Visitor = known
    ) -> dict[str, str]:
        """Delete a team. Plans that it worked on stay."""
        visitor.require_teams("start")
        await teams.delete(visitor.user, team_id)
        return {"status": "success", "message": "The team was deleted", "team_id": team_id}


def _add_plans(routes: APIRouter, hub: Hub, places: Places) -> None:
    plans, teams = _Plans(hub), Teams(hub)
    known: Visitor = Depends(visitor_of(hub))
    starter: Visitor = Depends(visitor_of(hub, START))

    @routes.post(f"{PATH}/process_request", responses=_errors(400, 401, 403, 404, 409, 413, 415, 422, 429, 503))
    async def macae_process_request(body: TaskRequest, visitor: Visitor = starter) -> dict[str, str]:
        """Give a team a task. Repeating the request with the same session_id starts nothing new."""
        session_id = body.session_id or f"sid_{secrets.token_hex(8)}"
        plan_id = plan_of(visitor.user, session_id)
        visitor.require("start", plan_id)
        team = await _team_for(teams, visitor, body.team_id or "")
        given: dict[str, Any] = {"request": body.description, "user_id": visitor.user}
        if team is not None:
            agents = [agent.model_dump(include={"name", "description", "system_message"}) for agent in team.agents]
            given |= {"team_id": team.team_id, "agents": agents}
        await hub.start_plan(TEMPLATE, given, plan_id, visitor.user)
        return {"status": "Request started successfully", "session_id": session_id, "plan_id": plan_id}

    @routes.get(f"{PATH}/plans", responses=_errors(401, 403, 422, 429, 503))
    async def macae_plans(request: Request, visitor: Visitor = known) -> list[dict[str, Any]]:
        """The user's completed plans with the current team."""
        visitor.require_teams("read")
        current = await teams.current(visitor.user)
        return await plans.listed(visitor, request, current)

    @routes.get(f"{PATH}/plan", responses=_errors(401, 403, 404, 422, 429, 503))
    async def macae_plan_found(
        plan_id: Annotated[str, Query(min_length=1, max_length=128, description="The plan.")], visitor: Visitor = known
    ) -> dict[str, Any]:
        """A plan with its messages so far. The socket that is opened next continues from there."""
        plan, position = await plans.plan(visitor, plan_id)
        places.given(visitor.user, plan_id, position)
        return {
            "plan": found_plan(plan, visitor.user),
            "team": await _team_of(teams, visitor, plan),
            "messages": messages_of(plan),
            "m_plan": macae_plan(plan),
            "streaming_message": thoughts_of(plan),
        }


def _add_answers(routes: APIRouter, hub: Hub) -> None:
    plans = _Plans(hub)
    answerer: Visitor = Depends(visitor_of(hub, ANSWER))

    @routes.post(f"{PATH}/plan_approval", responses=_errors(400, 401, 403, 404, 410, 413, 415, 422, 429, 503))
    async def macae_approve(body: Approval, visitor: Visitor = answerer) -> dict[str, str]:
        """Approve the steps, or cancel the plan."""
        plan, _ = await plans.plan(visitor, body.plan_id)
        if not body.approved:
            cancelled = plan.ended_at is not None or await plans.cancel(visitor, body.plan_id)
            return {"status": "approval recorded" if cancelled else not_cancelled(body.plan_id).detail}
        question = _asked(approvals(plan), body.m_plan_id)
        if question is None:
            raise Problem("no_such_request", "There is no such request for approval.", status=404)
        await plans.answer(visitor, body.plan_id, question, _affirmative(question))
        return {"status": "approval recorded"}

    @routes.post(f"{PATH}/user_clarification", responses=_errors(400, 401, 403, 404, 410, 413, 415, 422, 429, 503))
    async def macae_clarify(body: Clarification, visitor: Visitor = answerer) -> dict[str, str]:
        """Answer an agent's question."""
        plan, _ = await plans.plan(visitor, body.plan_id)
        questions = [question for question in plan.inputs if question.kind != "approval"]
        question = _asked(questions, body.request_id)
        if question is None:
            raise Problem("no_such_request", "There is no such question.", status=404)
        await plans.answer(visitor, body.plan_id, question, answer_to(question, body.answer))
        return {"status": "clarification recorded"}


def _add_reports(routes: APIRouter, hub: Hub) -> None:
    """What the page reports, and nothing depends on."""
    known: Visitor = Depends(visitor_of(hub))

    @routes.post("/api/user_browser_language", responses=_errors(400, 401, 403, 413, 415, 422, 429, 503))
    async def macae_language(body: BrowserLanguage, visitor: Visitor = known) -> dict[str, str]:
        """Receive the browser's language. Nothing depends on it."""
        del body, visitor
        return {"status": "Language received successfully"}

    @routes.post(f"{PATH}/agent_message", responses=_errors(400, 401, 403, 413, 415, 422, 429, 503))
    async def macae_heard(body: HeardMessage, visitor: Visitor = known) -> dict[str, str]:
        """Receive a message that the page got from here. It is not stored: the log has it."""
        del body, visitor
        return {"status": "message recorded"}


def _asked(questions: Sequence[InputState], request_id: str) -> InputState | None:
    return next((question for question in questions if question.request_id == request_id), None)


async def _team_for(teams: Teams, visitor: Visitor, team_id: str) -> TeamConfig | None:
    """The team that a task is for; None if the user has none, so that the template's own works on it."""
    if team_id:
        return await teams.one(visitor.user, team_id)
    return next(iter(await teams.of(visitor.user)), None)


async def _team_of(teams: Teams, visitor: Visitor, plan: Snapshot) -> dict[str, Any] | None:
    """The plan's team, if it is one of the visitor's and was not deleted since."""
    if owner_in(plan.plan_id) != visitor.user or not (team_id := team_in(plan.labels)):
        return None
    try:
        return (await teams.one(visitor.user, team_id)).model_dump()
    except Problem:
        return None
