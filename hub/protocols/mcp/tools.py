"""What the tools of `/mcp` do with plans, with the rights of the request's principal."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Request
from pydantic import BaseModel, Field, JsonValue

from broadcasters.checkpointing import snapshot_of
from broadcasters.events import PLAN_ID, PlanStatus, check_plan_id
from broadcasters.log.contract import PlanEntry
from broadcasters.snapshot import InputState, Snapshot
from hub.access.principal import Principal
from hub.access.tickets import ticket_key
from hub.api.callers import charge, holder_of, require
from hub.api.plans import Cursors, PlanList, PlanSummary
from hub.api.problems import Problem
from hub.api.steering import TemplateSummary
from hub.core.connection import RequestRefused
from hub.core.rates import ANSWER, START
from hub.node import Hub
from hub.protocols.mcp.questions import QuestionForm, form_of
from hub.protocols.mcp.watch import PlanWatch, Report
from hub.protocols.segments import open_questions
from hub.protocols.threads import Threads, not_cancelled
from hub.wire.codes import ErrorCode

__all__ = [
    "AnswerQuestion",
    "AnswerTaken",
    "CancelPlan",
    "CancelSent",
    "FormAnswer",
    "ListPlans",
    "ListTemplates",
    "McpCall",
    "NewPlan",
    "OpenQuestion",
    "PlanFollowed",
    "PlanTools",
    "QuestionsAsked",
    "StartedPlan",
    "TemplateList",
    "WatchPlan",
]

WAIT_S: Final = 45.0
"""Shorter than the time after which most hosts give a tool up, which is a minute."""

PlanName = Annotated[str, Field(pattern=PLAN_ID, description="The plan's id.")]


# -- arguments


class NewPlan(BaseModel):
    template: Annotated[str, Field(min_length=1, max_length=128, description="A name from list_templates.")]
    input: Annotated[dict[str, JsonValue], Field(description="By the template's input_schema.")] = {}
    plan_id: Annotated[PlanName | None, Field(description="An id of your own: starting it again changes nothing.")] = (
        None
    )


class WatchPlan(BaseModel):
    plan_id: PlanName
    after: Annotated[int, Field(ge=0, le=2**53, description="The offset that the last call returned.")] = 0
    wait: Annotated[float, Field(ge=0, le=3600, description="Return after this many seconds at the latest.")] = WAIT_S


class AnswerQuestion(BaseModel):
    plan_id: PlanName
    answer: Annotated[JsonValue, Field(description="One of the options, or a value that matches the schema.")]
    request_id: Annotated[
        str | None, Field(min_length=1, max_length=256, description="Which question, if several are open.")
    ] = None


class CancelPlan(BaseModel):
    plan_id: PlanName


class ListPlans(BaseModel):
    owner: Annotated[str | None, Field(max_length=256)] = None
    label: Annotated[str | None, Field(max_length=256)] = None
    status: PlanStatus | None = None
    cursor: Annotated[str | None, Field(max_length=512, description="From the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class ListTemplates(BaseModel):
    pass


# -- results


class StartedPlan(BaseModel):
    plan_id: str


class OpenQuestion(BaseModel):
    request_id: str
    kind: str
    prompt: str
    options: list[Any] | None = None
    answer_schema: dict[str, Any] | None = None
    expires_at: str | None = None

    @classmethod
    def of(cls, question: InputState) -> OpenQuestion:
        return cls(
            request_id=question.request_id,
            kind=question.kind,
            prompt=question.prompt,
            options=None if question.options is None else list(question.options),
            answer_schema=question.json_schema,
            expires_at=question.expires_at,
        )


class PlanFollowed(BaseModel):
    plan_id: str
    status: str
    title: str | None = None
    progress: float | None = None
    content: str | None = None
    result: dict[str, Any] | None = None
    last_message: str | None = None
    questions: list[OpenQuestion] = []
    offset: int
    ended: bool
    restarting: Annotated[bool, Field(description="The hub is being restarted; the plan goes on.")] = False
    next: str


class AnswerTaken(BaseModel):
    plan_id: str
    request_id: str
    taken: Annotated[bool, Field(description="False: it was answered before, or the plan has ended.")]


class CancelSent(BaseModel):
    plan_id: str
    status: Annotated[str, Field(description="Before the plan was cancelled; watch_plan shows the effect.")]


class TemplateList(BaseModel):
    templates: list[TemplateSummary]


# -- calls


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """What a person did with a form. `content` is None if they did not fill it in."""

    content: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class McpCall:
    """A call of a tool: who makes it, and what its client can do."""

    request: Request
    principal: Principal
    report: Report
    elicits: bool = False
    """Whether the client shows forms to a person."""
    state: int | None = None
    """The offset at which the questions were asked that `answers` are for."""
    answers: Mapping[str, FormAnswer] | None = None
    """By request id."""


@dataclass(frozen=True, slots=True)
class QuestionsAsked:
    """The call needs answers of a person. Repeat it with them, and with this state."""

    forms: Mapping[str, tuple[str, QuestionForm]]
    """The prompt and the form, by request id."""
    state: int


class PlanTools:
    """The tools. Each checks the caller's rights, and raises what `problem_of` knows."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._threads = Threads(hub)
        self._cursors = Cursors(ticket_key(hub.settings))

    async def start(self, call: McpCall, given: NewPlan) -> StartedPlan:
        plan_id = given.plan_id or f"plan-{secrets.token_hex(8)}"
        require(call.principal, "start", plan_id)
        charge(self._hub, call.request, call.principal, START)
        await self._hub.start_plan(given.template, given.input, plan_id, call.principal.subject)
        return StartedPlan(plan_id=plan_id)

    async def watch(self, call: McpCall, given: WatchPlan) -> PlanFollowed | QuestionsAsked:
        plan = await self._existing(call.principal, given.plan_id)
        seen = given.after if call.state is None else max(given.after, call.state)
        faults, declined = await self._take_answers(call, plan)
        if faults:
            return QuestionsAsked(faults, seen)
        watch = PlanWatch(self._hub, call.request, call.principal, plan, seen)
        if not declined:
            await watch.follow(given.wait, call.report)
        asks = call.elicits and not declined and call.principal.may("input", plan.plan_id)
        if asks and (forms := _forms(watch.news)):
            return QuestionsAsked(forms, watch.plan.offset)
        return _followed(watch.plan, declined, restarting=watch.leaving)

    async def answer(self, call: McpCall, given: AnswerQuestion) -> AnswerTaken:
        require(call.principal, "input", given.plan_id)
        charge(self._hub, call.request, call.principal, ANSWER)
        request_id = given.request_id or await self._only_question(call.principal, given.plan_id)
        position = await self._threads.answer(call.principal, given.plan_id, request_id, given.answer)
        return AnswerTaken(plan_id=given.plan_id, request_id=request_id, taken=position is not None)

    async def cancel(self, call: McpCall, given: CancelPlan) -> CancelSent:
        require(call.principal, "signal", given.plan_id)
        plan = (await snapshot_of(self._hub.log, given.plan_id))[0]
        if not plan.offset:
            raise _no_such_plan(given.plan_id)
        if plan.ended_at is None and not await self._threads.cancel(call.principal, given.plan_id):
            raise not_cancelled(given.plan_id)
        return CancelSent(plan_id=given.plan_id, status=plan.status)

    async def plans(self, call: McpCall, given: ListPlans) -> PlanList:
        def shown(plan: PlanEntry) -> bool:
            return call.principal.may("read", plan.plan_id) and given.status in (None, plan.status)

        holder, at = holder_of(self._hub, call.request, call.principal), self._cursors.unseal(given.cursor)
        found, following = await self._hub.lists.find(
            holder, shown, given.limit, owner=given.owner, label=given.label, cursor=at
        )
        return PlanList(plans=[PlanSummary.of(plan) for plan in found], cursor=self._cursors.seal(following))

    async def templates(self, call: McpCall, given: ListTemplates) -> TemplateList:  # noqa: ARG002
        found = self._hub.engine.templates() if self._hub.engine is not None else ()
        return TemplateList(
            templates=[
                TemplateSummary(name=one.name, title=one.title, about=one.about, input_schema=dict(one.input_schema))
                for one in found
            ]
        )

    async def snapshot(self, principal: Principal, plan_id: str) -> Snapshot:
        """The plan's snapshot. Raises `Problem` if there is none."""
        return await self._existing(principal, check_plan_id(plan_id))

    async def _existing(self, principal: Principal, plan_id: str) -> Snapshot:
        require(principal, "read", plan_id)
        plan = (await snapshot_of(self._hub.log, plan_id))[0]
        if not plan.offset:
            raise _no_such_plan(plan_id)
        return plan

    async def _only_question(self, principal: Principal, plan_id: str) -> str:
        plan = (await snapshot_of(self._hub.log, plan_id))[0]
        questions = open_questions(plan)
        if len(questions) == 1:
            return questions[0].request_id
        # Without the right to read the plan, its questions must not be listed.
        may_read = principal.may("read", plan_id)
        names = ", ".join(question.request_id for question in questions) if may_read else ""
        raise Problem(
            ErrorCode.NO_SUCH_REQUEST,
            f"the plan has {len(questions)} open questions: {names}; name one as request_id"
            if names
            else "the plan has no open question; name one as request_id",
        )

    async def _take_answers(
        self, call: McpCall, plan: Snapshot
    ) -> tuple[Mapping[str, tuple[str, QuestionForm]], list[str]]:
        """Gives a person's answers to the plan. Returns the forms to fill in again, and the questions left unanswered."""
        if not call.answers:
            return {}, []
        require(call.principal, "input", plan.plan_id)
        faults: dict[str, tuple[str, QuestionForm]] = {}
        for question in open_questions(plan):
            given, form = call.answers.get(question.request_id), form_of(question)
            if given is None or given.content is None or form is None:
                continue
            charge(self._hub, call.request, call.principal, ANSWER)
            try:
                answer = form.answer(given.content)
                await self._threads.answer(call.principal, plan.plan_id, question.request_id, answer)
            except RequestRefused as refusal:
                if refusal.code is not ErrorCode.INVALID_ANSWER:
                    raise
                faults[question.request_id] = f"{question.prompt}\n({refusal})", form
        return faults, [request_id for request_id, given in call.answers.items() if given.content is None]


