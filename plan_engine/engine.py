"""The engine: what starts plans, signals to them, and, unless told otherwise, works on them."""

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

from dbos import DBOS, DBOSClient
from dbos import error as dbos_errors
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import AgentMessage, build, check_plan_id
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.supervision import Part, Supervisor
from plan_engine.errors import (
    EngineMisconfigured,
    EngineUnavailable,
    NotRunHere,
    StepFailed,
    UnfitInput,
    UnknownTemplate,
)
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.template import Template, by_name, named
from plan_engine.run.assignment import Assignment, opening
from plan_engine.run.attempt import plain
from plan_engine.run.reporter import Keyed, tell_all
from plan_engine.worker.lease import Lease
from plan_engine.worker.plan_end import tell_end
from plan_engine.worker.store import SCHEMA, Store, default_url, opened
from plan_engine.worker.takeover import Takeover
from plan_engine.worker.tidying import ENDED, EVERY_S, FIRST_S, forget_ended, tidy_all
from plan_engine.worker.worker import APPLICATION, QUEUE, WORKFLOW, JsonSerializer, Worker, queue_of

__all__ = ["Ended", "Engine"]

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)
SignalName = Literal["cancel", "pause", "resume"]
WEEK_S: Final = 7 * 86_400.0
PATIENCE_S: Final = 3.0
_ASKED: Final[Mapping[str, str]] = {
    "cancel": "Please stop this plan",
    "pause": "Please pause this plan",
    "resume": "Please go on",
}


def _migrate(url: str) -> None:
    """DBOS ignores that it can't create the database, as while the server starts, and then finds none: once more."""
    try:
        DBOS.migrate(url, schema=SCHEMA)
    except OperationalError:
        DBOS.migrate(url, schema=SCHEMA)


