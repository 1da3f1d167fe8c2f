"""Takes care of plans without a worker: hands over those of dead workers, and ends those that no worker runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from dbos import DBOSClient
from sqlalchemy.exc import SQLAlchemyError

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import PlancastError
from broadcasters.log.contract import PlanLog
from plan_engine.run.reporter import send_all
from plan_engine.run.run_events import KeyedEvent, plan_end, stalled_steps, step_end
from plan_engine.run.run_history import RunHistory
from plan_engine.worker.lease import process_ended
from plan_engine.worker.store import Store

__all__ = ["Takeover", "end_plan"]

logger: Final = logging.getLogger(__name__)
REPORT_S: Final = 5.0
"""How long a takeover waits until the stall is reported. Continuing the plan matters more."""


class Takeover:
    """Hands the plans of dead workers to others. `look` must be called again and again.

    Any number of engines may do so; each dead worker is handled by one of them."""

    def __init__(
        self, store: Store, client: DBOSClient, log: PlanLog, broadcaster: Broadcaster, name: str, lease_s: float
    ) -> None:
        self._store, self._client, self._log, self._broadcaster, self._name = store, client, log, broadcaster, name
        self._lease_s = lease_s
        self._disowned = False
        self.wake = asyncio.Event()
        """Set when `look` should be called at once."""

    def disown(self) -> None:
        """This engine's own worker was taken for dead: what it has begun since then must be handed over, too."""
        self._disowned = True
        self.wake.set()

    async def look(self) -> None:
        try:
            while self._disowned:
                self._disowned = False
                await self._hand_over_own()
            for worker_id in await self._store.call(self._store.claim_dead, self._name, self._lease_s, process_ended):
                logger.warning("worker %s is gone; other workers continue its plans", worker_id)
                await self._hand_over_dead(worker_id)
        except SQLAlchemyError as error:
            logger.warning("could not look for dead workers (%s); trying again", error)

    async def _hand_over_own(self) -> None:
        try:
            await self.hand_over(self._name, report=False)
        except BaseException:
            self._disowned = True
            raise

    async def _hand_over_dead(self, worker_id: str) -> None:
        """Remove the worker only after all its plans were handed over."""
        await self.hand_over(worker_id, report=True)
        await self._store.call(self._store.sign_off, worker_id)

    async def hand_over(self, worker_id: str, *, report: bool) -> None:
        """Queue again the plans this worker has begun. Anything it still does for them has no effect.

        Args:
            worker_id: the worker.
            report: whether to report the plans' steps as stalled.
        """
        listed = partial(
            self._client.list_workflows,
            status="PENDING",
            executor_id=worker_id,
            load_input=False,
            load_output=False,
        )
        for run in await self._store.call(listed):
            if report:
                await self._report_stalled(run.workflow_id)
            again = partial(self._client.resume_workflow, run.workflow_id, queue_name=run.queue_name)
            await self._store.call(again)

    async def _report_stalled(self, plan_id: str) -> None:
        try:
            async with asyncio.timeout(REPORT_S):
                snapshot, _ = await snapshot_of(self._log, plan_id)
                await send_all(self._broadcaster, stalled_steps(snapshot))
        except (TimeoutError, PlancastError) as error:
            logger.warning("could not report that plan %s is stalled (%s)", plan_id, error)


async def end_plan(
    plan_id: str, end: Mapping[str, Any], log: PlanLog, broadcaster: Broadcaster, opening: Sequence[KeyedEvent] = ()
) -> None:
    """Report the end of a plan that no worker runs or can run, unless its end is in the log already.

    Args:
        plan_id: the plan.
        end: the fields of its last update: `status`, `content` and `data`.
        log: its log.
        broadcaster: sends the events.
        opening: the events that open the plan, if they may be missing from the log.
    """
    await send_all(broadcaster, opening)
    snapshot, _ = await snapshot_of(log, plan_id)
    history = RunHistory.of(snapshot, (step.step_id for step in snapshot.steps))
    if not history.ended:
        await send_all(broadcaster, [*history.loose_ends, *_last_events(plan_id, history, end)])


def _last_events(plan_id: str, history: RunHistory, end: Mapping[str, Any]) -> Iterator[KeyedEvent]:
    for step_id, step in history.steps.items():
        if not step.ended:
            skipped = step.status == "pending" and end["status"] != "cancelled"
            yield step_end(plan_id, step_id, "skipped" if skipped else "cancelled", end["content"])
    yield plan_end(plan_id, **end)
