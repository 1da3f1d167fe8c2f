"""The state of a run as a whole (running, paused, waiting, stopping; how far), and the plan updates that report it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from broadcasters.events import PlanStatus, PlanUpdate, SignalName, build
from broadcasters.signals import acknowledgement
from plan_engine.model.plan import Step
from plan_engine.run.reporter import Reporter
from plan_engine.run.run_events import KeyedEvent

__all__ = ["RunState", "StopReason", "WorkerSlot"]

ACKNOWLEDGE_S: Final = 0.3
"""How long a cancelled run waits for its acknowledgement to be appended."""


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a run stops early. `lost`: another worker owns it; `handed_over`: another one may take it."""

    why: Literal["cancelled", "failed", "lost", "handed_over"]
    text: str = ""
    by: str | None = None
    data: Mapping[str, Any] | None = None


class WorkerSlot(Protocol):
    """A run's slot among those its worker runs at once."""

    def free(self) -> None: ...

    def take(self) -> None: ...


class RunState:
    """One for each run.

    `offset` is the plan's offset when this worker took the run over, 0 when it began it; it keeps the keys of this worker's
    updates apart from those of the earlier ones. `about` is the plan's data, which each update with data must repeat."""

    def __init__(
        self,
        reporter: Reporter,
        steps: Sequence[Step],
        slot: WorkerSlot,
        about: Mapping[str, Any],
        offset: int = 0,
        percent: float = 0.0,
    ) -> None:
        self._reporter = reporter
        self._slot = slot
        self._about = about
        self._offset = offset
        self._updates = 0
        self._reported: PlanStatus = "in_progress"
        self._percent = percent
        self._total_weight = sum(step.weight for step in steps) or 1.0
        self._weights = {step.id: step.weight for step in steps}
        self._percents = dict.fromkeys(self._weights, 0.0)
        self._weighted_sum = 0.0
        self._waits = 0
        self._paused = False
        self._stops = False
        """It will stop; later signals have no effect."""
        self._busy = 0
        self._resting: dict[str, int] = {}
        self.going = asyncio.Event()
        """Set unless the run is paused. Also set when the run stops, so that its steps can end."""
        self.going.set()
        self.stopping: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        """Resolved with the reason when the run must stop."""

    @property
    def stop(self) -> StopReason | None:
        return self.stopping.result() if self.stopping.done() else None

    def end(self, reason: StopReason) -> None:
        """Stop the run. The first reason given counts."""
        self._stops = True
        if not self.stopping.done():
            self.stopping.set_result(reason)
            self.going.set()

    # ---- signals

    async def pause(self, by: str, key: str) -> None:
        if not self._paused and not self._stops:
            self._paused = True
            self.going.clear()
            await self._acknowledge("pause", by, key)

    async def resume(self, by: str, key: str) -> None:
        if self._paused and not self._stops:
            self._paused = False
            self.going.set()
            await self._acknowledge("resume", by, key)

    async def cancel(self, by: str, key: str) -> None:
        """Acknowledge, then stop. A slow log delays the stop by `ACKNOWLEDGE_S` at most."""
        if self._stops:
            return
        self._stops = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ACKNOWLEDGE_S):
                    await self._acknowledge("cancel", by, key)
        finally:
            data = {"signal": "cancel", "state": "stopped", "by": by}
            self.end(StopReason("cancelled", f"Stopped by {by}", by, data))

    async def _acknowledge(self, signal: SignalName, by: str, key: str) -> None:
        self._reported = self.status
        content, data = acknowledgement(signal, by)
        known = {"plan_id": self._reporter.plan_id, "status": self._reported, "content": content}
        fields = {**known, "data": {**self._about, **data}}
        await self._reporter.send(build(PlanUpdate, fields), key)

    # ---- the worker's slot

    @property
    def idle(self) -> bool:
        """Whether every step under way is waiting: for a person, for its next attempt, or for the plan to be resumed."""
        return len(self._resting) >= self._busy > 0

    @contextmanager
    def busy(self) -> Generator[None]:
        """Count a step as under way."""
        self._busy += 1
        self._update_slot()
        try:
            yield
        finally:
            self._busy -= 1
            self._update_slot()

    @contextmanager
    def resting(self, step_id: str) -> Generator[None]:
        """Count a step that is under way as waiting. It may wait for several things at once."""
        self._resting[step_id] = self._resting.get(step_id, 0) + 1
        self._update_slot()
        try:
            yield
        finally:
            self._resting[step_id] -= 1
            if not self._resting[step_id]:
                del self._resting[step_id]
            self._update_slot()

    def _update_slot(self) -> None:
        if self.idle:
            self._slot.free()
        else:
            self._slot.take()

    # ---- status and progress. Each method returns the plan update to send, if there is one

    @property
    def status(self) -> PlanStatus:
        return "waiting" if self._paused or self._waits else "in_progress"

    def wait_begins(self) -> Iterable[KeyedEvent]:
        """A step begins to wait for a person."""
        self._waits += 1
        return self._status_changed()

    def wait_ends(self) -> Iterable[KeyedEvent]:
        """A step stops waiting for a person."""
        self._waits -= 1
        return self._status_changed()

    def taken_over(self, reported: PlanStatus) -> Iterable[KeyedEvent]:
        """This worker has taken the run over; its last reported status was `reported`."""
        self._reported = reported
        return self._status_changed()

    def _status_changed(self) -> Iterable[KeyedEvent]:
        if self._reported != self.status and not self.stop:
            self._reported = self.status
            yield self._update(status=self._reported)

    def progress(self, step_id: str, percent: float) -> Iterable[KeyedEvent]:
        """A step has got this far. The plan's progress is reported in whole percents and never decreases."""
        self._weighted_sum += self._weights[step_id] * (percent - self._percents[step_id])
        self._percents[step_id] = percent
        whole = float(int(self._weighted_sum / self._total_weight + 1e-9))
        if whole > self._percent and whole < 100 and not self.stop:
            self._percent = whole
            yield self._update(status=self.status, progress=whole)

    def _update(self, **fields: Any) -> KeyedEvent:
        key = f"~plan:{self._offset}:{self._updates}"
        self._updates += 1
        return build(PlanUpdate, {"plan_id": self._reporter.plan_id, **fields}), key
