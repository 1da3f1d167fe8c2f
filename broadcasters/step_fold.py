"""The fold of a plan's steps.

The first step_update, or plan_update with a step_id, adds the step. Title, needs and agent stay until they are
set again. An update with usage names the agent that used it, which becomes the step's only if the step has none. A higher
attempt, `retrying` without a number, or another status after the end begins a new attempt without content, progress, data
and times; the previous one goes to `attempts`. Updates of a lower attempt than the current one are ignored. Progress may go
back; `completed` sets it to 100.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broadcasters.events import STEP_ENDED, PlanUpdate, StepUpdate
from broadcasters.snapshot import AttemptState, StepState
from broadcasters.snapshot_draft import Draft

__all__ = ["update_step"]

MAX_ATTEMPTS: Final = 16
"""Earlier attempts kept of a step, the latest."""
_UNDER_WAY: Final[frozenset[str]] = frozenset({"in_progress", "waiting", "retrying", "stalled"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def update_step(draft: Draft, step_id: str, event: StepUpdate | PlanUpdate) -> None:
    """Change the step by an event about it, or add it."""
    number = event.attempt if isinstance(event, StepUpdate) else None
    step = draft.steps.get(step_id)
    if step is None:
        step = StepState(step_id=step_id, offset=draft.offset, attempt=1 if number is None else number)
    elif _is_outdated(step, event.status, number):
        return
    elif _opens_attempt(step, event.status, number):
        step = _next_attempt(draft, step, number, event.timestamp)
    draft.steps[step_id] = step.model_copy(update=_step_changes(step, event))


def _is_outdated(step: StepState, status: str, number: int | None) -> bool:
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
        usage=step.usage,
    )


def _closed_attempt(step: StepState, at: str) -> AttemptState:
    ended_at = at if step.ended_at is None else step.ended_at
    return AttemptState(
        attempt=step.attempt,
        # Another attempt was needed, so this one failed, even if no event reported it.
        status=step.status if step.status in STEP_ENDED or step.status == "stalled" else "error",
        content=step.content,
        started_at=step.started_at,
        ended_at=ended_at,
        duration_ms=_duration(step.started_at, ended_at),
    )


def _step_changes(step: StepState, event: StepUpdate | PlanUpdate) -> dict[str, Any]:
    changes: dict[str, Any] = {"status": event.status}
    for name in ("title", "content", "progress", "agent_name", "data"):
        value = getattr(event, name)
        if value is not None:
            changes[name] = value
    if event.progress is None and event.status == "completed":
        changes["progress"] = 100.0
    if isinstance(event, StepUpdate):
        if event.max_attempts is not None:
            changes["max_attempts"] = event.max_attempts
        if event.needs is not None:
            changes["needs"] = tuple(event.needs)
        if event.usage is not None and step.agent_name is not None:
            changes["agent_name"] = step.agent_name
    return changes | _step_times(step, event.status, event.timestamp)


def _step_times(step: StepState, status: str, at: str) -> dict[str, Any]:
    if status in STEP_ENDED:
        ended_at = at if step.ended_at is None else step.ended_at
        return {"ended_at": ended_at, "duration_ms": _duration(step.started_at, ended_at)}
    started_at = at if step.started_at is None and status in _UNDER_WAY else step.started_at
    return {"started_at": started_at, "ended_at": None, "duration_ms": None}


def _duration(started_at: str | None, ended_at: str) -> int | None:
    """Whole milliseconds; 0 when the clocks of two machines make it look negative."""
    return None if started_at is None else max(0, _milliseconds(ended_at) - _milliseconds(started_at))


def _milliseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(milliseconds=1)
