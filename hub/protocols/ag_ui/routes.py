"""AG-UI over HTTP: runs for `HttpAgent`, and the routes of a CopilotKit runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ValidationError

from broadcasters.events import timestamp
from broadcasters.position import Position
from hub.access.principal import Principal
from hub.api.callers import caller_of, charge, require
from hub.api.problems import Problem
from hub.api.route import operation_id
from hub.config.limits import MIB
from hub.core.connection import RequestRefused
from hub.core.effects import SendSignal
from hub.core.rates import ANSWER, START
from hub.core.subscriber import Since
from hub.node import Hub
from hub.protocols.ag_ui.encoder import AgUiEncoder, run_started
from hub.protocols.ag_ui.messages import ClientHistory, unanswered
from hub.protocols.ag_ui.requests import InterruptAnswer, RunInput, RuntimeRequest
from hub.protocols.route import STREAM_HEADERS, ProtocolRoute
from hub.protocols.segments import SegmentReader
from hub.protocols.streams import PlanStream
from hub.protocols.threads import ThreadPlan, Threads, not_cancelled
from hub.wire.codes import ErrorCode

__all__ = ["AgUiRoute", "Agent", "RunStopped", "Runs", "RuntimeInfo", "refusals", "router"]

OVER: Final = frozenset({ErrorCode.REQUEST_EXPIRED, ErrorCode.NO_SUCH_REQUEST})
"""Why a question takes no answer any longer."""
TemplateName = Annotated[
    str, Path(min_length=1, max_length=128, examples=["business_operations"], description="The name of a template.")
]
ThreadId = Annotated[str, Path(min_length=1, max_length=128, examples=["plan-1"], description="The id of the thread.")]
STREAM: Final[dict[str, Any]] = {
    "description": "The events of the run.",
    "content": {"text/event-stream": {}},
}


class Agent(BaseModel):
    """A template, as an agent."""

    name: str
    description: str
    className: str = "Plancast"  # noqa: N815


class RuntimeInfo(BaseModel):
    """What the runtime offers."""

    version: str = "1.0"
    mode: str = "sse"
    agents: dict[str, Agent]
    audioFileTranscriptionEnabled: bool = False  # noqa: N815


class RunStopped(BaseModel):
    """Whether there was a plan to cancel. Its events report when that has taken effect."""

    stopped: bool
    reason: str | None = None
    """Why not."""


class AgUiRoute(ProtocolRoute):
    """A route whose errors are the text that clients show. A history of this size fits into one event."""

    body_bytes = 8 * MIB

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        return PlainTextResponse(str(problem.detail), problem.status_code, problem.headers)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries for a route's `responses`."""
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {status: {"description": "The reason, for people.", "content": content} for status in statuses}


