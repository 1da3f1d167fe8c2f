"""`plancast demo`"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final

from broadcasters.errors import PlancastError
from broadcasters.extras import extra
from hub.commands.output import note
from hub.commands.parser import bold
from hub.config.settings import Settings, load
from hub.terminal.browser import open_page
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "DemoPlan", "arguments", "run", "until_ready"]

ABOUT = """\
Try Plancast: run a hub with its web page and two plans, one that waits for your
answer in the browser, and another at work beside it. Kill it at any time, even
with kill -9, and start it again: both plans go on. Everything is kept in
~/.plancast/demo."""
EXAMPLES = """\
plancast demo
plancast demo --port 9000 --no-browser"""

PORT: Final = 8000
REQUEST_S: Final = 10.0
ENDED: Final = ("completed", "error", "cancelled")

_plan_id = re.compile(r"demo-(\w+)-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """A plan of the demo: what it is there for, and its template with an input."""

    purpose: str
    template: str
    given: dict[str, Any]


PLANS: Final = (
    DemoPlan("waits for you", "team", {"request": "Write a welcome letter to our new customers"}),
    DemoPlan("at work", "exhibition", {"theme": "Rivers and bridges"}),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=_port, metavar="N", help=f"the hub's port (default: the last one, {PORT}, or a free one)"
    )
    parser.add_argument(
        "--directory", type=Path, metavar="DIRECTORY", help="where it keeps its plans (default: ~/.plancast/demo)"
    )
    parser.add_argument("--no-browser", action="store_true", help="don't open the page")


def run(args: argparse.Namespace) -> int:
    with waiting_for("loading the hub, the engine and the templates"), extra("all", "the demo"):
        from hub.commands.embedded import templates_of
        from hub.commands.serve import serve_alone
        from hub.process.serving import listeners

        templates_of(())
    directory = args.directory or Path.home() / ".plancast" / "demo"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = _settings(directory, args.port or _free_port(directory))
    [bound] = listeners(settings, settings.limits.outlet)
    port = bound.getsockname()[1]
    (directory / "port").write_text(str(port))
    guide = _Guide(f"http://127.0.0.1:{port}", browser=not args.no_browser)
    Thread(target=guide.run, name="demo", daemon=True).start()
    with bound:
        serve_alone(settings, bound)
    print("\nStopped. `plancast demo` starts it again, and its plans go on.", flush=True)
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a port, 1 to 65535; got {text!r:.40}")
    return int(text)


def _settings(directory: Path, port: int) -> Settings:
    environ = {
        "PLANCAST_PORT": str(port),
        "PLANCAST_LOG": f"sqlite:///{directory / 'plans.db'}",
        "PLANCAST_ENGINE_DB": f"sqlite:///{directory / 'engine.db'}",
        "PLANCAST_ENGINE": "embedded",
        "PLANCAST_DRAIN_SECONDS": "0",
        "PLANCAST_LOGS_LEVEL": "error",
        "PLANCAST_LOGS": "text",
    }
    kept = ("PLANCAST_MODEL", "PLANCAST_PACE")
    return load(environ | {name: os.environ[name] for name in kept if name in os.environ})


def _free_port(directory: Path) -> int:
    """The port of the last time, so that an open page finds the hub again; else the usual one, or any free one."""
    try:
        last = int((directory / "port").read_text())
    except (OSError, ValueError):
        last = PORT
    return next((port for port in dict.fromkeys((last, PORT)) if _is_free(port)), 0)


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def until_ready(address: str, *, pause_s: float = 0.05) -> None:
    """Wait until the hub at this address is ready."""
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=REQUEST_S):  # noqa: S310 - http
                return
        except OSError:
            time.sleep(pause_s)


class _Guide:
    """Starts the plans in the hub of this process, or finds those that go on, and says where they are."""

    def __init__(self, address: str, *, browser: bool) -> None:
        self._address = address
        self._browser = browser

    def run(self) -> None:
        """Called in a thread of its own."""
        try:
            with waiting_for("starting the hub"):
                until_ready(self._address)
            known = self._known()
            going_on = {template: one["plan_id"] for template, one in known.items() if one["status"] not in ENDED}
            plan_ids = [going_on.get(plan.template) or self._start(plan, known) for plan in PLANS]
            print(self._welcome(plan_ids, going_on=bool(going_on)), flush=True)
        except (OSError, ValueError, PlancastError) as error:
            note(f"the demo's plans could not be started: {error}")
            return
        if self._browser:
            open_page(self._page(plan_ids[0]))

    def _known(self) -> dict[str, Any]:
        """The newest plan of each template."""
        listed: list[dict[str, Any]] = self._request("/api/plans?limit=500")["plans"]
        plans = [(found, one) for one in listed if (found := _plan_id.fullmatch(one["plan_id"]))]
        return {found[1]: one for found, one in sorted(plans, key=lambda plan: int(plan[0][2]))}

    def _start(self, plan: DemoPlan, known: Mapping[str, Any]) -> str:
        last = _plan_id.fullmatch(known[plan.template]["plan_id"]) if plan.template in known else None
        plan_id = f"demo-{plan.template}-{int(last[2]) + 1 if last else 1}"
        self._request("/api/plans", {"template": plan.template, "input": plan.given, "plan_id": plan_id})
        return plan_id

    def _request(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - http
            f"{self._address}{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310
            return json.load(answer)

    def _page(self, plan_id: str) -> str:
        return f"{self._address}/plan/{plan_id}"

    def _welcome(self, plan_ids: Sequence[str], *, going_on: bool) -> str:
        width = max(len(plan.purpose) for plan in PLANS)
        pages = [
            f"  {plan.purpose:{width}}  {self._page(plan_id)}" for plan, plan_id in zip(PLANS, plan_ids, strict=True)
        ]
        again = " The plans go on where they were." if going_on else ""
        return "\n".join(
            [
                f"{bold('Plancast demo')} on {self._address}; Ctrl-C stops it.{again}",
                "",
                *pages,
                f"  {'all plans':{width}}  {self._address}/",
                "",
                "From another terminal:",
                f"  export PLANCAST_LOG={self._address}",
                "  plancast watch",
                f"  plancast answer {plan_ids[0]} yes",
                "",
                bold("Now kill me and start me again:") + f" kill -9 {os.getpid()}, then {_command()}",
            ]
        )


def _command() -> str:
    """The command that starts the demo again, as it was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv[1:2] == ["demo"] else "plancast demo"
