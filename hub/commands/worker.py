"""`plancast worker`"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import TYPE_CHECKING

from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.supervision import Part, Supervisor
from hub.commands.embedded import Embedded, check_model, model_of, templates_of
from hub.commands.output import note, print_json
from hub.config.flags import add_flags
from hub.config.setting_types import without_password
from hub.config.settings import load
from hub.process.listening import address_of, probe_listener
from hub.telemetry.probe import Probe, failing
from hub.terminal.waiting import waiting_for

if TYPE_CHECKING:
    from plan_engine import Engine

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run plans that a hub or a program has started. Workers that share the engine's
database share the plans, on any number of machines; each must be able to import
the modules of the templates. Stop it with SIGTERM: another worker continues its
plans, or this one when it is started again."""
EXAMPLES = """\
plancast worker
plancast worker --templates shop.plans --engine-db postgresql://db/plans --log redis://cache
plancast worker --probe-host 0.0.0.0 --probe-port 8001"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", metavar="URL", help="the log to use (default: PLANCAST_LOG): sqlite:///… or redis://…")
    parser.add_argument("--json", action="store_true", help="print the worker's name and its templates as JSON")
    add_flags(parser, "engine", "worker")


def run(args: argparse.Namespace) -> int:
    settings = load(os.environ, args)
    with waiting_for("loading the engine and its templates"):
        templates = templates_of(settings.templates)
        check_model(settings)
        if settings.probe_port is not None:
            importlib.import_module("hub.process.probes")  # a missing package is an error before plans are begun
    from plan_engine import Engine

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    log = log_of(settings.log)
    engine = Engine(
        settings.engine_db,
        log,
        templates,
        lease=settings.lease,
        plans_at_once=settings.plans_at_once,
        model=model_of(settings),
        tracebacks=settings.publishes_tracebacks,
    )
    with ExitStack() as stack:
        bound: socket.socket | None = None
        if settings.probe_port is not None:
            bound = stack.enter_context(probe_listener(settings.probe_host, settings.probe_port))
        asyncio.run(_work(engine, log, partial(_print_facts, engine, settings.log, bound, json=args.json), bound))
    return 0


async def _work(engine: Engine, log: PlanLog, begun: Callable[[], None], bound: socket.socket | None) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ending.set)
    async with AsyncExitStack() as stack:
        with waiting_for("waiting for the engine's database and the log"):
            stack.push_async_callback(log.close)
            await log.open()
            await stack.enter_async_context(engine)
        if bound is not None:
            await _serve_probes(stack, bound, engine, log)
        begun()
        await ending.wait()
        note("stopping; other workers continue the plans in progress")


async def _serve_probes(stack: AsyncExitStack, bound: socket.socket, engine: Engine, log: PlanLog) -> None:
    from hub.process.probes import serving_probes
    from hub.telemetry.metrics import Metrics

    probe, supervisor = Probe(log), Supervisor()

    def parts() -> Mapping[str, Part]:
        return {**supervisor.parts, **log.parts, **engine.parts}

    async def problem() -> str | None:
        if not engine.leased:
            return "the lease was not renewed in time: the engine's database can't be reached, or this process was suspended"
        return failing(parts()) or await probe.problem()

    metrics = Metrics(None, parts=parts, engine=Embedded(engine).statistics)
    stack.push_async_callback(probe.close)
    await probe.open()
    stack.push_async_callback(supervisor.close)
    metrics.start(supervisor)
    await stack.enter_async_context(serving_probes(bound, metrics, problem))


def _print_facts(engine: Engine, log: str, bound: socket.socket | None, *, json: bool) -> None:
    names = [template.name for template in engine.templates()]
    probes = None if bound is None else f"http://{address_of(bound)}"
    if json:
        facts = {"worker": engine.name, "templates": names, "log": without_password(log), "pid": os.getpid()}
        print_json(facts if probes is None else {**facts, "probes": probes})
        return
    print(f"Plancast worker {engine.name}\ntemplates: {', '.join(names)}", flush=True)
    print(f"log: {without_password(log)}", flush=True)
    if probes is not None:
        print(f"probes and metrics: {probes}/readyz, /livez, /metrics", flush=True)
