"""plancast serve"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory

from broadcasters.errors import PlancastError
from hub.limits import bounds
from hub.settings import Settings, add_flags, load, strangers
from hub.values import Secret, without_password

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run a hub: clients subscribe to plans on /ws/streaming, agents publish from
anywhere to the same log. Every flag may be given as a variable instead."""
EXAMPLES = """\
plancast serve
plancast serve --port 9000 --log redis://localhost
PLANCAST_AUTH_SECRET=@/etc/plancast/secret plancast serve --host 0.0.0.0 --workers 4"""


def arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    try:
        from hub.auth import refusal_to_bind
        from hub.logs import set_up
        from hub.serving import listener
    except ModuleNotFoundError as missing:
        raise PlancastError(f"a hub needs more than agents do ({missing.name}): pip install 'plancast[hub]'") from None
    settings = load(os.environ, args)
    for warning in strangers(os.environ):
        print(f"plancast: {warning}", file=sys.stderr)
    if (refusal := refusal_to_bind(settings)) is not None:
        raise PlancastError(refusal)
    set_up(settings)
    with listener(settings, settings.limits.outlet) as bound:
        print(_welcome(settings, bound), flush=True)
        return _serve(settings, bound)


def _serve(settings: Settings, bound: socket.socket) -> int:
    from hub.serving import serve
    from hub.workers import run_workers

    if settings.workers == 1:
        serve(settings, bound)
        return 0
    with TemporaryDirectory(prefix="plancast-") as shared:
        # What workers must have in common, when nobody said what it is.
        ticket_secret = settings.ticket_secret or settings.auth_secret or Secret(token_bytes(32))
        directory = settings.run_directory or Path(shared)
        return run_workers(serve, replace(settings, ticket_secret=ticket_secret, run_directory=directory), bound)


def _welcome(settings: Settings, bound: socket.socket) -> str:
    """What a person who just started a hub wants to know."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    workers = f", {settings.workers} workers" if settings.workers > 1 else ""
    lines = [
        f"Plancast on http://{shown}:{port} (socket: ws://{shown}:{port}/ws/streaming){workers}",
        f"log: {without_password(settings.log)}",
    ]
    if settings.development:
        lines.append("development: nobody is asked who they are, so only this machine can connect")
    elif not settings.authenticated:
        lines.append("INSECURE: nobody is asked who they are, and other machines can connect")
    if settings.offers_test_endpoint:
        lines.append(f"sample traffic: curl -X POST http://{shown}:{port}/api/test/streaming/plan-1")
    lines.append(bounds(settings.limits))
    return "\n".join(lines)
