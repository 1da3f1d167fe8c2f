"""How a run goes as a whole: on, paused or stopping; waiting for people or not; how far. And the telling of it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from broadcasters.events import PlanStatus, PlanUpdate, build
from plan_engine.model.plan import Step
from plan_engine.run.reporter import Keyed, Teller

__all__ = ["Course", "Place", "Stop"]

PATIENCE: Final = 0.3
"""Seconds that stopping waits for its acknowledgement to be told."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run stops before its end. `lost`: another worker has it; `handed_over`: another one may take it."""

    why: Literal["cancelled", "failed", "lost", "handed_over"]
    text: str = ""
    by: str | None = None
    data: Mapping[str, Any] | None = None


class Place(Protocol):
    """A run's place among those that are worked on at once."""

    def free(self) -> None: ...

    def take(self) -> None: ...


class Course:
    """One for each run. `again`: how much had been told when this worker took the plan over; 0 when it began it."""

    def __init__(
        self, teller: Teller, steps: Sequence[Step], slot: Place, again: int = 0, percent: float = 0.0
    ) -> None:
        self._teller = teller
        self._slot = slot
        self._again = again
        self._said = 0
        self._told: PlanStatus = "in_progress"
        self._percent = percent
        self._whole = sum(step.weight for step in steps) or 1.0
        self._weights = {step.id: step.weight for step in steps}
        self._done = dict.fromkeys(self._weights, 0.0)
        self._sum = 0.0
        self._awaited = 0
        self._paused = False
        self._stops = False
        """It will stop; nobody can change that any more."""
        self._busy = 0
        self._resting: dict[str, int] = {}
        self.going = asyncio.Event()
        """Set unless the run is paused. A run that stops goes, too: to its end."""
        self.going.set()
        self.stopping: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        """Done, with the reason, when the run is to stop."""

    @property
    def stop(self) -> Stop | None:
        return self.stopping.result() if self.stopping.done() else None

    def end(self, stop: Stop) -> None:
        """Make the run stop; the first reason counts."""
        self._stops = True
        if not self.stopping.done():
            self.stopping.set_result(stop)
            self.going.set()

    # ---- pausing

    async def pause(self, by: str, key: str) -> None:
        if not self._paused and not self._stops:
            self._paused = True
            self.going.clear()
            await self._acknowledge("pause", by, f"Paused by {by}", key)

    async def resume(self, by: str, key: str) -> None:
        if self._paused and not self._stops:
            self._paused = False
            self.going.set()
            await self._acknowledge("resume", by, f"{by} let it go on", key)

    async def cancel(self, by: str, key: str) -> None:
        """Acknowledged first, where the log is quick, and stopped even where it isn't."""
        if self._stops:
            return
        self._stops = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._acknowledge("cancel", by, f"Stopping, as {by} asked", key)
        finally:
            self.end(Stop("cancelled", f"Stopped by {by}", by, {"signal": "cancel", "state": "stopped", "by": by}))

    async def _acknowledge(self, signal: str, by: str, content: str, key: str) -> None:
        self._told = self.status
        data = {"signal": signal, "state": "acknowledged", "by": by}
        fields = {"plan_id": self._teller.plan_id, "status": self._told, "content": content, "data": data}
        await self._teller.tell(build(PlanUpdate, fields), key)

    # ---- at work

    @property
    def idle(self) -> bool:
        """Are there steps under way, and all of them waiting: for people, for another try, for the plan to go on?"""
        return len(self._resting) >= self._busy > 0

    @contextmanager
    def busy(self) -> Generator[None]:
        """A step is under way."""
        self._busy += 1
        self._slot_changed()
        try:
            yield
        finally:
            self._busy -= 1
            self._slot_changed()

    @contextmanager
    def resting(self, step_id: str) -> Generator[None]:
        """A step that is under way waits, perhaps for several things at once."""
        self._resting[step_id] = self._resting.get(step_id, 0) + 1
        self._slot_changed()
        try:
            yield
        finally:
            self._resting[step_id] -= 1
            if not self._resting[step_id]:
                del self._resting[step_id]
            self._slot_changed()

    def _slot_changed(self) -> None:
        if self.idle:
            self._slot.free()
        else:
            self._slot.take()

    # ---- waiting for people

    @property
    def status(self) -> PlanStatus:
        return "waiting" if self._paused or self._awaited else "in_progress"

    def awaits_person(self) -> Iterable[Keyed]:
        """A step waits for a person: what is to be told of the plan."""
        self._awaited += 1
        return self._status_changed()

    def got_person(self) -> Iterable[Keyed]:
        """A step waits no longer."""
        self._awaited -= 1
        return self._status_changed()

    def took_over(self, told: PlanStatus) -> Iterable[Keyed]:
        """The plan was told to be in this status before it was taken over."""
        self._told = told
        return self._status_changed()

    def _status_changed(self) -> Iterable[Keyed]:
        if self._told != self.status and not self.stop:
            self._told = self.status
            yield self._update(status=self._told)

    # ---- progress

    def progress(self, step_id: str, percent: float) -> Iterable[Keyed]:
        """A step is so far: what is to be told of the plan, in whole percents, and never backwards."""
        self._sum += self._weights[step_id] * (percent - self._done[step_id])
        self._done[step_id] = percent
        whole = float(int(self._sum / self._whole + 1e-9))
        if whole > self._percent and whole < 100 and not self.stop:
            self._percent = whole
            yield self._update(status=self.status, progress=whole)

    def _update(self, **fields: Any) -> Keyed:
        key = f"~plan:{self._again}:{self._said}"
        self._said += 1
        return build(PlanUpdate, {"plan_id": self._teller.plan_id, **fields}), key
