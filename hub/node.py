"""One hub node: its parts, wired together, and opened and closed together."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Self

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import LogError, SnapshotUnreadable
from broadcasters.extras import extra
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.supervision import Part, Supervisor

with extra("hub", "a hub"):
    from hub.access.auth import AuthenticationFailed, Authenticator
    from hub.access.origins import Origins
    from hub.access.principal import Principal
    from hub.access.tickets import Tickets, ticket_key
    from hub.answers.acceptance import Answers
    from hub.answers.plan_workers import PlanWorkers
    from hub.config.settings import Settings, load
    from hub.core.connection import RequestRefused, TokenRefused
    from hub.core.connections import Connections
    from hub.core.counts import HubCounts
    from hub.core.effects import SendSignal
    from hub.core.plan_lists import PlanLists
    from hub.core.registry import Pace, Registry
    from hub.engine_port import EngineError, EnginePort, EngineUnreachable, NoEngine, PlanNotRunning
    from hub.telemetry.metrics import Metrics
    from hub.telemetry.probe import Probe, failing
    from hub.telemetry.tracing import deliveries
    from hub.telemetry.worker_metrics import WorkerMetrics
    from hub.transports.admission import AdmissionControl
    from hub.transports.http_guard import HttpConnectionLimit
    from hub.transports.native import NativeSockets
    from hub.transports.peers import Proxies
    from hub.wire.codes import ErrorCode

__all__ = ["Hub"]

DEADLINE = 10.0
"""Seconds for which the hub tries to append an event before it reports a failure."""
ENGINE_S: Final = 10.0
"""Seconds for which a client waits for the engine. The plan may have been started nevertheless."""
NO_ENGINE: Final = (
    "this hub has no engine: it shows plans, but can't start or signal them; it needs pip install 'plancast[engine]' and "
    "`plancast serve` in development or with --templates; `plancast doctor` names other reasons"
)


class Hub:
    """`async with Hub(settings) as hub`: follows the log and can serve clients until the block is left.

    Without settings, the environment's are used (PLANCAST_LOG and the others).

    It may be entered several times at once, for example by an application and by a router in it. Once all have left it,
    it is closed and can't be entered again.
    """

    def __init__(
        self, settings: Settings | None = None, *, log: PlanLog | None = None, engine: EnginePort | None = None
    ) -> None:
        if settings is None:
            settings = load(os.environ)
        limits = settings.limits
        self.settings = settings
        self.engine = engine
        self.log = log or log_of(settings.log)
        self.counts = HubCounts()
        self.broadcaster = Broadcaster(log=self.log, deadline=DEADLINE)
        self.registry = Registry(self.log, self.counts, limits.channel, Pace(), limits.plans.total)
        self.roster = Connections(self.counts, limits.outlet.slow_seconds)
        self.authenticator = Authenticator(settings)
        self.tickets = Tickets(ticket_key(settings), self.log)
        self.answer = Answers(self.log, self.broadcaster).give
        self.workers = PlanWorkers(self.log, self.broadcaster, self.registry)
        self.probe = Probe(self.log)
        origins = Origins(frozenset(settings.origins), not settings.authenticated, settings.development)
        self.origins = origins
        self.admission = AdmissionControl(
            self.registry, self.roster, self, self.authenticator, self.tickets, origins, limits, self.counts
        )
        self.lists = PlanLists(self.log, self.admission.rates)
        proxies = Proxies(settings.proxies)
        self.http_limit = HttpConnectionLimit(limits.connections, proxies, self.counts)
        self.native = NativeSockets(self.admission, proxies)
        self._workers = WorkerMetrics(settings.run_directory) if settings.run_directory else None
        self.metrics = Metrics(
            self.counts,
            self.broadcaster.statistics,
            self._workers,
            lambda: self.parts,
            lambda: None if self.engine is None else self.engine.statistics(),
        )
        self.leaving = asyncio.Event()
        """Set when the drain begins, for requests that wait without being among the connections."""
        self._open = AsyncExitStack()
        self._entered = 0
        self._over = False
        self._supervisor = Supervisor()

    async def __aenter__(self) -> Self:
        if self._over:
            raise RuntimeError("this hub was closed and can't be opened again; make a new Hub(…)")
        if self._entered == 0:
            await self._begin()
        self._entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._over = True
            self.admission.open = False
            await self._open.aclose()

    async def _begin(self) -> None:
        self.registry.traced = deliveries()
        async with AsyncExitStack() as stack:
            if self._workers is not None:
                stack.callback(self._workers.close)
            stack.push_async_callback(self.log.close)
            await self.log.open()
            if self.engine is not None:
                stack.push_async_callback(self.engine.close)
                await self.engine.open()
            stack.push_async_callback(self.authenticator.close)
            stack.push_async_callback(self.tickets.close)
            stack.push_async_callback(self.broadcaster.close)
            stack.push_async_callback(self.probe.close)
            await self.probe.open()
            stack.push_async_callback(self.registry.close)
            stack.push_async_callback(self.native.close)
            stack.push_async_callback(self._supervisor.close)
            for part in (self.registry, self.roster, self.native, self.metrics, self.workers):
                part.start(self._supervisor)
            self._open = stack.pop_all()
        self.admission.open = True

    def close_with(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call `close` when this hub is closed, before its own parts are. The hub must be open."""
        self._open.push_async_callback(close)

    async def drain(self, patience: float) -> None:
        """Disconnect all clients over at most `patience` seconds; they reconnect to another node or to a successor."""
        self.leaving.set()
        self.admission.refusals.end_all()
        await self.roster.drain(window=patience / 2, patience=patience)

    @property
    def parts(self) -> Mapping[str, Part]:
        """The long-lived tasks of the hub, its log and its engine, by name."""
        own = {**self._supervisor.parts, **self.log.parts}
        return own if self.engine is None else {**own, **self.engine.parts}

    async def ready(self) -> str | None:
        """Why this node should not get clients at the moment; None if it should."""
        if self.roster.draining:
            return "draining"
        if (problem := failing(self.parts)) is not None:
            return problem
        if self.registry.watch_lost:
            return "the live feed of the log is interrupted"
        if (full := self.admission.full) is not None:
            return full
        return await self.probe.problem()

    # -- requests of clients -------------------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Principal:
        try:
            return await self.authenticator.authenticate(token, time.time())
        except AuthenticationFailed as failure:
            failure.log()
            raise TokenRefused(failure.code, str(failure)) from None

    async def start_plan(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str) -> bool:
        """Start a plan; the caller has checked the right to. Starting the same plan_id again changes nothing; False: the
        plan was started with other arguments.

        Raises `EngineError`."""
        try:
            async with asyncio.timeout(ENGINE_S):
                return await self._engine().start(template, given, plan_id, owner)
        except TimeoutError:
            raise EngineUnreachable(f"the engine did not answer within {ENGINE_S:g} s; try again") from None

    async def signal(self, signal: SendSignal) -> None:
        """Pass the signal to the engine, or to the program that works on the plan without one. Raises `RequestRefused`."""
        try:
            await self._engine().signal(signal.plan_id, signal.signal, signal.by)
        except (NoEngine, PlanNotRunning) as error:
            if not await self._signal_worker(signal):
                raise RequestRefused(error.code, str(error)) from None
        except EngineError as error:
            raise RequestRefused(error.code, str(error)) from None

    async def _signal_worker(self, signal: SendSignal) -> bool:
        try:
            return await self.workers.signal(signal)
        except (LogError, SnapshotUnreadable) as error:
            raise RequestRefused(ErrorCode.UNAVAILABLE, str(error), retry_after_ms=2000) from None

    def _engine(self) -> EnginePort:
        if self.engine is None:
            raise NoEngine(NO_ENGINE)
        return self.engine
