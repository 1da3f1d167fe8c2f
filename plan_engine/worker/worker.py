"""The part of an engine that runs plans: DBOS finds it runs to do, and records their outcomes.

DBOS allows one instance per process, so there is one worker per process. (Tests open and close them one after the other.)

How many plans a worker runs at once doesn't include those that only wait. DBOS counts a run from its beginning to its end,
and a plan may wait for a person for days; enough of them would keep a worker from all other work. So a run that only waits
is taken out of DBOS's count. DBOS has no public interface for that: `DbosSlots` uses two private methods, and the engine
requires one exact version of DBOS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from typing import Any, Final, NoReturn

import dbos
from dbos import DBOS, DBOSClient, DBOSConfig

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import PlanLog
from broadcasters.supervision import Supervisor
from plan_engine.errors import EngineMisconfigured, in_words
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.template import Template, named
from plan_engine.run.plan_run import Assignment, DurableStep, GivenUp, PlanRun, RunResources
from plan_engine.run.reporter import retry_on
from plan_engine.worker.database import APPLICATION, SCHEMA, JsonSerializer
from plan_engine.worker.lease import Lease, LeaseTerm
from plan_engine.worker.store import Store
from plan_engine.worker.takeover import end_plan

__all__ = [
    "DBOS_VERSION",
    "PRIVATE",
    "QUEUE",
    "VERSION",
    "WORKFLOW",
    "DbosSlot",
    "DbosSlots",
    "Worker",
    "queue_of",
]

logger: Final = logging.getLogger(__name__)
VERSION: Final = "1"
"""Must be raised when newer code can't continue the runs of older code."""
WORKFLOW: Final = "plancast.plan"
QUEUE: Final = "plancast"
DBOS_VERSION: Final = "3.4.0"
"""The version pinned in `pyproject.toml`."""
PRIVATE: Final = ("_active_workflows_set.add", "_active_workflows_set._remove")
"""The private attributes of DBOS that are used."""
CLOSE_S: Final = 5.0
PASS_ON_S: Final = 1.0


def queue_of(template: Template) -> str:
    """The queue of a template's runs: its own if it has limits, otherwise the common one, so that polling costs little."""
    limited = template.concurrency is not None or template.rate is not None
    return f"{QUEUE}.{template.name}" if limited else QUEUE


class DbosSlots:
    """The runs that DBOS counts in this process. Raises `EngineMisconfigured` if this version of DBOS lacks `PRIVATE`."""

    def __init__(self, instance: DBOS) -> None:
        for name in PRIVATE:
            try:
                attrgetter(name)(instance)
            except AttributeError:
                installed = f"the installed DBOS, version {version('dbos')}, has no {name}, which this engine uses"
                raise EngineMisconfigured(f"{installed}: pip install 'dbos=={DBOS_VERSION}'") from None
        self._counted: Any = attrgetter("_active_workflows_set")(instance)

    def slot(self, plan_id: str, queue: str) -> DbosSlot:
        """The slot of a run that DBOS has begun from this queue."""
        return DbosSlot(self._counted, plan_id, queue)


class DbosSlot:
    """One run's slot. `free` and `take` are idempotent. It must be taken when the run ends: DBOS then frees it."""

    def __init__(self, counted: Any, plan_id: str, queue: str) -> None:
        self._counted, self._plan_id, self._bucket = counted, plan_id, (queue, None)
        self._freed = False

    def free(self) -> None:
        if self._freed:
            return
        try:
            self._counted._remove(self._plan_id, self._bucket)
        except (KeyError, ValueError):  # not counted in this queue: it was resumed from another one
            return
        self._freed = True

    def take(self) -> None:
        if self._freed:
            self._counted.add(self._plan_id, *self._bucket)
            self._freed = False


