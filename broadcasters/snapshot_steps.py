"""What is said of a step, folded.

The first word about a step begins it, whether a step_update or a plan_update with its id. Title, needs and agent stay
until said anew. A higher attempt, a bare `retrying`, or going on after the end opens a new attempt with a clean sheet
(content, progress, data and times); the one before goes to `attempts`. What is said of a lower attempt than the
running one comes too late. Progress is the last one said, for a step may well fall back; completed means 100.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broadcasters.events import PlanUpdate, StepUpdate
from broadcasters.snapshot_draft import Draft
from broadcasters.snapshot_model import AttemptState, StepState

__all__ = ["STEP_ENDED", "tell_step"]

STEP_ENDED: Final[frozenset[str]] = frozenset({"completed", "error", "skipped", "cancelled"})
UNDER_WAY: Final[frozenset[str]] = frozenset({"in_progress", "waiting", "retrying", "stalled"})
MAX_ATTEMPTS: Final = 16
"""So many earlier attempts of a step are kept, the newest."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def tell_step(draft: Draft, step_id: str, said: StepUpdate | PlanUpdate) -> None:
    number = said.attempt if isinstance(said, StepUpdate) else None
    step = draft.steps.get(step_id)
    if step is None:
        step = StepState(step_id=step_id, offset=draft.offset, attempt=1 if number is None else number)
    elif _comes_too_late(step, said.status, number):
        return
    elif _opens_attempt(step, said.status, number):
        step = _next_attempt(draft, step, number, said.timestamp)
    draft.steps[step_id] = step.model_copy(update=_said_of_step(step, said))


def _comes_too_late(step: StepState, status: str, number: int | None) -> bool:
    if number is None or number >= step.attempt:
        return False
    return step.status not in STEP_ENDED or status in STEP_ENDED


def _opens_attempt(step: StepState, status: str, number: int | None) -> bool:
    if number is not None and number > step.attempt:
        return True
    if status == "retrying":
        return number is None and step.status not in ("pending", "retrying")
    return step.status in STEP_ENDED and status not in STEP_ENDED


def _next_attempt(draft: Draft, step: StepState, number: int | None, at: str) -> StepState:
    attempts = step.attempts
    if step.status != "pending":
        attempts = (*attempts, _closed_attempt(step, at))
    if len(attempts) > MAX_ATTEMPTS:
        attempts = attempts[1:]
        draft.count_omitted("attempts")
    return StepState(
        step_id=step.step_id,
        offset=step.offset,
        title=step.title,
        agent_name=step.agent_name,
        needs=step.needs,
        attempt=step.attempt + 1 if number is None else number,
        max_attempts=step.max_attempts,
        attempts=attempts,
    )


def _closed_attempt(step: StepState, at: str) -> AttemptState:
    ended_at = at if step.ended_at is None else step.ended_at
    return AttemptState(
        attempt=step.attempt,
        # Another attempt was needed, so this one failed, even if nobody said so.
        status=step.status if step.status in STEP_ENDED or step.status == "stalled" else "error",
        content=step.content,
        started_at=step.started_at,
        ended_at=ended_at,
        duration_ms=_duration(step.started_at, ended_at),
    )


def _said_of_step(step: StepState, said: StepUpdate | PlanUpdate) -> dict[str, Any]:
    changes: dict[str, Any] = {"status": said.status}
    for name in ("title", "content", "progress", "agent_name", "data"):
        value = getattr(said, name)
        if value is not None:
            changes[name] = value
    if said.progress is None and said.status == "completed":
        changes["progress"] = 100.0
    if isinstance(said, StepUpdate):
        if said.max_attempts is not None:
            changes["max_attempts"] = said.max_attempts
        if said.needs is not None:
            changes["needs"] = tuple(said.needs)
    return changes | _times_of_step(step, said.status, said.timestamp)


def _times_of_step(step: StepState, status: str, at: str) -> dict[str, Any]:
    if status in STEP_ENDED:
        ended_at = at if step.ended_at is None else step.ended_at
        return {"ended_at": ended_at, "duration_ms": _duration(step.started_at, ended_at)}
    started_at = at if step.started_at is None and status in UNDER_WAY else step.started_at
    return {"started_at": started_at, "ended_at": None, "duration_ms": None}


def _duration(started_at: str | None, ended_at: str) -> int | None:
    """Whole milliseconds; 0 when the clocks of two machines make it look negative."""
    return None if started_at is None else max(0, _milliseconds(ended_at) - _milliseconds(started_at))


def _milliseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(milliseconds=1)
