"""What was told of a run before this worker took it over: read from the plan's log, which is the truth about that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from broadcasters.events import PLAN_ENDED, AgentMessage, PlanStatus, StepStatus, ToolCall, build
from broadcasters.snapshot import Snapshot
from broadcasters.snapshot_model import MessageState, StepState
from broadcasters.snapshot_steps import STEP_ENDED
from plan_engine.run.questions import Asked
from plan_engine.run.reporter import Keyed
from plan_engine.run.step_reporter import BROKEN_OFF

__all__ = ["Past", "PastStep", "broken_off"]

RESTARTED = "its worker was restarted"


@dataclass(frozen=True, slots=True)
class PastStep:
    """How far a step was, as told. With nothing told yet: its first attempt, not begun."""

    status: StepStatus = "pending"
    attempt: int = 1
    restarts: int = 0
    """How many of its attempts ended because their worker did."""
    pause: float = 0.0
    """Seconds that are left of the pause before this attempt."""

    @property
    def ended(self) -> bool:
        return self.status in STEP_ENDED

    @property
    def begun(self) -> bool:
        """Was the agent of this attempt at work? (One that only waited for a person comes back to its question.)"""
        return self.status not in ("pending", "retrying", "waiting")

    @property
    def failures(self) -> int:
        return self.attempt - 1 - self.restarts

    @classmethod
    def of(cls, state: StepState) -> PastStep:
        restarts = (state.data or {}).get("restarts", 0)
        known = isinstance(restarts, int) and 0 <= restarts < state.attempt
        return cls(state.status, state.attempt, restarts if known else 0, _left_of_pause(state))


def _left_of_pause(state: StepState) -> float:
    pause = (state.data or {}).get("pause")
    if state.status != "retrying" or state.started_at is None or not isinstance(pause, int | float):
        return 0.0
    gone = (datetime.now(UTC) - datetime.fromisoformat(state.started_at)).total_seconds()
    return max(0.0, pause - max(0.0, gone))


@dataclass(frozen=True, slots=True)
class Past:
    """The run's past; that of a new run is `Past()`."""

    told: int = 0
    """So many events."""
    status: PlanStatus = "in_progress"
    content: str | None = None
    percent: float = 0.0
    steps: Mapping[str, PastStep] = field(default_factory=dict[str, PastStep])
    asked: Mapping[str, Asked] = field(default_factory=dict[str, Asked])
    loose_ends: tuple[Keyed, ...] = ()
    """Messages and tools that the attempts that died left open: what is to be told to close them."""

    @property
    def ended(self) -> bool:
        return self.status in PLAN_ENDED

    @property
    def waiting(self) -> bool:
        """Does a step of it wait for a person?"""
        return any(step.status == "waiting" for step in self.steps.values())

    def step(self, step_id: str) -> PastStep:
        return self.steps.get(step_id) or PastStep()

    @classmethod
    def of(cls, snapshot: Snapshot, step_ids: Iterable[str]) -> Past:
        ours = {*step_ids}
        return cls(
            told=snapshot.offset,
            status=snapshot.status,
            content=snapshot.content,
            percent=snapshot.progress or 0.0,
            steps={state.step_id: PastStep.of(state) for state in snapshot.steps},
            asked={state.request_id: Asked(state.expires_at) for state in snapshot.inputs},
            loose_ends=(*_open_messages(snapshot, ours), *_open_tools(snapshot, ours)),
        )


def _open_messages(snapshot: Snapshot, ours: set[str]) -> Iterator[Keyed]:
    for state in snapshot.messages:
        if state.streaming and state.step_id in ours:
            yield broken_off(snapshot.plan_id, state, RESTARTED), f"{state.message_id}:end"


def broken_off(plan_id: str, message: MessageState, why: str) -> AgentMessage:
    """The end of a message that nobody will go on with."""
    fields = {
        "plan_id": plan_id,
        "agent_name": message.agent_name,
        "content": "",
        "message_type": message.message_type,
        "step_id": message.step_id,
        "message_id": message.message_id,
        "append": True,
        "final": True,
        "error": why,
    }
    return build(AgentMessage, fields)


def _open_tools(snapshot: Snapshot, ours: set[str]) -> Iterator[Keyed]:
    for state in snapshot.tool_calls:
        if state.phase == "started" and state.step_id in ours:
            fields = {
                "plan_id": snapshot.plan_id,
                "agent_name": state.agent_name,
                "call_id": state.call_id,
                "tool_name": state.tool_name,
                "phase": "error",
                "result": f"{BROKEN_OFF}: {RESTARTED}",
                "step_id": state.step_id,
            }
            yield build(ToolCall, fields), f"{state.call_id}:end"