def router(hub: Hub) -> APIRouter:
    """The routes under /ag-ui."""
    routes = APIRouter(
        prefix="/ag-ui", tags=["protocols"], route_class=AgUiRoute, generate_unique_id_function=operation_id
    )
    caller: Principal = Depends(caller_of(hub))
    runs = Runs(hub)
    stream: dict[int | str, dict[str, Any]] = {
        200: STREAM,
        **refusals(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    }

    @routes.get("/info", responses=refusals(401, 403, 429, 503))
    async def ag_ui_info(_: Principal = caller) -> RuntimeInfo:
        """The agents: one for each template."""
        return runs.info()

    @routes.post("/agent/{template}/run", response_class=Response, responses=stream)
    async def run_ag_ui_agent(
        template: TemplateName, run: RunInput, request: Request, principal: Principal = caller
    ) -> Response:
        """Start a plan, answer its question, or follow it."""
        return await runs.run(request, principal, template, run)

    @routes.post("/agent/{template}/connect", response_class=Response, responses=stream)
    async def connect_ag_ui_agent(
        template: TemplateName, run: RunInput, request: Request, principal: Principal = caller
    ) -> Response:
        """Follow the thread's last plan; of an unknown thread, there is nothing."""
        del template
        return await runs.connect(request, principal, run)

    @routes.post(
        "/agent/{template}/stop/{thread_id}",
        response_model_exclude_none=True,
        responses=refusals(401, 403, 404, 409, 413, 422, 429, 503),
    )
    async def stop_ag_ui_agent(
        template: TemplateName, thread_id: ThreadId, principal: Principal = caller
    ) -> RunStopped:
        """Cancel the thread's last plan."""
        del template
        return await runs.stop(principal, thread_id)

    @routes.post("", response_model=None, responses=stream)
    async def ag_ui(envelope: RuntimeRequest, request: Request, principal: Principal = caller) -> Response | BaseModel:
        """The same requests, all of one URL."""
        return await runs.enveloped(request, principal, envelope)

    @routes.post("/{template}", response_class=Response, responses=stream)
    async def run_ag_ui_template(
        template: TemplateName, run: RunInput, request: Request, principal: Principal = caller
    ) -> Response:
        """Start a plan, answer its question, or follow it: the URL of an `HttpAgent`."""
        return await runs.run(request, principal, template, run)

    return routes


class Runs:
    """Carries out the requests."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._threads = Threads(hub)

    def info(self) -> RuntimeInfo:
        templates = self._hub.engine.templates() if self._hub.engine is not None else ()
        return RuntimeInfo(agents={one.name: Agent(name=one.name, description=one.about) for one in templates})

    async def run(self, request: Request, principal: Principal, template: str, run: RunInput) -> Response:
        plans = await self._threads.all(principal, run.threadId)
        if run.resume and plans:
            return await self._resume(request, principal, run, plans)
        if not plans or run.follows(plans[-1], len(plans)):
            return await self._start(request, principal, template, run, plans)
        return self._attach(request, principal, run, plans)

    async def connect(self, request: Request, principal: Principal, run: RunInput) -> Response:
        plans = await self._threads.all(principal, run.threadId)
        if plans:
            return self._attach(request, principal, run, plans)
        return PlainTextResponse("", headers=STREAM_HEADERS)  # a chat that has not begun

    async def stop(self, principal: Principal, thread_id: str) -> RunStopped:
        newest = await self._threads.newest(principal, thread_id)
        if newest is None:
            raise _unknown(thread_id)
        plan_id = newest.plan.plan_id
        if newest.ended:
            return RunStopped(stopped=False, reason="the plan has ended")
        if not await self._threads.cancel(principal, plan_id):
            return RunStopped(stopped=False, reason=not_cancelled(plan_id).detail)
        return RunStopped(stopped=True)

    async def enveloped(self, request: Request, principal: Principal, envelope: RuntimeRequest) -> Response | BaseModel:
        if envelope.method == "info":
            return self.info()
        if envelope.method == "agent/stop":
            stopped = await self.stop(principal, _parameter(envelope, "threadId"))
            return JSONResponse(stopped.model_dump(exclude_none=True))
        try:
            run = RunInput.model_validate(envelope.body)
        except ValidationError as error:
            errors = [{**one, "loc": ("body", "body", *one["loc"])} for one in error.errors(include_url=False)]
            raise RequestValidationError(errors, body={"body": envelope.body}) from None
        if envelope.method == "agent/connect":
            return await self.connect(request, principal, run)
        return await self.run(request, principal, _parameter(envelope, "agentId"), run)

    async def _start(
        self, request: Request, principal: Principal, template: str, run: RunInput, plans: Sequence[ThreadPlan]
    ) -> Response:
        if run.text is None:
            self._threads.template(template)
            raise _unknown(run.threadId)
        charge(self._hub, request, principal, START)
        number = len(plans) + 1
        plan_id = await self._threads.start(principal, template, run.threadId, number, run.text, run.fields)
        history = ClientHistory(run.posted, [one.plan for one in plans])
        reader = SegmentReader(plan_id, AgUiEncoder(run.threadId, run.runId, history))
        return self._stream(request, principal, run, reader, "start")

    def _attach(
        self, request: Request, principal: Principal, run: RunInput, plans: Sequence[ThreadPlan], *, whole: bool = False
    ) -> Response:
        newest = plans[-1]
        encoder = AgUiEncoder(run.threadId, run.runId, run.history(plans, None))
        reader = SegmentReader(newest.plan.plan_id, encoder, None, whole=whole, least=newest.position.offset)
        return self._stream(request, principal, run, reader, "snapshot")

    async def _resume(
        self, request: Request, principal: Principal, run: RunInput, plans: Sequence[ThreadPlan]
    ) -> Response:
        newest = plans[-1]
        cancelled, answered = False, list[Position]()
        for answer in run.resume or ():
            if answer.status == "cancelled":
                cancelled = await self._cancel(principal, newest, answer) or cancelled
            elif (position := await self._answer(request, principal, plans, answer)) is not None:
                answered.append(position)
        position = run.position_in(newest)
        if position is None or not answered:  # what others did meanwhile is in the log by now
            plans = [*plans[:-1], await self._threads.plan(principal, run.threadId, len(plans))]
            if position is None:
                return self._attach(request, principal, run, plans, whole=cancelled)
        least = max([plans[-1].position.offset, *(one.offset for one in answered)])
        encoder = AgUiEncoder(run.threadId, run.runId, run.history(plans, position))
        reader = SegmentReader(newest.plan.plan_id, encoder, position.offset, whole=cancelled, least=least)
        return self._stream(request, principal, run, reader, "start")

    async def _answer(
        self, request: Request, principal: Principal, plans: Sequence[ThreadPlan], answer: InterruptAnswer
    ) -> Position | None:
        """None: the question is over, so that the run shows what followed it."""
        charge(self._hub, request, principal, ANSWER)
        plan = plans[-1].plan
        try:
            return await self._threads.answer(principal, plan.plan_id, answer.interruptId, answer.payload)
        except RequestRefused as refusal:
            unknown = refusal.code is ErrorCode.NO_SUCH_REQUEST and len(plans) == 1 and not plan.omitted.inputs
            if refusal.code not in OVER or unknown:
                raise
            return None

    async def _cancel(self, principal: Principal, newest: ThreadPlan, answer: InterruptAnswer) -> bool:
        """Cancel the plan that asks; a question that is over cancels nothing."""
        question = unanswered(newest.plan).get(answer.interruptId)
        if newest.ended or question is None or (question.expires_at is not None and question.expires_at <= timestamp()):
            return False
        require(principal, "signal", newest.plan.plan_id)
        await self._hub.signal(SendSignal(newest.plan.plan_id, "cancel", None, principal.subject))
        return True

    def _stream(
        self, request: Request, principal: Principal, run: RunInput, reader: SegmentReader, since: Since
    ) -> Response:
        first = run_started(run.threadId, run.runId)
        return PlanStream(self._hub, request, principal, reader, since, first).response(STREAM_HEADERS)


def _unknown(thread_id: str) -> Problem:
    detail = f"there is no thread {thread_id!r:.80}; the last message of its first run must be the user's, with text"
    return Problem("no_such_thread", detail, status=404)


def _parameter(envelope: RuntimeRequest, name: str) -> str:
    value = envelope.params.get(name)
    if isinstance(value, str) and 0 < len(value) <= 128:
        return value
    raise Problem(ErrorCode.INVALID_FIELD, f"params.{name}: expected a string of 1 to 128 characters", field=name)
