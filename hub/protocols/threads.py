"""Threads: the conversations of other protocols' clients, each a sequence of plans.

The first plan of a thread has the thread's id, so any plan can be opened as a thread. What a person writes after the end of
a plan starts the next one, `{thread}.2`, `{thread}.3` and so on, with the same template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from broadcasters.checkpointing import snapshot_of
from broadcasters.events import check_plan_id
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.callers import require
from hub.api.problems import Problem
from hub.core.connection import RequestRefused
from hub.core.effects import SendSignal, SubmitAnswer
from hub.core.rates import SNAPSHOT
from hub.engine_port import TemplateInfo
from hub.node import Hub
from hub.wire.codes import ErrorCode

__all__ = [
    "ThreadPlan",
    "Threads",
    "input_of",
    "may_have_started",
    "not_cancelled",
    "plan_id_in",
    "request_of",
    "split_plan_id",
    "working_on_another",
]

HEADS_AT_ONCE: Final = 16


def plan_id_in(thread_id: str, number: int) -> str:
    """The id of a thread's plan; the first is number 1. Raises `InvalidPlanId`."""
    return check_plan_id(thread_id if number == 1 else f"{thread_id}.{number}")


def split_plan_id(plan_id: str) -> tuple[str, int]:
    """The thread's id and the plan's number. A plan whose own id ends like that is taken for a later plan."""
    thread_id, dot, number = plan_id.rpartition(".")
    later = dot and thread_id and number.isascii() and number.isdecimal() and number[0] != "0" and int(number) > 1
    return (thread_id, int(number)) if later else (plan_id, 1)


def request_of(plan: Snapshot) -> str:
    """What a person wrote to start the plan, as the engine recorded it; otherwise the plan's title, or ""."""
    request = (plan.data or {}).get("request")
    return request if isinstance(request, str) else plan.title or ""


def may_have_started(text: str, plan: Snapshot) -> bool:
    """Whether this is what a person wrote to start the plan, as far as that is recorded."""
    request = (plan.data or {}).get("request")
    if not isinstance(request, str) or request.strip() == text.strip():
        return True
    return request.endswith("…") and text.strip().startswith(request[:-1].strip())


def working_on_another() -> Problem:
    """The refusal of a message to a thread that works on another one."""
    detail = "another message is being worked on: wait for its end and send this one again, or stop it"
    return Problem(ErrorCode.NOT_SUPPORTED, detail)


def not_cancelled(plan_id: str) -> Problem:
    """The refusal of a client's request to stop a plan that no program would stop."""
    detail = (
        f"nothing that can be stopped works on the plan {plan_id!r:.140}: no engine, nor a program that obeys “cancel”"
    )
    return Problem(ErrorCode.NOT_SUPPORTED, detail, status=409)


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """A plan of a thread, as it was when it was read."""

    number: int
    position: Position
    plan: Snapshot

    @property
    def ended(self) -> bool:
        return self.plan.ended_at is not None


