"""The engine: starts plans, sends them signals and, unless `work=False`, runs them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal, Self, TypeVar

from broadcasters.extras import extra

with extra("engine", "running plans"):
    from dbos import DBOSClient
    from dbos import error as dbos_errors
    from sqlalchemy.exc import OperationalError, SQLAlchemyError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import LogUnavailable
from broadcasters.events import check_plan_id
from broadcasters.log import default_url, log_of
from broadcasters.log.contract import PlanLog
from broadcasters.outbox import OutboxStatistics
from broadcasters.signals import REQUESTS, requested
from broadcasters.supervision import Part, Supervisor
from plan_engine.errors import (
    EngineUnavailable,
    NotRunHere,
    StepFailed,
    UnfitInput,
    UnknownTemplate,
)
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.template import Template, by_name, named
from plan_engine.run.reporter import send_all
from plan_engine.run.run_events import KeyedEvent, opening
from plan_engine.run.step_run import jsonable
from plan_engine.worker.database import dbos_client, opened, prepare
from plan_engine.worker.lease import Lease
from plan_engine.worker.store import AT_ONCE, ENDED, Store, delete_if_ended, delete_old_runs
from plan_engine.worker.takeover import Takeover, end_plan
from plan_engine.worker.worker import QUEUE, WORKFLOW, Worker, queue_of

__all__ = ["Engine", "PlanOutcome"]

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)
SignalName = Literal["cancel", "pause", "resume"]
WEEK_S: Final = 7 * 86_400.0
REPORT_S: Final = 3.0
"""How long starting, signalling and closing wait for the log."""
TIDY_FIRST_S: Final = 60.0
TIDY_EVERY_S: Final = 3600.0
TIDY_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """How a plan ended: its `result` when it completed, else the reason as `message`."""

    status: Literal["completed", "error", "cancelled"]
    result: Any = None
    message: str | None = None


class Engine:
    """Starts plans, sends them signals and, with `work=True`, runs them. It belongs to one event loop.

    Programs that share an engine's database and log share the work: a plan started in one is run by any that works and has
    its template. With `work=False` an engine only starts plans, sends signals, and takes care of the plans of dead workers.
    One process has at most one engine that works.

    Args:
        db: the engine's database, as a SQLAlchemy URL for SQLite or PostgreSQL. Default: `PLANCAST_ENGINE_DB`, or
            `~/.plancast/engine.db`.
        log: where plans are reported: a URL, or an open log, which the engine then doesn't close. Default: `PLANCAST_LOG`,
            or the embedded log.
        templates: the templates that plans can be started from.
        work: whether to run plans.
        lease: seconds without a sign of life after which a worker is taken for dead, and its plans for others to continue.
        poll: how often, in seconds, queues and signals are looked at.
        plans_at_once: how many plans one worker runs at once, not counting those that only wait. The worker that began last
            decides for all.
        keep: how long the database keeps runs that have ended. After that, their plan_id can be started again.
        model: the language model that agents find in `ctx.model`. Default: `PLANCAST_MODEL` and `PLANCAST_PACE`, or the
            offline model.
        tracebacks: whether events of failed steps have the exception's message and traceback, for everybody who may read the
            plan. Otherwise they are logged, and the events have only the exception's type.

    Raises:
        ValueError: a number is out of range.
        BadPlan: two templates have the same name.
        EngineMisconfigured: the database can't be used, raised on entering; `EngineUnavailable` if it can't be reached.

    Example:
        async with Engine(templates=[greeting]) as engine:
            await engine.start("greeting", {"name": "Ada"}, "greeting-1")
            print(await engine.outcome("greeting-1"))
    """

    def __init__(
        self,
        db: str | None = None,
        log: str | PlanLog | None = None,
        templates: Iterable[Template] = (),
        *,
        work: bool = True,
        lease: float = 10.0,
        poll: float = 0.25,
        plans_at_once: int = 50,
        keep: timedelta = timedelta(days=30),
        model: LanguageModel | None = None,
        tracebacks: bool = False,
    ) -> None:
        if not (lease > 0 and poll > 0 and plans_at_once > 0):
            raise ValueError(
                f"lease, poll and plans_at_once must be more than 0; got {lease!r}, {poll!r} and {plans_at_once!r}"
            )
        self._url = db or default_url("PLANCAST_ENGINE_DB", "engine.db")
        self._log = log if isinstance(log, PlanLog) else log_of(log)
        self._owns_log = not isinstance(log, PlanLog)
        self._templates = by_name(templates)
        self._work, self._lease_s, self._poll_s, self._plans_at_once = work, lease, poll, plans_at_once
        self._keep, self._model = keep, model or LanguageModel.of(os.environ)
        self._tracebacks = tracebacks
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._broadcaster = Broadcaster(log=self._log, deadline=WEEK_S)
        self._open = AsyncExitStack()
        self._worker: Worker | None = None
        self._signalled = asyncio.Event()
        """Set by a signal sent in this process, so that it needn't wait for the next poll."""
        self._supervisor = Supervisor()
        self._store: Store
        self._client: DBOSClient

    # ---- opening and closing

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._enter(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop. The plans this engine was running are reported as stalled, and left to other workers. Idempotent."""
        await self._open.aclose()

    async def _enter(self, stack: AsyncExitStack) -> None:
        if self._owns_log:
            stack.push_async_callback(self._log.close)
            await self._log.open()
        stack.push_async_callback(self._close_broadcaster)
        self._store = Store(opened(self._url))
        stack.callback(self._store.close)
        self._client = await self._store.call(self._prepare_database)
        stack.callback(self._client.destroy)
        takeover = Takeover(self._store, self._client, self._log, self._broadcaster, self.name, self._lease_s)
        if self._work:
            await self._enter_worker(stack, takeover)
        stack.push_async_callback(self._supervisor.close)
        self._supervise(takeover)

    async def _enter_worker(self, stack: AsyncExitStack, takeover: Takeover) -> None:
        lease = Lease(self._store, self.name, self._lease_s, partial(self._lost, takeover))
        await lease.open()
        stack.push_async_callback(lease.close)
        stack.push_async_callback(partial(takeover.hand_over, self.name, report=False))
        outlets = self._log, self._broadcaster
        templates, model, tracebacks = self._templates, self._model, self._tracebacks
        self._worker = Worker(self._store, self._client, lease, *outlets, templates, model, tracebacks=tracebacks)
        self._worker.open(self._url)
        stack.push_async_callback(self._worker.close)

    def _supervise(self, takeover: Takeover) -> None:
        repeat = self._supervisor.repeat
        repeat("engine: takeover", takeover.look, every=self._lease_s / 4, first=0.0, wake=takeover.wake)
        repeat("engine: tidying", self._tidy, every=TIDY_EVERY_S, first=TIDY_FIRST_S)
        if self._worker is not None:
            repeat("engine: signals", self._worker.pass_on_signals, every=self._poll_s, wake=self._signalled)

    async def _tidy(self) -> None:
        """Delete the runs that ended longer than `keep` ago, in batches."""
        try:
            while True:
                if await self._store.call(delete_old_runs, self._store, self._client, self._keep) < AT_ONCE:
                    return
                await asyncio.sleep(TIDY_PAUSE_S)
        except SQLAlchemyError as error:
            logger.warning("could not delete ended runs (%s); trying again later", error)

    def _prepare_database(self) -> DBOSClient:
        """Create tables and queues."""
        prepare(self._url, self._store.engine)
        client = dbos_client(self._store.engine)
        client.register_queue(
            QUEUE,
            polling_interval_sec=self._poll_s,
            worker_concurrency=self._plans_at_once,
            on_conflict="always_update" if self._work else "never_update",
        )
        for template in self._templates.values():
            if (queue := queue_of(template)) == QUEUE:
                continue
            rate = template.rate
            client.register_queue(
                queue,
                global_concurrency=template.concurrency,
                limiter={"limit": rate.plans, "period": rate.seconds} if rate else None,
                polling_interval_sec=self._poll_s,
                on_conflict="always_update" if self._work else "never_update",
            )
        return client

    async def _close_broadcaster(self) -> None:
        """Wait a moment for the events under way, but not for a log that is unavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_S):
                await self._broadcaster.close()

    def _lost(self, takeover: Takeover) -> None:
        """This engine's worker was taken for dead."""
        if self._worker is not None:
            self._worker.lost()
            takeover.disown()

    @property
    def parts(self) -> Mapping[str, Part]:
        """The engine's long-running tasks in this process by name, each with its failures."""
        return self._supervisor.parts

    @property
    def plans(self) -> Mapping[str, int]:
        """How many plans this engine is `running`, and how many that it has begun are only `waiting`; empty with
        `work=False`."""
        return {} if self._worker is None else self._worker.plans

    @property
    def leased(self) -> bool | None:
        """Whether this engine renews its lease in the database in time; None with `work=False`."""
        return None if self._worker is None else self._worker.leased

    def statistics(self) -> OutboxStatistics:
        """Return the state and counters of the outbox of its plans' events, with the usage that these report."""
        return self._broadcaster.statistics()

    # ---- plans

    def templates(self) -> Sequence[Template]:
        """The templates that plans can be started from."""
        return [*self._templates.values()]

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None = None) -> bool:
        """Start a plan. On return it is durably queued and, if the log is available, reported as pending.

        Starting the same plan_id again has no effect, unless the plan has ended and its events were deleted since.

        Args:
            template: the template's name.
            given: the input; checked against the template's input model.
            plan_id: the new plan's id.
            owner: the user the plan belongs to.

        Returns:
            Whether the plan of this id was started with these arguments, now or before; False: with others.

        Raises:
            UnknownTemplate: there is no such template.
            UnfitInput: the template doesn't accept this input.
            BadPlan: the template made a plan that can't be run.
            InvalidEvent: the plan_id isn't valid, or the plan is too large to be reported.
            EngineUnavailable: the engine's database can't be reached.
        """
        check_plan_id(plan_id)
        chosen = named(self._templates, template)
        fit = _fit(chosen, given)
        events = [*opening(plan_id, template, owner, chosen.plan(fit))]  # a plan that can't be reported isn't queued
        options: Any = {"workflow_name": WORKFLOW, "queue_name": queue_of(chosen), "workflow_id": plan_id}
        enqueue = partial(self._client.enqueue, options, template, fit, owner)
        await self._query(enqueue)
        known = await self._status(plan_id)
        if known is not None and known.status in ENDED and not (await self._log.head(plan_id)).offset:
            await self._query(partial(delete_if_ended, self._store, self._client, plan_id))
            await self._query(enqueue)
            known = await self._status(plan_id)
        same = known is None or _input_of(known) == [template, fit, owner]
        if same and known is not None and known.status not in ENDED:
            with suppress(TimeoutError, LogUnavailable):  # the worker sends these events, too, but maybe not yet
                async with asyncio.timeout(REPORT_S):
                    if not (await self._log.head(plan_id)).offset:
                        await send_all(self._broadcaster, events)
        return bool(same)

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        """Ask a plan to stop, pause or resume.

        The request is reported at once, and acknowledged by the plan when it obeys.

        Args:
            plan_id: the plan.
            signal: "cancel", "pause" or "resume".
            by: the name of the person who asks, shown to people.

        Raises:
            NotRunHere: no engine on this database runs the plan, or it has ended.
            ValueError: there is no such signal.
            EngineUnavailable: the engine's database can't be reached.
        """
        check_plan_id(plan_id)
        if signal not in REQUESTS:
            raise ValueError(f"unknown signal {signal!r}; expected one of {', '.join(REQUESTS)}")
        known = await self._status(plan_id)
        if known is None:
            raise NotRunHere(f"no engine on this database runs plan {plan_id!r}")
        if known.status not in ("ENQUEUED", "DELAYED", "PENDING"):
            raise NotRunHere(f"plan {plan_id!r} has ended")
        await self._report_request(plan_id, signal, by)
        await self._query(partial(self._store.add_signal, plan_id, signal, by))
        self._signalled.set()
        if signal == "cancel" and known.status != "PENDING":
            await self._cancel_unclaimed(known, by)

    async def outcome(self, plan_id: str) -> PlanOutcome:
        """Wait until a plan has ended.

        Args:
            plan_id: the plan.

        Returns:
            Its status, with its result or an error message.

        Raises:
            NotRunHere: no engine on this database runs the plan.
        """
        retrieve: Any = self._client.retrieve_workflow_async
        try:
            handle = await retrieve(plan_id)
            record = await handle.get_result(polling_interval_sec=self._poll_s)
        except dbos_errors.DBOSAwaitedWorkflowCancelledError:
            return PlanOutcome("cancelled")
        except dbos_errors.DBOSNonExistentWorkflowError:
            raise NotRunHere(f"no engine on this database runs plan {plan_id!r}") from None
        return PlanOutcome(record["status"], record.get("result"), record.get("message"))

    async def _status(self, plan_id: str) -> Any:
        found = await self._query(partial(self._client.list_workflows, workflow_ids=[plan_id], load_output=False))
        return found[0] if found else None

    async def _query(self, query: Callable[[], T]) -> T:
        try:
            return await self._store.call(query)
        except (OperationalError, PoolTimeout) as error:
            raise EngineUnavailable("the engine's database can't be reached; try again later") from error

    async def _report_request(self, plan_id: str, signal: SignalName, by: str) -> None:
        with suppress(TimeoutError):  # a plan can be stopped even while its log is unavailable
            async with asyncio.timeout(REPORT_S):
                await self._broadcaster.send(requested(plan_id, signal, by))

    async def _cancel_unclaimed(self, known: Any, by: str) -> None:
        """Cancel a plan that no worker has begun, as none would stop it before its turn came."""
        plan_id: str = known.workflow_id
        await self._query(partial(self._client.cancel_workflow, plan_id))
        now = await self._status(plan_id)
        if now.executor_id != known.executor_id:  # a worker has begun it meanwhile, and must obey the signal itself
            await self._query(partial(self._client.resume_workflow, plan_id, queue_name=known.queue_name))
            return
        data = {"signal": "cancel", "state": "stopped", "by": by}
        end = {"status": "cancelled", "content": f"Stopped by {by}", "data": data}
        await end_plan(plan_id, end, self._log, self._broadcaster, self._opening(known))

    def _opening(self, known: Any) -> list[KeyedEvent]:
        """The events that open the plan, which may not have been sent yet; none if only other engines have its template."""
        template, given, owner = _input_of(known)
        try:
            plan = named(self._templates, template).plan(given)
        except UnknownTemplate:
            return []
        return [*opening(known.workflow_id, template, owner, plan)]


def _fit(template: Template, given: Mapping[str, Any]) -> Any:
    try:
        return jsonable(template.fit(given))
    except StepFailed as error:
        raise UnfitInput("the input has values that cannot be converted to JSON") from error


def _input_of(known: Any) -> list[Any]:
    return [*known.input["args"]]
