"""The runs of a thread: each is a part of a plan, from its start or from an answer to the next question or the end."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from broadcasters.events import InputResponse, parse
from broadcasters.log.contract import PlanLog
from broadcasters.snapshot import InputState, Snapshot
from hub.protocols.segments import waits

__all__ = ["RunStatus", "ThreadRun", "begin_of", "run_id_of", "runs_of", "template_of"]

RunStatus = Literal["pending", "running", "success", "error", "interrupted"]

_NAMES: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:plancast:langgraph:run")
_PAGES: Final = 20
"""Pages of the log in which an answer is looked for, after its question."""


def run_id_of(plan_id: str, offset: int) -> str:
    """The id of the run that begins with the plan (offset 0), or with the answer to the question at this offset."""
    return str(uuid.uuid5(_NAMES, f"{plan_id}:{offset}"))


@dataclass(frozen=True, slots=True)
class ThreadRun:
    """A run of a thread, with its plan as it is."""

    thread_id: str
    plan: Snapshot
    question: InputState | None
    """The question whose answer began the run; None: the plan's start did."""

    @property
    def run_id(self) -> str:
        return run_id_of(self.plan.plan_id, 0 if self.question is None else self.question.offset)

    @property
    def status(self) -> RunStatus:
        """The status of its plan: the stream of a run that an answer has continued goes on to where the plan is."""
        match self.plan.status:
            case "completed":
                return "success"
            case "error":
                return "error"
            case "cancelled":
                return "interrupted"
            case "pending":
                return "pending"
            case _:
                return "interrupted" if waits(self.plan) else "running"

    def body(self) -> dict[str, Any]:
        """The run as responses have it."""
        return {
            "run_id": self.run_id,
            "thread_id": self.thread_id,
            "assistant_id": template_of(self.plan),
            "created_at": self.plan.created_at if self.question is None else self.question.answered_at,
            "updated_at": self.plan.updated_at,
            "status": self.status,
            "metadata": {"plan_id": self.plan.plan_id},
            "kwargs": {},
            "multitask_strategy": "reject",
        }


def runs_of(thread_id: str, plans: Sequence[Snapshot]) -> Sequence[ThreadRun]:
    """All runs of these plans, the first one first."""
    runs: list[ThreadRun] = []
    for plan in plans:
        answered = [question for question in plan.inputs if question.answered_at is not None]
        answered.sort(key=lambda question: (question.answered_at or "", question.offset))
        runs += [ThreadRun(thread_id, plan, question) for question in (None, *answered)]
    return runs


def template_of(plan: Snapshot) -> str:
    """The name of the plan's template, as the engine notes it; empty for a plan of another program."""
    name = (plan.data or {}).get("template")
    return name if isinstance(name, str) else ""


async def begin_of(log: PlanLog, run: ThreadRun) -> int:
    """The position in the plan after which the run begins: before the answer that began it, or, if the log has that no
    more, after the question."""
    if run.question is None:
        return 0
    after = run.question.offset
    for _ in range(_PAGES):
        page = await log.read(run.plan.plan_id, after)
        for offset, payload in enumerate(page.payloads, page.first):
            event = parse(payload) if payload.startswith(b'{"type":"input_response"') else None
            if isinstance(event, InputResponse) and event.request_id == run.question.request_id:
                return offset - 1
        after += len(page.payloads)
        if not page.payloads or after >= page.head.offset:
            break
    return run.question.offset
