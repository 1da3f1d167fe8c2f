"""`plancast serve`"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory

from broadcasters.errors import PlancastError
from broadcasters.extras import extra
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from hub.commands.embedded import Embedded, check_database, check_model, model_of, templates_of
from hub.commands.output import print_json
from hub.config.flags import add_flags
from hub.config.limits import bounds
from hub.config.setting_types import Secret, without_password
from hub.config.settings import Settings, load
from hub.engine_port import EnginePort
from hub.process.listening import address_of, listeners
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run", "serve_alone"]

ABOUT = """\
Run a hub: clients subscribe to plans on /ws/streaming, and agents anywhere
publish to the same log. Each flag has an environment variable, named in
brackets after the default; a flag overrides its variable.

With plancast[engine] installed, the hub also starts plans: of the built-in
templates in development, otherwise of --templates, if any. --engine selects
what runs them: this process (embedded), `plancast worker` (remote), nothing
(off)."""
EXAMPLES = """\
plancast serve
plancast serve --port 9000 --log redis://localhost --engine off
plancast serve --templates shop.plans --engine-db postgresql://db/plans --engine remote
PLANCAST_AUTH_SECRET=@/etc/plancast/secret plancast serve --host 0.0.0.0 --workers 4"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the addresses and what runs plans as JSON")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    with waiting_for("loading the hub"), extra("hub", "a hub"):
        from hub.access.auth import refusal_to_bind
        from hub.process.workers import raise_file_limit
    settings = load(os.environ, args)
    if (refusal := refusal_to_bind(settings)) is not None:
        raise PlancastError(refusal)
    with waiting_for("loading the engine and its templates"):
        _check(settings)
        settings, about_engine = _with_engine(settings)
    with ExitStack() as stack:
        bound = [stack.enter_context(each) for each in listeners(settings, settings.limits.outlet)]
        if args.json:
            print_json(_facts(settings, bound[0]))
        else:
            print(_welcome(settings, bound[0], about_engine), flush=True)
        if (too_few := raise_file_limit(settings.max_connections)) is not None:
            print(f"plancast: {too_few}", file=sys.stderr)
        return _serve(settings, bound)


def _check(settings: Settings) -> None:
    """Checks what workers would otherwise find unusable, each for itself, and be restarted for."""
    from hub.access.auth import Authenticator
    from hub.telemetry.worker_metrics import WorkerMetrics

    log_of(settings.log)
    Authenticator(settings)
    if settings.run_directory is not None:
        WorkerMetrics(settings.run_directory).close()


def _with_engine(settings: Settings) -> tuple[Settings, str]:
    """Settles for all processes whether there is an engine; also returns a description for people."""
    if not settings.wants_engine and (settings.engine == "off" or not settings.development):
        return replace(settings, engine="off"), "engine: none; this hub shows plans but starts none"
    try:
        names = ", ".join(template.name for template in templates_of(settings.templates))
        check_database(settings)
    except PlancastError as problem:
        if settings.wants_engine:
            raise
        return replace(settings, engine="off"), f"engine: none ({problem})"
    mode = "embedded" if settings.engine == "auto" else settings.engine
    if mode == "embedded":
        check_model(settings)
    where = "in this process" if mode == "embedded" else "in `plancast worker` processes"
    database = without_password(settings.engine_db)
    about = f"engine: {where}, database {database}, model {settings.model}\ntemplates: {names}"
    return replace(settings, engine=mode), about


def _serve(settings: Settings, bound: Sequence[socket.socket]) -> int:
    from hub.process.workers import run_workers

    if settings.workers == 1:
        serve_alone(settings, bound[0])
        return 0
    with TemporaryDirectory(prefix="plancast-") as shared:
        # Workers must share these, so they are chosen here unless they are set.
        ticket_secret = settings.ticket_secret or settings.auth_secret or Secret(token_bytes(32))
        directory = settings.run_directory or Path(shared)
        settings = replace(settings, ticket_secret=ticket_secret, run_directory=directory)
        return run_workers(serve_alone, settings, bound)


def serve_alone(settings: Settings, bound: socket.socket) -> None:
    """Runs one process of a hub, with its own engine."""
    from hub.node import Hub
    from hub.process.serving import serve
    from hub.telemetry.logs import set_up

    def hub() -> Hub:
        log = log_of(settings.log)
        return Hub(settings, log=log, engine=_engine(settings, log))

    set_up(settings)
    serve(hub, settings, bound)


def _engine(settings: Settings, log: PlanLog) -> EnginePort | None:
    if settings.engine == "off":
        return None
    from plan_engine import Engine

    engine = Engine(
        settings.engine_db,
        log,
        templates_of(settings.templates),
        work=settings.engine == "embedded",
        lease=settings.lease,
        plans_at_once=settings.plans_at_once,
        model=model_of(settings),
        tracebacks=settings.publishes_tracebacks,
    )
    return Embedded(engine)


def _facts(settings: Settings, bound: socket.socket) -> dict[str, object]:
    """What --json prints when a hub starts."""
    address = address_of(bound)
    urls = {"url": f"http://{address}", "websocket": f"ws://{address}/ws/streaming"}
    runs = {"engine": settings.engine, "model": settings.model, "workers": settings.workers, "pid": os.getpid()}
    return {**urls, "log": without_password(settings.log), "development": settings.development, **runs}


def _welcome(settings: Settings, bound: socket.socket, about_engine: str) -> str:
    """The lines printed when a hub starts."""
    address = address_of(bound)
    workers = f", {settings.workers} workers" if settings.workers > 1 else ""
    lines = [
        f"Plancast on http://{address} (WebSocket: ws://{address}/ws/streaming){workers}",
        f"log: {without_password(settings.log)}",
        about_engine,
    ]
    if settings.development:
        lines.append("development: no authentication, so only this machine can connect")
    elif not settings.authenticated:
        lines.append("INSECURE: no authentication, and other machines can connect")
    if settings.offers_test_endpoint:
        lines.append(f"sample traffic: curl -X POST http://{address}/api/test/streaming/plan-1")
    lines.append(bounds(settings.limits))
    return "\n".join(lines)
