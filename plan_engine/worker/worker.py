"""The part of an engine that works: DBOS finds it runs to do, and keeps what they come to.

DBOS is one for a process, and so is a worker; the tests open and close one after the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, cast

import dbos
from dbos import DBOS, DBOSClient, DBOSConfig

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import PlanLog
from broadcasters.supervision import Supervisor
from plan_engine.errors import EngineMisconfigured, in_words
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.template import Template, named
from plan_engine.run.assignment import Assignment, Tools
from plan_engine.run.plan_run import Durably, GivenUp, Run
from plan_engine.worker.lease import Hold, Lease
from plan_engine.worker.plan_end import tell_end
from plan_engine.worker.slots import Slots
from plan_engine.worker.store import SCHEMA, Store

__all__ = ["APPLICATION", "QUEUE", "VERSION", "WORKFLOW", "JsonSerializer", "Worker", "queue_of"]

logger: Final = logging.getLogger(__name__)
APPLICATION: Final = "plancast"
VERSION: Final = "1"
"""Rises when newer code could not go on with older code's runs."""
WORKFLOW: Final = "plancast.plan"
QUEUE: Final = "plancast"
PATIENCE_S: Final = 5.0
PASS_ON_S: Final = 1.0
AGAIN_S: Final = 0.5


def queue_of(template: Template) -> str:
    """One queue for all, so that looking at it costs little; and one for each template that has limits."""
    limited = template.concurrency is not None or template.rate is not None
    return f"{QUEUE}.{template.name}" if limited else QUEUE


class JsonSerializer(dbos.Serializer):
    """What the database holds is JSON, for everyone to read, and for no one to run."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=lambda odd: {"$error": f"{type(odd).__name__}: {odd}"})

    def deserialize(self, serialized_data: str) -> Any:
        data: Any = json.loads(serialized_data)
        if isinstance(data, dict) and "$error" in data:
            return RuntimeError(cast("dict[str, Any]", data)["$error"])
        return cast("Any", data)

    def name(self) -> str:
        return "plancast_json"


class Worker:
    """Takes runs from the queues of its templates. Opened and closed in the event loop it works in."""

    def __init__(
        self,
        store: Store,
        client: DBOSClient,
        lease: Lease,
        log: PlanLog,
        broadcaster: Broadcaster,
        templates: Mapping[str, Template],
        model: LanguageModel,
    ) -> None:
        self._store, self._client, self._lease, self._log, self._broadcaster = store, client, lease, log, broadcaster
        self._templates, self._model = templates, model
        self._runs: dict[str, Run] = {}
        self._open = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._slots: Slots
        self._obeying = Supervisor()
        self._last_signal, self._seen = 0, set[int]()

    # ---- life

    def open(self, url: str) -> None:
        """Begin to work. The database must have been made ready."""
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
            raise EngineMisconfigured("DBOS is at work in this process already; let `plancast worker` run the plans")
        try:
            self._slots = Slots(instance)
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
        """Stop working on everything, telling that another worker may go on; what was begun stays queued as begun."""
        self._open = False
        for run in self._runs.values():
            run.give_up(lost=False)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), PATIENCE_S)
        await self._obeying.close()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:  # DBOS waits for threads of its own, which may wait for this loop
            await loop.run_in_executor(thread, DBOS.destroy)
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))  # DBOS had put its own there

    def lost(self) -> None:
        """All runs are another worker's now."""
        for run in self._runs.values():
            run.give_up(lost=True)

    # ---- runs

    async def pass_on_signals(self) -> None:
        """To the plans that are run here. (A run that begins looks for earlier ones itself.)"""
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
            return await self._tell_failed(plan_id, "This plan could not be made", error)
        slot = self._slots.slot(plan_id, queue_of(self._templates[template]))
        tools = Tools(self._log, self._broadcaster, Hold(self._lease), self._store, slot, self._model)
        self._idle.clear()
        run = self._runs[plan_id] = Run(Assignment(plan_id, template, given, owner, plan), tools)
        try:
            return await run.go(_durably([step.id for step in plan.steps]))
        except GivenUp:
            raise asyncio.CancelledError(f"plan {plan_id} goes on elsewhere") from None
        except Exception as error:
            logger.exception("plan %s could not be run", plan_id)
            return await self._tell_failed(plan_id, "The engine could not run this plan", error)
        finally:
            slot.take()
            if self._runs.get(plan_id) is run:
                del self._runs[plan_id]
            if not self._runs:
                self._idle.set()

    async def _pass_on(self, plan_id: str, template: str) -> NoReturn:
        """Newer workers may know it."""
        logger.warning("plan %s is left to other workers: this one has no template called %s", plan_id, template)
        await asyncio.sleep(PASS_ON_S)
        await self._store.call(partial(self._client.resume_workflow, plan_id, queue_name=QUEUE))
        raise asyncio.CancelledError(f"plan {plan_id} is left to other workers")

    async def _tell_failed(self, plan_id: str, text: str, error: Exception) -> dict[str, Any]:
        detail = {"error": {"type": type(error).__name__, "message": in_words(error)}}
        end = {"status": "error", "content": text, "data": detail}
        while True:
            try:
                await tell_end(plan_id, end, self._log, self._broadcaster)
                return {"status": "error", "message": text}
            except LogUnavailable:
                await asyncio.sleep(AGAIN_S)


def _durably(step_ids: list[str]) -> Durably:
    """DBOS knows a step by its number. Side by side, steps begin in any order, so the numbers are drawn beforehand."""
    drawn = {step_id: DBOS.reserve_step() for step_id in step_ids}

    async def durably(step_id: str, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        async def step() -> dict[str, Any]:
            return await work()

        try:
            return await drawn[step_id].run_async({"name": f"step {step_id}"}, step)
        except (dbos.error.DBOSWorkflowConflictIDError, dbos.error.DBOSWorkflowCancelledError):
            raise GivenUp from None

    return durably
