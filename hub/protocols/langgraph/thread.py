"""A thread and its states, as responses have them. A state is that of a plan where it is; those before it are the ends
of the plans before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic_core import from_json

from broadcasters.snapshot import Snapshot
from hub.protocols.langgraph.runs import template_of
from hub.protocols.langgraph.state import encoded, interrupts_of, messages_of, values_of
from hub.protocols.segments import open_questions, open_steps, waits

__all__ = ["EMPTY_STATE", "Thread", "ThreadStatus"]

ThreadStatus = Literal["idle", "busy", "interrupted", "error"]

EMPTY_STATE: Final[Mapping[str, Any]] = {
    "values": {},
    "next": [],
    "tasks": [],
    "metadata": {},
    "checkpoint": None,
    "parent_checkpoint": None,
    "created_at": None,
    "interrupts": [],
}
"""The state of a thread that has no run yet."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread with its plans, of which there is at least one."""

    thread_id: str
    plans: Sequence[Snapshot]

    @property
    def newest(self) -> Snapshot:
        return self.plans[-1]

    @property
    def status(self) -> ThreadStatus:
        if self.newest.ended_at is not None:
            return "error" if self.newest.status == "error" else "idle"
        return "interrupted" if waits(self.newest) else "busy"

    def earlier(self, plan_id: str) -> bytes:
        """The messages of the plans before this one: encoded, separated by commas."""
        before: list[Snapshot] = []
        for plan in self.plans:
            if plan.plan_id == plan_id:
                break
            before.append(plan)
        return b",".join(encoded(messages_of(plan))[1:-1] for plan in before if messages_of(plan))

    def values(self, plan: Snapshot) -> dict[str, Any]:
        """The values of the thread while this plan was its newest."""
        values: dict[str, Any] = from_json(values_of(plan, self.earlier(plan.plan_id)))
        return values

    def final_values(self) -> dict[str, Any]:
        """The values of the thread as it is, with what its newest run ended in."""
        values = self.values(self.newest)
        if interrupts := interrupts_of(self.newest):
            values["__interrupt__"] = interrupts
        return values

    def body(self) -> dict[str, Any]:
        """The thread."""
        first, newest = self.plans[0], self.newest
        return {
            "thread_id": self.thread_id,
            "created_at": first.created_at,
            "updated_at": newest.updated_at,
            "metadata": self._metadata(newest),
            "status": self.status,
            "config": {},
            "values": self.values(newest),
            "interrupts": {interrupt["id"]: [interrupt] for interrupt in interrupts_of(newest)},
        }

    def states(self) -> Sequence[dict[str, Any]]:
        """Its states, the newest first."""
        return [self.state(number) for number in range(len(self.plans), 0, -1)]

    def state(self, number: int | None = None) -> dict[str, Any]:
        """The state of the plan of this number; of the newest one, if there is none."""
        number = number or len(self.plans)
        plan = self.plans[number - 1]
        tasks = _tasks(plan)
        return {
            "values": self.values(plan),
            "next": [task["name"] for task in tasks] if plan.ended_at is None else [],
            "tasks": tasks,
            "metadata": self._metadata(plan),
            "checkpoint": self._checkpoint(number),
            "parent_checkpoint": self._checkpoint(number - 1) if number > 1 else None,
            "created_at": plan.updated_at,
            "interrupts": interrupts_of(plan),
        }

    def _checkpoint(self, number: int) -> dict[str, Any]:
        plan = self.plans[number - 1]
        checkpoint_id = f"{plan.plan_id}:{plan.offset}"
        return {"thread_id": self.thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id, "checkpoint_map": {}}

    def _metadata(self, plan: Snapshot) -> dict[str, Any]:
        about = {"graph_id": template_of(plan), "assistant_id": template_of(plan), "owner": plan.owner}
        return {name: value for name, value in about.items() if value} | {"plan_id": plan.plan_id}


def _tasks(plan: Snapshot) -> Sequence[dict[str, Any]]:
    if plan.ended_at is not None:
        return [_task(plan.plan_id, None, error=plan.content or "the plan failed")] if plan.status == "error" else []
    if waits(plan):
        asked = zip(open_questions(plan), interrupts_of(plan), strict=True)
        return [_task(question.request_id, question.step_id, interrupts=[one]) for question, one in asked]
    return [_task(step.step_id, step.step_id) for step in open_steps(plan)] or [_task(plan.plan_id, None)]


def _task(task_id: str, name: str | None, **fields: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "error": None,
        "interrupts": [],
        "checkpoint": None,
        "state": None,
        "result": None,
        "path": [],
    }
    return {"id": task_id, "name": name or "plan", **nothing, **fields}
