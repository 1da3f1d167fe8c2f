"""How a command reaches plans: through a hub's HTTP API, or through the log and the engine's database themselves.

`--log` or PLANCAST_LOG decides: with the URL of a hub, its API is used, with the token in PLANCAST_TOKEN; with any other,
plans are read and answered in that log, and started and signalled in the database of PLANCAST_ENGINE_DB.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import PlancastError
from broadcasters.events import check_plan_id
from broadcasters.extras import ExtraMissing
from broadcasters.log import default_url, log_of
from broadcasters.log.contract import PlanLog
from broadcasters.log.http.link import HubLink, HubRefused, HubUrl
from broadcasters.position import Position
from broadcasters.signals import requested
from broadcasters.snapshot import Snapshot, WorkerStatus
from broadcasters.workers import works_now
from hub.config.setting_types import without_password
from hub.engine_port import SignalName, TemplateInfo
from hub.terminal.waiting import waiting_for

if TYPE_CHECKING:
    from plan_engine import Engine

__all__ = ["PlanAccess", "hub_of", "open_plans", "user_name"]


class PlanAccess(ABC):
    """Starts, signals and answers plans. `log` is open."""

    def __init__(self, log: PlanLog) -> None:
        self.log = log

    @abstractmethod
    async def templates(self) -> Sequence[TemplateInfo]:
        """The templates whose plans can be started."""

    @abstractmethod
    async def start(self, template: str, given: Mapping[str, Any], plan_id: str) -> str | None:
        """Start a plan; returns the address of its page, if that is known. Starting the same id again changes nothing."""

    @abstractmethod
    async def signal(self, plan_id: str, signal: SignalName) -> None:
        """Request a plan to stop, pause or resume."""

    @abstractmethod
    async def answer(self, plan_id: str, request_id: str, answer: Any) -> Position:
        """Answer a request for input; returns the answer's position."""


@asynccontextmanager
async def open_plans(args: argparse.Namespace) -> AsyncGenerator[PlanAccess]:
    """The plans of --log or PLANCAST_LOG."""
    url = args.log or default_url()
    async with AsyncExitStack() as stack:
        log = log_of(url)
        stack.push_async_callback(log.close)
        with waiting_for(f"connecting to {without_password(url)}"):
            await log.open()
        access = _HubAccess(log, stack, url) if hub_of(url) else _DirectAccess(log, stack, args)
        yield access


def hub_of(url: str | None) -> HubUrl | None:
    """The hub that a log's URL (default: PLANCAST_LOG) names; None if it names another kind of log."""
    url = url or os.environ.get("PLANCAST_LOG", "").strip()
    return HubUrl.parse(url) if url.startswith(("http://", "https://")) else None


