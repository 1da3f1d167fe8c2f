"""plancast serve"""

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
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from hub.commands.gallery import check_model, model_of, templates_of
from hub.config.limits import bounds
from hub.config.setting_types import Secret, without_password
from hub.config.settings import Settings, add_flags, load, strangers
from hub.engine_port import EnginePort

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run a hub: clients subscribe to plans on /ws/streaming, agents publish from
anywhere to the same log. Every flag may be given as a variable instead.

With plancast[engine] installed it runs plans, too: in development those of the
built-in templates, otherwise those of --templates, if any. --engine says where:
`embedded` in this process, `remote` in `plancast worker` processes, or `off`."""
EXAMPLES = """\
plancast serve
plancast serve --port 9000 --log redis://localhost --engine off
plancast serve --templates shop.plans --engine-db postgresql://db/plans --engine remote
PLANCAST_AUTH_SECRET=@/etc/plancast/secret plancast serve --host 0.0.0.0 --workers 4"""


def arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    try:
        from hub.access.auth import refusal_to_bind
        from hub.process.open_files import make_room
        from hub.process.serving import listeners
    except ModuleNotFoundError as missing:
        raise PlancastError(f"a hub needs more than agents do ({missing.name}): pip install 'plancast[hub]'") from None
    settings = load(os.environ, args)
    for warning in strangers(os.environ):
        print(f"plancast: {warning}", file=sys.stderr)
    if (refusal := refusal_to_bind(settings)) is not None:
        raise PlancastError(refusal)
    _check(settings)
    settings, about_engine = _with_engine(settings)
    with ExitStack() as stack:
        bound = [stack.enter_context(each) for each in listeners(settings, settings.limits.outlet)]
        print(_welcome(settings, bound[0], about_engine), flush=True)
        if (too_few := make_room(settings.max_connections)) is not None:
            print(f"plancast: {too_few}", file=sys.stderr)
        return _serve(settings, bound)


def _check(settings: Settings) -> None:
    """What can't be used is said once, before anybody is let in: a worker that finds it would only be replaced."""
    from hub.access.auth import Authenticator
    from hub.telemetry.worker_metrics import Siblings

    log_of(settings.log)
    Authenticator(settings)
    if settings.run_directory is not None:
        Siblings(settings.run_directory).close()


def _with_engine(settings: Settings) -> tuple[Settings, str]:
    """Whether there is an engine, once for all processes; and what people are told of it."""
    if not settings.wants_engine and (settings.engine == "off" or not settings.development):
        return replace(settings, engine="off"), "engine: none, this hub shows plans and starts none"
    try:
        names = ", ".join(template.name for template in templates_of(settings.templates))
    except PlancastError as problem:
        if settings.wants_engine:
            raise
        return replace(settings, engine="off"), f"engine: none ({problem})"
    mode = "embedded" if settings.engine == "auto" else settings.engine
    if mode == "embedded":
        check_model(settings)
    where = "works here" if mode == "embedded" else "works in `plancast worker` processes"
    about = f"engine: {where}, on {without_password(settings.engine_db)} (model: {settings.model})\ntemplates: {names}"
    return replace(settings, engine=mode), about


def _serve(settings: Settings, bound: Sequence[socket.socket]) -> int:
    from hub.process.workers import run_workers

    if settings.workers == 1:
        _serve_alone(settings, bound[0])
        return 0
    with TemporaryDirectory(prefix="plancast-") as shared:
        # What workers must have in common, when nobody said what it is.
        ticket_secret = settings.ticket_secret or settings.auth_secret or Secret(token_bytes(32))
        directory = settings.run_directory or Path(shared)
        settings = replace(settings, ticket_secret=ticket_secret, run_directory=directory)
        return run_workers(_serve_alone, settings, bound)


def _serve_alone(settings: Settings, bound: socket.socket) -> None:
    """One process of a hub, with an engine of its own."""
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
    from hub.commands.embedded import Embedded
    from plan_engine import Engine

    engine = Engine(
        settings.engine_db,
        log,
        templates_of(settings.templates),
        work=settings.engine == "embedded",
        lease=settings.lease,
        plans_at_once=settings.plans_at_once,
        model=model_of(settings),
    )
    return Embedded(engine)


def _welcome(settings: Settings, bound: socket.socket, about_engine: str) -> str:
    """What a person who just started a hub wants to know."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    workers = f", {settings.workers} workers" if settings.workers > 1 else ""
    lines = [
        f"Plancast on http://{shown}:{port} (socket: ws://{shown}:{port}/ws/streaming){workers}",
        f"log: {without_password(settings.log)}",
        about_engine,
    ]
    if settings.development:
        lines.append("development: nobody is asked who they are, so only this machine can connect")
    elif not settings.authenticated:
        lines.append("INSECURE: nobody is asked who they are, and other machines can connect")
    if settings.offers_test_endpoint:
        lines.append(f"sample traffic: curl -X POST http://{shown}:{port}/api/test/streaming/plan-1")
    lines.append(bounds(settings.limits))
    return "\n".join(lines)
