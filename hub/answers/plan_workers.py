"""Programs without an engine that work on plans: passes people's signals to them, and reports those that are gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import LogError, SnapshotUnreadable
from broadcasters.event_bytes import is_type
from broadcasters.events import WorkerUpdate
from broadcasters.log.contract import PlanLog
from broadcasters.signals import requested
from broadcasters.snapshot import Snapshot
from broadcasters.supervision import Supervisor
from broadcasters.workers import lease_end, listens, lost_worker
from hub.core.effects import SendSignal
from hub.core.registry import Registry

__all__ = ["PlanWorkers"]

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
GRACE_S: Final = 1.0
"""A sign of life may be on its way for this long after the lease's end."""
LEARNT_AT_ONCE: Final = 64
"""Plans whose worker is looked up in one turn."""


class PlanWorkers:
    """Knows the leases of the plans that this node follows. `start` it; belongs to one event loop."""

    def __init__(self, plan_log: PlanLog, broadcaster: Broadcaster, registry: Registry) -> None:
        self._log = plan_log
        self._broadcaster = broadcaster
        self._registry = registry
        self._leases: dict[str, float] = {}
        """When each lease ends, as Unix time; infinite if no program works on the plan."""
        self._overdue: set[str] = set()
        self._wake = asyncio.Event()

    def start(self, supervisor: Supervisor) -> None:
        """Look for leases that have run out, until the supervisor closes."""
        self._registry.worked = self.noted
        supervisor.repeat("leases of programs that work on plans", self._look, every=LOOK_S, wake=self._wake)

    async def signal(self, signal: SendSignal) -> bool:
        """Record the signal for the program that works on the plan. False if none does that obeys it."""
        plan, _ = await snapshot_of(self._log, signal.plan_id)
        if not listens(plan, signal.signal):
            self.saw(plan)
            return False
        await self._broadcaster.send(requested(signal.plan_id, signal.signal, signal.by))
        return True

    def saw(self, plan: Snapshot) -> None:
        """Report the plan's worker as gone soon, if it is; the plan was read at this moment."""
        if lost_worker(plan, _latest()):
            self._overdue.add(plan.plan_id)
            self._wake.set()

    def noted(self, plan_id: str, payloads: Sequence[bytes]) -> None:
        """Events were appended to a plan that is followed."""
        for payload in payloads:
            if is_type(payload, WorkerUpdate.type):
                self._noted(plan_id, payload)

    def _noted(self, plan_id: str, payload: bytes) -> None:
        alive = b'"state":"alive"' in payload  # then its lease is read when it seems to have run out
        if not alive or self._leases.get(plan_id) == float("inf"):
            self._leases.pop(plan_id, None)

    async def _look(self) -> None:
        followed = self._registry.channels
        self._leases = {plan_id: end for plan_id, end in self._leases.items() if plan_id in followed}
        unknown = [plan_id for plan_id in followed if plan_id not in self._leases]
        due = [plan_id for plan_id, end in self._leases.items() if end + GRACE_S <= time.time()]
        overdue, self._overdue = self._overdue, set()
        try:
            for plan_id in {*overdue, *due, *unknown[:LEARNT_AT_ONCE]}:
                began = time.monotonic()
                await self._check(plan_id)
                await asyncio.sleep(time.monotonic() - began)  # it takes at most half of the process
        except LogError as error:  # the next turn tries again; channels and publishers report the outage
            log.debug("the leases of programs that work on plans can't be checked now: %s", error)

    async def _check(self, plan_id: str) -> None:
        try:
            plan, _ = await snapshot_of(self._log, plan_id)
            self._leases[plan_id] = _end_of(plan)
            if events := lost_worker(plan, _latest()):
                log.warning("plan %s: %s has sent no sign of life", plan_id, plan.worker and plan.worker.name)
                await asyncio.gather(*(self._broadcaster.send(event, key=key) for event, key in events))
        except SnapshotUnreadable:
            self._leases[plan_id] = float("inf")


def _latest() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=GRACE_S)


def _end_of(plan: Snapshot) -> float:
    worker = plan.worker
    works = worker is not None and plan.ended_at is None and worker.state in ("begun", "alive")
    return lease_end(worker).timestamp() if works and worker is not None else float("inf")
