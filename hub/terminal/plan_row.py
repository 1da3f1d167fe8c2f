"""A plan in one line of a table: how it is, how far, and what happens in it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broadcasters.events import PLAN_ENDED, STEP_ENDED
from broadcasters.snapshot import Snapshot, StepState
from hub.terminal.look import clean
from hub.terminal.text import brief, joined, seconds, words

__all__ = ["STATUS_STYLES", "PlanRow"]

STATUS_STYLES: Final = {
    "pending": "dim",
    "waiting": "ask",
    "completed": "good",
    "error": "bad",
    "cancelled": "bad",
    "stalled": "bad",
}
NOW_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What a table shows of a plan."""

    plan_id: str
    title: str
    status: str
    """The plan's status; `stalled` if the worker of one of its steps is gone."""
    progress: float | None
    """Percent; by the steps that ended, if the plan reports none. None if that is unknown."""
    now: str
    """The open question, or the steps in progress, or the last message; at the end, its outcome."""
    offset: int

    @classmethod
    def of(cls, plan: Snapshot) -> PlanRow:
        status = "stalled" if any(step.status == "stalled" for step in plan.steps) else plan.status
        status = plan.status if plan.status in PLAN_ENDED else status
        return cls(plan.plan_id, _line(plan.title or ""), status, _progress(plan), _line(_now(plan)), plan.offset)

    @property
    def ended(self) -> bool:
        return self.status in PLAN_ENDED

    @property
    def asks(self) -> bool:
        """Whether a question is open."""
        return not self.ended and self.now.startswith("? ")

    @property
    def style(self) -> str:
        """The style of the status."""
        return STATUS_STYLES.get(self.status, "")

    @property
    def percent(self) -> str:
        return "" if self.progress is None else f"{self.progress:.0f} %"

    @property
    def shown_status(self) -> str:
        return words(self.status)


def _progress(plan: Snapshot) -> float | None:
    if plan.progress is not None:
        return plan.progress
    if plan.status == "completed":
        return 100.0
    if all(step.status in STEP_ENDED for step in plan.steps):
        return None  # no steps, or others follow, since the plan goes on
    parts = (100.0 if step.status in STEP_ENDED else step.progress or 0.0 for step in plan.steps)
    return sum(parts) / len(plan.steps)


def _now(plan: Snapshot) -> str:
    if plan.status in PLAN_ENDED:
        took = seconds(plan.created_at, plan.ended_at) if plan.created_at and plan.ended_at else ""
        return joined(f"in {took}" if took else None, plan.content)
    for asked in plan.inputs:
        if asked.answered_at is None:
            options = " | ".join(brief(option) for option in asked.options or ())
            return f"? {asked.prompt}{f' [{options}]' if options else ''}"
    running = [step for step in plan.steps if step.status not in STEP_ENDED and step.status != "pending"]
    if running:
        return ", ".join(_step(step) for step in running)
    last = plan.messages[-1] if plan.messages else None
    return f"{last.agent_name}: {last.content}" if last is not None else plan.content or ""


def _step(step: StepState) -> str:
    name = joined(step.title or step.step_id, step.content)
    again = f"attempt {step.attempt}" if step.attempt > 1 else ""
    how = "" if step.status == "in_progress" else words(step.status)
    part = f"{step.progress:.0f} %" if step.progress is not None else ""
    notes = ", ".join(filter(None, (how, again, part)))
    return f"{name} ({notes})" if notes else name


def _line(text: str) -> str:
    """The text on one line, with limited length."""
    return " ".join(clean(text[:NOW_CHARS]).split())
