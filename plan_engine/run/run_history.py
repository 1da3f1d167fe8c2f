"""What earlier workers reported of a run before this one took it over, read from the plan's log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from broadcasters.events import PLAN_ENDED, STEP_ENDED, PlanStatus, StepStatus
from broadcasters.snapshot import Snapshot, StepState
from plan_engine.run.run_events import KeyedEvent, interrupted

__all__ = ["RecordedQuestion", "RunHistory", "StepHistory"]


@dataclass(frozen=True, slots=True)
class RecordedQuestion:
    """A question that is already in the log."""

    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class StepHistory:
    """How far a step had got. The default is a step of which nothing was reported: its first attempt has not begun."""

    status: StepStatus = "pending"
    attempt: int = 1
    restarts: int = 0
    """The number of its attempts that ended because their worker did."""
    pause: float = 0.0
    """Seconds left of the pause before this attempt."""

    @property
    def ended(self) -> bool:
        return self.status in STEP_ENDED

    @property
    def begun(self) -> bool:
        """Whether the agent of this attempt was working. One that waited for a person resumes at its question instead."""
        return self.status not in ("pending", "retrying", "waiting")

    @property
    def failures(self) -> int:
        return self.attempt - 1 - self.restarts

    @classmethod
    def of(cls, state: StepState) -> StepHistory:
        restarts = (state.data or {}).get("restarts", 0)
        valid = isinstance(restarts, int) and 0 <= restarts < state.attempt
        return cls(state.status, state.attempt, restarts if valid else 0, _remaining_pause(state))


def _remaining_pause(state: StepState) -> float:
    pause = (state.data or {}).get("pause")
    if state.status != "retrying" or state.started_at is None or not isinstance(pause, int | float):
        return 0.0
    elapsed = (datetime.now(UTC) - datetime.fromisoformat(state.started_at)).total_seconds()
    return max(0.0, pause - max(0.0, elapsed))


@dataclass(frozen=True, slots=True)
class RunHistory:
    """The history of a run; that of a new run is `RunHistory()`."""

    offset: int = 0
    """The number of events reported."""
    status: PlanStatus = "in_progress"
    content: str | None = None
    percent: float = 0.0
    steps: Mapping[str, StepHistory] = field(default_factory=dict[str, StepHistory])
    questions: Mapping[str, RecordedQuestion] = field(default_factory=dict[str, RecordedQuestion])
    loose_ends: tuple[KeyedEvent, ...] = ()
    """Events that close the messages and tool calls which dead attempts left open."""

    @property
    def ended(self) -> bool:
        return self.status in PLAN_ENDED

    @property
    def waiting(self) -> bool:
        """Whether one of its steps waits for a person."""
        return any(step.status == "waiting" for step in self.steps.values())

    def step(self, step_id: str) -> StepHistory:
        return self.steps.get(step_id) or StepHistory()

    @classmethod
    def of(cls, snapshot: Snapshot, step_ids: Iterable[str]) -> RunHistory:
        return cls(
            offset=snapshot.offset,
            status=snapshot.status,
            content=snapshot.content,
            percent=snapshot.progress or 0.0,
            steps={state.step_id: StepHistory.of(state) for state in snapshot.steps},
            questions={state.request_id: RecordedQuestion(state.expires_at) for state in snapshot.inputs},
            loose_ends=(*interrupted(snapshot, {*step_ids}),),
        )