def _no_such_plan(plan_id: str) -> Problem:
    return Problem(
        "no_such_plan", f"there is no plan {plan_id!r}; list_plans shows those that you may read", status=404
    )


def _forms(questions: Sequence[InputState]) -> dict[str, tuple[str, QuestionForm]]:
    forms = {question.request_id: (question.prompt, form_of(question)) for question in questions}
    return {request_id: (prompt, form) for request_id, (prompt, form) in forms.items() if form is not None}


def _followed(plan: Snapshot, declined: Sequence[str], *, restarting: bool) -> PlanFollowed:
    questions = [OpenQuestion.of(question) for question in open_questions(plan)]
    message = plan.messages[-1].content if plan.messages else None
    return PlanFollowed(
        plan_id=plan.plan_id,
        status=plan.status,
        title=plan.title,
        progress=plan.progress,
        content=plan.content,
        result=plan.result,
        last_message=message,
        questions=questions,
        offset=plan.offset,
        ended=plan.ended_at is not None,
        restarting=restarting,
        next=_next(plan, bool(questions), declined),
    )


def _next(plan: Snapshot, asks: bool, declined: Sequence[str]) -> str:
    if plan.ended_at is not None:
        return f"The plan has ended. The resource plancast://plans/{plan.plan_id} has all of it."
    again = f"call watch_plan again with after={plan.offset}"
    if declined:
        return f"The person did not answer. To go on waiting, {again}."
    if asks:
        return f"Ask the person and call answer_question with what they say; then {again}."
    return f"The plan still runs: {again}."