class Threads:
    """What the routes of all protocols do with threads. Each method checks the caller's rights and raises what
    `problem_of` knows."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def count(self, principal: Principal, thread_id: str) -> int:
        """How many plans the thread has; 0: there is no such thread."""
        require(principal, "read", check_plan_id(thread_id))
        return await _count(self._hub.log, thread_id)

    async def plan(self, principal: Principal, thread_id: str, number: int) -> ThreadPlan:
        """A plan of the thread. The right to read the thread is the right to read its first plan, and the plan itself."""
        plan_id = plan_id_in(thread_id, number)
        require(principal, "read", thread_id, plan_id)
        snapshot, head = await snapshot_of(self._hub.log, plan_id)
        return ThreadPlan(number, head.position, snapshot)

    async def newest(self, principal: Principal, thread_id: str) -> ThreadPlan | None:
        """The last plan of the thread; None: there is no such thread."""
        count = await self.count(principal, thread_id)
        return await self.plan(principal, thread_id, count) if count else None

    async def all(self, principal: Principal, thread_id: str) -> Sequence[ThreadPlan]:
        """All plans of the thread, in their order. Each is charged to the principal."""
        count = await self.count(principal, thread_id)
        holder = self._hub.admission.holder_of(None, principal)
        self._hub.admission.rates.owe(holder, SNAPSHOT * count)
        return [await self.plan(principal, thread_id, number) for number in range(1, count + 1)]

    def template(self, name: str) -> TemplateInfo:
        """The template of this name. Raises `Problem`."""
        known = self._hub.engine.templates() if self._hub.engine is not None else ()
        for template in known:
            if template.name == name:
                return template
        names = ", ".join(template.name for template in known) or "none: this hub has no engine"
        raise Problem("unknown_template", f"there is no template {name!r:.80}; the templates are {names}", status=404)

    async def start(
        self,
        principal: Principal,
        template: str,
        thread_id: str,
        number: int,
        text: str | None,
        fields: Mapping[str, Any],
    ) -> str:
        """Start a plan of the thread from what a person wrote, and return its id. Starting it again changes nothing. Raises
        `Problem` if another message has started it meanwhile."""
        plan_id = plan_id_in(thread_id, number)
        require(principal, "start", plan_id)
        given = input_of(self.template(template), text, fields)
        if not await self._hub.start_plan(template, given, plan_id, principal.subject):
            raise working_on_another()
        return plan_id

    async def answer(self, principal: Principal, plan_id: str, request_id: str, answer: Any) -> Position | None:
        """Answer a question. None: it was answered before, or the plan has ended."""
        require(principal, "input", plan_id)
        try:
            return await self._hub.answer(SubmitAnswer(plan_id, request_id, answer, None, principal.subject))
        except RequestRefused as refusal:
            if refusal.code in (ErrorCode.ALREADY_ANSWERED, ErrorCode.PLAN_ENDED):
                return None
            raise

    async def cancel(self, principal: Principal, plan_id: str) -> bool:
        """Cancel a plan; its events report when that has taken effect. False: nothing that obeys works on it."""
        require(principal, "signal", plan_id)
        try:
            await self._hub.signal(SendSignal(plan_id, "cancel", None, principal.subject))
        except RequestRefused as refusal:
            if refusal.code is not ErrorCode.NOT_SUPPORTED:
                raise
            return False
        return True

    async def delete(self, principal: Principal, thread_id: str) -> int:
        """Delete the thread's plans, the last one first; returns how many there were. Their subscribers are notified.
        Refused while the engine works on one, because its next event would begin the plan again."""
        require(principal, "publish", check_plan_id(thread_id))
        count = await _count(self._hub.log, thread_id)
        plans = [plan_id_in(thread_id, number) for number in range(count, 0, -1)]
        require(principal, "publish", *plans)
        for plan_id in plans:
            plan, _ = await snapshot_of(self._hub.log, plan_id)
            if plan.ended_at is None and "template" in (plan.data or {}):
                raise Problem("thread_busy", f"the plan {plan_id} has not ended; cancel it, then delete", status=409)
        for plan_id in plans:
            await self._hub.log.delete(plan_id)
        return count


def input_of(template: TemplateInfo, text: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The template's input: the text, if there is one, becomes its only required string, unless the fields have that.
    Raises `Problem`."""
    schema = template.input_schema
    properties: Mapping[str, Any] = schema.get("properties", {})
    texts = [name for name, field in properties.items() if field.get("type") == "string" and name not in fields]
    required = [name for name in texts if name in schema.get("required", ())]
    given = {name: value for name, value in fields.items() if name in properties}
    if text is None:
        return given
    if len(only := required or texts) == 1:
        return {**given, only[0]: text}
    if required or not given:
        names = ", ".join(required or properties) or "nothing"
        detail = (
            f"the message can't be assigned to a field of {template.name}, which takes {names}; send them as fields"
        )
        raise Problem(ErrorCode.INVALID_FIELD, detail, field=next(iter(required or properties), None))
    return given


async def _count(log: PlanLog, thread_id: str) -> int:
    count = 0
    while True:
        ids = [plan_id_in(thread_id, number) for number in range(count + 1, count + 1 + HEADS_AT_ONCE)]
        heads = await log.heads(ids)
        here = next((at for at, plan_id in enumerate(ids) if not heads[plan_id].offset), HEADS_AT_ONCE)
        count += here
        if here < HEADS_AT_ONCE:
            return count
