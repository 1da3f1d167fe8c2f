"""What a worker is given to run, and what it lends to the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import PlanUpdate, StepUpdate, build
from broadcasters.log.contract import PlanLog
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.plan import Plan
from plan_engine.run.context import Answer
from plan_engine.run.questions import AnswerBook
from plan_engine.run.reporter import Grip, Keyed
from plan_engine.run.run_state import Place

__all__ = ["Assignment", "Book", "Signal", "Tools", "opening"]


@dataclass(frozen=True, slots=True)
class Signal:
    """What somebody wants of a run."""

    number: int
    name: str
    by: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is to be run."""

    plan_id: str
    template: str
    given: Mapping[str, Any]
    owner: str | None
    plan: Plan


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker lends to its runs."""

    log: PlanLog
    broadcaster: Broadcaster
    grip: Grip
    book: Book
    slot: Place
    model: LanguageModel


class Book(AnswerBook, Protocol):
    """What is recorded about a run besides the outcomes of its steps."""

    async def signals(self, plan_id: str) -> Sequence[Signal]: ...

    async def answers(self, plan_id: str) -> Mapping[str, Answer]: ...


def opening(work: Assignment) -> Iterator[Keyed]:
    """The first words about a plan. They are told when it is started, and again, to no effect, when it is begun."""
    plan_id, plan = work.plan_id, work.plan
    first = {
        "plan_id": plan_id,
        "status": "pending",
        "title": plan.title,
        "owner": work.owner,
        "labels": [*plan.labels] or None,
        "data": {"template": work.template},
    }
    yield build(PlanUpdate, first), "~plan:pending"
    for step in plan.steps:
        fields = {
            "plan_id": plan_id,
            "step_id": step.id,
            "status": "pending",
            "title": step.title,
            "needs": [*step.needs] or None,
            "agent_name": step.agent_name,
            "max_attempts": step.retries + 1,
        }
        yield build(StepUpdate, fields), f"{step.id}:pending"