def _unusable(error: SQLAlchemyError, *, server: bool) -> EngineUnavailable | EngineMisconfigured:
    """What to raise when the database can't be opened. A server that is not reached, or that starts, may be there later;
    what a server refuses (FATAL), a person has to change."""
    why = str(getattr(error, "orig", None) or error).strip()
    refused = "FATAL" in why and "the database system is" not in why
    if server and isinstance(error, OperationalError) and not refused:
        return EngineUnavailable(f"the engine's database can't be reached: {why}")
    return EngineMisconfigured(f"the engine's database can't be used: {why}")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a plan came to."""

    status: Literal["completed", "error", "cancelled"]
    result: Any = None
    message: str | None = None


class Engine:
    """`async with Engine(db, log, templates) as engine:`. It belongs to one event loop.

    `db` names the engine's database (PLANCAST_ENGINE_DB, or a file of this user's), `log` where plans are told: a URL
    (PLANCAST_LOG, or the embedded default), or a log that its owner opens and closes. Programs that share both share
    the work: plans started in one are run by any that `work` and know the template. With `work=False` an engine only
    starts plans, signals to them, and tells when their workers are gone. Of those that work there is one in a process.

    `lease`: after so many seconds without a sign of life a worker is taken for dead, and its plans go on elsewhere.
    `poll`: how often, in seconds, queues and signals are looked at. `plans_at_once`: so many plans one worker works on,
    those that only wait not counted; the last worker to begin says it for all. `keep`: for how long the database
    remembers runs that have ended; a forgotten plan_id may be started anew. `model`: the language model that agents find
    in their context (PLANCAST_MODEL and PLANCAST_PACE, or the offline one).
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
    ) -> None:
        if not (lease > 0 and poll > 0 and plans_at_once > 0):
            raise ValueError("lease and poll are seconds, and plans_at_once a number, all more than 0")
        self._url = db or os.environ.get("PLANCAST_ENGINE_DB") or default_url()
        self._log = log if isinstance(log, PlanLog) else log_of(log)
        self._log_is_ours = not isinstance(log, PlanLog)
        self._templates = by_name(templates)
        self._work, self._lease_s, self._poll_s, self._plans_at_once = work, lease, poll, plans_at_once
        self._keep, self._model = keep, model or LanguageModel.of(os.environ)
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._broadcaster = Broadcaster(log=self._log, deadline=WEEK_S)
        self._open = AsyncExitStack()
        self._worker: Worker | None = None
        self._signalled = asyncio.Event()
        """Somebody in this very process has signalled: no need to wait until signals are looked for again."""
        self._supervisor = Supervisor()
        self._store: Store
        self._client: DBOSClient

    # ---- life

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._enter(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop. What this engine was working on is told to stand still, and is for others to take. Harmless twice."""
        await self._open.aclose()

    async def _enter(self, stack: AsyncExitStack) -> None:
        if self._log_is_ours:
            stack.push_async_callback(self._log.close)
            await self._log.open()
        stack.push_async_callback(self._close_broadcaster)
        self._store = Store(opened(self._url))
        stack.callback(self._store.close)
        self._client = await self._store.call(self._make_ready)
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
        stack.push_async_callback(partial(takeover.hand_over, self.name, tell=False))
        told = self._log, self._broadcaster
        self._worker = Worker(self._store, self._client, lease, *told, self._templates, self._model)
        self._worker.open(self._url)
        stack.push_async_callback(self._worker.close)

    def _supervise(self, takeover: Takeover) -> None:
        repeat = self._supervisor.repeat
        tidy = partial(tidy_all, self._store, self._client, self._keep)
        repeat("engine: takeover", takeover.look, every=self._lease_s / 4, first=0.0, wake=takeover.wake)
        repeat("engine: tidying", tidy, every=EVERY_S, first=FIRST_S)
        if self._worker is not None:
            repeat("engine: signals", self._worker.pass_on_signals, every=self._poll_s, wake=self._signalled)

    def _make_ready(self) -> DBOSClient:
        """Tables, queues, and a client of DBOS that needs no worker."""
        quiet = logging.getLogger("dbos")
        if not quiet.handlers:
            quiet.addHandler(logging.NullHandler())  # else DBOS puts up one of its own, and writes to the console
        quiet.setLevel(logging.ERROR)
        try:
            _migrate(self._url)
            self._store.create()
        except SQLAlchemyError as error:
            raise _unusable(error, server=self._store.engine.dialect.name == "postgresql") from error
        client = DBOSClient(
            system_database_engine=self._store.engine,
            dbos_system_schema=SCHEMA,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
        )
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
        """What is on its way is given a moment; a log that is away must not keep a worker from ending."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._broadcaster.close()

    def _lost(self, takeover: Takeover) -> None:
        """This worker was taken for dead."""
        if self._worker is not None:
            self._worker.lost()
            takeover.disown()

    @property
    def parts(self) -> Mapping[str, Part]:
        """The engine's long-lived work in this process, by name, and how it fares."""
        return self._supervisor.parts

    # ---- what can be asked of it

    def templates(self) -> Sequence[Template]:
        """What can be started."""
        return [*self._templates.values()]

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None = None) -> None:
        """Start a plan. Starting the same plan_id again changes nothing, unless the plan has ended and was deleted since.

        When this returns, the plan is queued for good, and told to be pending."""
        check_plan_id(plan_id)
        chosen = named(self._templates, template)
        fit = _fit(chosen, given)
        plan = chosen.plan(fit)
        said = [*opening(Assignment(plan_id, template, fit, owner, plan))]  # what can't be told is not begun
        options: Any = {"workflow_name": WORKFLOW, "queue_name": queue_of(chosen), "workflow_id": plan_id}
        enqueue = partial(self._client.enqueue, options, template, fit, owner)
        await self._ask(enqueue)
        known = await self._status(plan_id)
        if known is not None and known.status in ENDED and not (await self._log.head(plan_id)).offset:
            await self._ask(partial(forget_ended, self._store, self._client, plan_id))
            await self._ask(enqueue)
            known = await self._status(plan_id)
        if known is not None and known.status == "ENQUEUED" and _input_of(known) == [template, fit, owner]:
            with suppress(TimeoutError):  # the worker will tell it, too
                async with asyncio.timeout(PATIENCE_S):
                    await tell_all(self._broadcaster, said)

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        """Ask a plan to stop, to pause or to go on. It is told at once that this was asked, and by the plan itself when
        it obeyed. Raises `NotRunHere`."""
        check_plan_id(plan_id)
        if signal not in _ASKED:
            raise ValueError(f"a signal is cancel, pause or resume, not {signal!r}")
        known = await self._status(plan_id)
        if known is None:
            raise NotRunHere(f"no engine here runs a plan called {plan_id!r}")
        if known.status not in ("ENQUEUED", "DELAYED", "PENDING"):
            raise NotRunHere(f"plan {plan_id!r} has ended")
        await self._tell_asked(plan_id, signal, by)
        await self._ask(partial(self._store.add_signal, plan_id, signal, by))
        self._signalled.set()
        if signal == "cancel" and known.status != "PENDING":
            await self._cancel_unclaimed(known, by)

    async def outcome(self, plan_id: str) -> Ended:
        """Wait until the plan has ended; what it came to."""
        retrieve: Any = self._client.retrieve_workflow_async
        try:
            handle = await retrieve(plan_id)
            record = await handle.get_result(polling_interval_sec=self._poll_s)
        except dbos_errors.DBOSAwaitedWorkflowCancelledError:
            return Ended("cancelled")
        except dbos_errors.DBOSNonExistentWorkflowError:
            raise NotRunHere(f"no engine here runs a plan called {plan_id!r}") from None
        return Ended(record["status"], record.get("result"), record.get("message"))

    async def _status(self, plan_id: str) -> Any:
        found = await self._ask(partial(self._client.list_workflows, workflow_ids=[plan_id], load_output=False))
        return found[0] if found else None

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            return await self._store.call(question)
        except (OperationalError, PoolTimeout) as error:
            raise EngineUnavailable("the engine's database can't be reached; try again later") from error

    async def _tell_asked(self, plan_id: str, signal: SignalName, by: str) -> None:
        """As a line of the conversation, which leaves the plan's status to those who know it."""
        fields = {
            "plan_id": plan_id,
            "agent_name": by,
            "content": _ASKED[signal],
            "message_type": "action",
            "data": {"signal": signal, "state": "requested", "by": by},
        }
        with suppress(TimeoutError):  # a plan can be stopped even while nothing can be told
            async with asyncio.timeout(PATIENCE_S):
                await self._broadcaster.send(build(AgentMessage, fields))

    async def _cancel_unclaimed(self, known: Any, by: str) -> None:
        """No worker has it at the moment, so none would stop it before its turn came."""
        plan_id: str = known.workflow_id
        await self._ask(partial(self._client.cancel_workflow, plan_id))
        now = await self._status(plan_id)
        if now.executor_id != known.executor_id:  # a worker was quicker: let one see the signal, and tell the end
            await self._ask(partial(self._client.resume_workflow, plan_id, queue_name=known.queue_name))
            return
        data = {"signal": "cancel", "state": "stopped", "by": by}
        end = {"status": "cancelled", "content": f"Stopped by {by}", "data": data}
        await tell_end(plan_id, end, self._log, self._broadcaster, self._opening(known))

    def _opening(self, known: Any) -> list[Keyed]:
        """Its first words, which may not have been told yet; none of a template that only others know."""
        template, given, owner = _input_of(known)
        try:
            plan = named(self._templates, template).plan(given)
        except UnknownTemplate:
            return []
        return [*opening(Assignment(known.workflow_id, template, given, owner, plan))]


def _fit(template: Template, given: Mapping[str, Any]) -> Any:
    try:
        return plain(template.fit(given))
    except StepFailed as error:
        raise UnfitInput("the input holds something that JSON can't say") from error


def _input_of(known: Any) -> list[Any]:
    return [*known.input["args"]]