class Worker:
    """Runs the plans in its templates' queues. Must be opened and closed in the event loop it works in."""

    def __init__(
        self,
        store: Store,
        client: DBOSClient,
        lease: Lease,
        log: PlanLog,
        broadcaster: Broadcaster,
        templates: Mapping[str, Template],
        model: LanguageModel,
        *,
        tracebacks: bool,
    ) -> None:
        self._store, self._client, self._lease, self._log, self._broadcaster = store, client, lease, log, broadcaster
        self._templates, self._model, self._tracebacks = templates, model, tracebacks
        self._runs: dict[str, PlanRun] = {}
        self._open = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._slots: DbosSlots
        self._obeying = Supervisor()
        self._last_signal, self._seen = 0, set[int]()

    # ---- opening and closing

    def open(self, url: str) -> None:
        """Start to run plans. The database's tables and queues must exist."""
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": url,
            "system_database_engine": self._store.engine,
            "dbos_system_schema": SCHEMA,
            "application_version": VERSION,
            "executor_id": self._lease.worker_id,
            "serializer": JsonSerializer(),
            "run_migrations": False,
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": 0.1,
            "scheduler_polling_interval_sec": 3600.0,
        }
        instance = DBOS(config=config)
        if DBOS.executor_id != self._lease.worker_id:
            raise EngineMisconfigured("DBOS is in use in this process already; run the plans with `plancast worker`")
        try:
            self._slots = DbosSlots(instance)
            DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(self._workflow())
            DBOS.listen_queues([*{QUEUE, *(queue_of(template) for template in self._templates.values())}])
            DBOS.launch()
        except BaseException:
            DBOS.destroy()
            raise
        self._open = True

    def _workflow(self) -> Callable[[str, dict[str, Any], str | None], Awaitable[dict[str, Any]]]:
        async def plan(template: str, given: dict[str, Any], owner: str | None) -> dict[str, Any]:
            return await self._run(template, given, owner)

        return plan

    async def close(self) -> None:
        """Stop, and report that other workers may continue. What was begun stays recorded as begun."""
        self._open = False
        for run in self._runs.values():
            run.give_up(lost=False)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), CLOSE_S)
        await self._obeying.close()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:  # DBOS waits for threads of its own, which may wait for this loop
            await loop.run_in_executor(thread, DBOS.destroy)
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))  # DBOS had replaced it by its own

    def lost(self) -> None:
        """Give up all runs: other workers own them."""
        for run in self._runs.values():
            run.give_up(lost=True)

    @property
    def leased(self) -> bool:
        """Whether the lease is renewed in time."""
        return self._lease.current

    # ---- runs

    @property
    def plans(self) -> Mapping[str, int]:
        """How many plans are `running`, and how many that were begun are only `waiting`."""
        waiting = sum(run.idle for run in self._runs.values())
        return {"running": len(self._runs) - waiting, "waiting": waiting}

    async def pass_on_signals(self) -> None:
        """Pass new signals to the plans run here. (A run reads the signals from before its beginning itself.)"""
        if not self._runs:
            return
        found = await self._store.signals_since(self._last_signal)
        for plan_id, signal in found:
            if signal.number not in self._seen and (run := self._runs.get(plan_id)):
                self._obeying.run(f"signal to plan {plan_id}", run.signal(signal))
        self._last_signal = max((signal.number for _, signal in found), default=self._last_signal)
        self._seen = {signal.number for _, signal in found}

    async def _run(self, template: str, given: dict[str, Any], owner: str | None) -> dict[str, Any]:
        plan_id = DBOS.workflow_id
        if plan_id is None or not self._open:
            raise asyncio.CancelledError("this worker is stopping")
        if template not in self._templates:
            await self._pass_on(plan_id, template)
        try:
            plan = named(self._templates, template).plan(given)
        except Exception as error:
            logger.exception("plan %s could not be made", plan_id)
            return await self._end_in_error(plan_id, "This plan could not be made", error)
        slot = self._slots.slot(plan_id, queue_of(self._templates[template]))
        ownership = LeaseTerm(self._lease)
        outlets = self._log, self._broadcaster
        resources = RunResources(*outlets, ownership, self._store, slot, self._model, tracebacks=self._tracebacks)
        self._idle.clear()
        run = self._runs[plan_id] = PlanRun(Assignment(plan_id, template, given, owner, plan), resources)
        try:
            return await run.go(_durable_step([step.id for step in plan.steps]))
        except GivenUp:
            raise asyncio.CancelledError(f"plan {plan_id} continues in another worker") from None
        except Exception as error:
            logger.exception("plan %s could not be run", plan_id)
            return await self._end_in_error(plan_id, "The engine could not run this plan", error)
        finally:
            slot.take()
            if self._runs.get(plan_id) is run:
                del self._runs[plan_id]
            if not self._runs:
                self._idle.set()

    async def _pass_on(self, plan_id: str, template: str) -> NoReturn:
        """Leave it to other workers: newer ones may have the template."""
        logger.warning("plan %s is left to other workers: this one has no template %r", plan_id, template)
        await asyncio.sleep(PASS_ON_S)
        await self._store.call(partial(self._client.resume_workflow, plan_id, queue_name=QUEUE))
        raise asyncio.CancelledError(f"plan {plan_id} is left to other workers")

    async def _end_in_error(self, plan_id: str, text: str, error: Exception) -> dict[str, Any]:
        message = {"message": in_words(error)} if self._tracebacks else {}
        end = {"status": "error", "content": text, "data": {"error": {"type": type(error).__name__, **message}}}
        report = partial(end_plan, plan_id, end, self._log, self._broadcaster)
        await retry_on((LogUnavailable,), report, f"the end of plan {plan_id} can't be reported yet")
        return {"status": "error", "message": text}


def _durable_step(step_ids: list[str]) -> DurableStep:
    """DBOS identifies a step by its number. Parallel steps begin in any order, so the numbers are reserved beforehand."""
    reserved = {step_id: DBOS.reserve_step() for step_id in step_ids}

    async def run(step_id: str, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        async def step() -> dict[str, Any]:
            return await work()

        try:
            return await reserved[step_id].run_async({"name": f"step {step_id}"}, step)
        except (dbos.error.DBOSWorkflowConflictIDError, dbos.error.DBOSWorkflowCancelledError):
            raise GivenUp from None

    return run
