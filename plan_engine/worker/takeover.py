"""Looks after the runs of workers that died: tells people that they stand still, and hands them to the living."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from typing import Final

from dbos import DBOSClient
from sqlalchemy.exc import SQLAlchemyError

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import PlancastError
from broadcasters.events import PLAN_ENDED, StepUpdate, build
from broadcasters.log.contract import PlanLog
from broadcasters.snapshot import Snapshot
from plan_engine.run.reporter import Keyed, tell_all
from plan_engine.worker.lease import gone
from plan_engine.worker.store import Store

__all__ = ["Takeover"]

logger: Final = logging.getLogger(__name__)
PATIENCE_S: Final = 5.0
"""Going on matters more than telling that it stood still."""


class Takeover:
    """Call `look` again and again. Any number of engines may; each dead worker is looked after by one of them."""

    def __init__(
        self, store: Store, client: DBOSClient, log: PlanLog, broadcaster: Broadcaster, name: str, lease_s: float
    ) -> None:
        self._store, self._client, self._log, self._broadcaster, self._name = store, client, log, broadcaster, name
        self._lease_s = lease_s
        self._disowned = False
        self.wake = asyncio.Event()
        """Set when there is something to do at once."""

    def disown(self) -> None:
        """The worker of this name was taken for dead. What it took on since then, others are to have, too."""
        self._disowned = True
        self.wake.set()

    async def look(self) -> None:
        try:
            while self._disowned:
                self._disowned = False
                await self._hand_over_own()
            for worker_id in await self._store.call(self._store.claim_dead, self._name, self._lease_s, gone):
                logger.warning("worker %s is gone; what it was working on goes on elsewhere", worker_id)
                await self.bury(worker_id)
        except SQLAlchemyError as error:
            logger.warning("could not look after workers that are gone (%s); trying again", error)

    async def _hand_over_own(self) -> None:
        try:
            await self.hand_over(self._name, tell=False)
        except BaseException:
            self._disowned = True
            raise

    async def bury(self, worker_id: str) -> None:
        """Hand over everything it had; only then is it forgotten."""
        await self.hand_over(worker_id, tell=True)
        await self._store.call(self._store.sign_off, worker_id)

    async def hand_over(self, worker_id: str, *, tell: bool) -> None:
        """Queue again what this worker had begun. Whatever it still does for it comes to nothing."""
        listed = partial(
            self._client.list_workflows,
            status="PENDING",
            executor_id=worker_id,
            load_input=False,
            load_output=False,
        )
        for run in await self._store.call(listed):
            if tell:
                await self._tell_stalled(run.workflow_id)
            again = partial(self._client.resume_workflow, run.workflow_id, queue_name=run.queue_name)
            await self._store.call(again)

    async def _tell_stalled(self, plan_id: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                snapshot, _ = await snapshot_of(self._log, plan_id)
                await tell_all(self._broadcaster, _stalled(snapshot))
        except (TimeoutError, PlancastError) as error:
            logger.warning("could not tell that plan %s stands still (%s)", plan_id, error)


def _stalled(snapshot: Snapshot) -> Iterator[Keyed]:
    if snapshot.status in PLAN_ENDED:
        return
    for step in snapshot.steps:
        if step.status == "in_progress":  # what waits stands still only when that is over
            fields = {
                "plan_id": snapshot.plan_id,
                "step_id": step.step_id,
                "status": "stalled",
                "content": "The worker at this step is gone; another one will go on",
                "attempt": step.attempt,
                "max_attempts": step.max_attempts,
            }
            yield build(StepUpdate, fields), f"{step.step_id}:{step.attempt}:stalled"