def user_name() -> str:
    """The name of this process's user, for plans and answers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "terminal"


class _HubAccess(PlanAccess):
    """Plans through a hub."""

    def __init__(self, log: PlanLog, stack: AsyncExitStack, url: str) -> None:
        super().__init__(log)
        self._link = HubLink(HubUrl.parse(url))
        self._link.open()
        stack.push_async_callback(self._link.close)

    async def templates(self) -> Sequence[TemplateInfo]:
        found = await self._request("GET", "/api/templates", "the list of templates")
        return [TemplateInfo(one["name"], one["title"], one["about"], one["input_schema"]) for one in found]

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str) -> str | None:
        body = {"template": template, "input": given, "plan_id": plan_id}
        await self._request("POST", "/api/plans", f"to start {plan_id}", body)
        return f"{self._link.address}/plan/{plan_id}"

    async def signal(self, plan_id: str, signal: SignalName) -> None:
        body = {"signal": signal}
        await self._request("POST", f"/api/plans/{plan_id}/signals", f"to {signal} {plan_id}", body)

    async def answer(self, plan_id: str, request_id: str, answer: Any) -> Position:
        path = f"/api/plans/{plan_id}/inputs/{quote(request_id, safe='')}"
        at = await self._request("POST", path, f"the answer to {plan_id}", {"answer": answer})
        return Position(at["epoch"], at["offset"])

    async def _request(self, method: str, path: str, about: str, body: object = None) -> Any:
        try:
            with waiting_for(f"waiting for the hub at {self._link.address}"):
                return json.loads(await self._link.request(method, path, about, json=body))
        except HubRefused as refused:
            raise refused.error from None


class _DirectAccess(PlanAccess):
    """Plans in a log and an engine's database. The engine is opened when it is first used."""

    def __init__(self, log: PlanLog, stack: AsyncExitStack, args: argparse.Namespace) -> None:
        super().__init__(log)
        self._stack = stack
        self._args = args
        self._engine: Engine | None = None

    async def templates(self) -> Sequence[TemplateInfo]:
        engine = await self._opened(templates=True)
        return [TemplateInfo(one.name, one.title, one.about, one.input_schema) for one in engine.templates()]

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str) -> str | None:
        engine = await self._opened(templates=True)
        with waiting_for("waiting for the engine's database"):
            await engine.start(template, given, plan_id, user_name())
        return None

    async def signal(self, plan_id: str, signal: SignalName) -> None:
        with waiting_for(f"waiting for the log to read {plan_id}"):
            plan, _ = await snapshot_of(self.log, check_plan_id(plan_id))
        if plan.ended_at is not None:
            raise PlancastError(f"plan {plan_id!r} has ended ({plan.status})")
        if (worker := works_now(plan)) is not None:
            await self._signal_worker(plan_id, worker, signal)
            return
        try:
            engine = await self._opened(templates=False)
        except ExtraMissing as missing:
            raise PlancastError(_unsignalled(plan, signal, missing)) from None
        with waiting_for("waiting for the engine's database"):
            await engine.signal(plan_id, signal, user_name())

    async def _signal_worker(self, plan_id: str, worker: WorkerStatus, signal: SignalName) -> None:
        """Send the signal to the program that works on the plan without an engine."""
        from broadcasters.broadcaster import Broadcaster

        if signal not in worker.obeys:
            obeyed = f"only {', '.join(worker.obeys)}" if worker.obeys else "no signals"
            raise PlancastError(f"can't {signal} plan {plan_id!r}: {worker.name}, which works on it, obeys {obeyed}")
        with waiting_for(f"waiting for the log to signal {plan_id}"):
            async with Broadcaster(log=self.log, deadline=10.0) as broadcaster:
                await broadcaster.send(requested(plan_id, signal, user_name()))

    async def answer(self, plan_id: str, request_id: str, answer: Any) -> Position:
        from broadcasters.broadcaster import Broadcaster
        from hub.answers.acceptance import Answers
        from hub.core.connection import RequestRefused
        from hub.core.effects import SubmitAnswer

        async with Broadcaster(log=self.log, deadline=10.0) as broadcaster:
            try:
                given = SubmitAnswer(plan_id, request_id, answer, None, user_name())
                return await Answers(self.log, broadcaster).give(given)
            except RequestRefused as refused:
                raise PlancastError(str(refused)) from None

    async def _opened(self, *, templates: bool) -> Engine:
        if self._engine is None:
            with waiting_for("opening the plan engine"):
                self._engine = await self._open(templates)
        return self._engine

    async def _open(self, templates: bool) -> Engine:
        from hub.commands.embedded import templates_of
        from hub.config.settings import load
        from plan_engine import Engine

        settings = load(os.environ, self._args)
        # Loading the built-in templates takes a second; signals don't need them.
        found = templates_of(settings.templates) if templates or settings.templates else ()
        engine = Engine(settings.engine_db, self.log, found, work=False)
        return await self._stack.enter_async_context(engine)


def _unsignalled(plan: Snapshot, signal: SignalName, missing: ExtraMissing) -> str:
    """Why a signal can't be sent where the engine is not installed, and what to do."""
    if plan.offset == 0:
        return f"there is no plan {plan.plan_id!r} (plancast plans lists all plans)"
    hub = "if an engine runs it, name its hub with --log http://…, or install the engine"
    return f"can't {signal} plan {plan.plan_id!r}: no agent works on it now; {hub} ({missing.fix})"
