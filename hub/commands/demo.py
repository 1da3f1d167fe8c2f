"""`plancast demo`"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

from broadcasters.errors import PlancastError
from broadcasters.extras import extra
from hub.commands.output import note, print_json
from hub.commands.parser import bold
from hub.config.flags import add_flag
from hub.config.settings import Settings, load
from hub.terminal.browser import open_page
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "DemoPlan", "arguments", "run"]

ABOUT = """\
Try Plancast: run a hub with its web page and two plans, one that waits for your
answer in the browser, and another at work beside it. Kill it at any time, even
with kill -9, and start it again: both plans go on. They are kept in the log
that your own programs publish to, so the plans of those are on its page, too."""
EXAMPLES = """\
plancast demo
plancast demo --port 9000 --no-browser"""

REQUEST_S: Final = 10.0
ENDED: Final = ("completed", "error", "cancelled")
SETTINGS: Final = ("PLANCAST_PORT", "PLANCAST_LOG", "PLANCAST_ENGINE_DB", "PLANCAST_MODEL", "PLANCAST_PACE")
"""The settings of `plancast serve` that the demo has, too."""

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
    add_flag(parser, "port")
    parser.add_argument("--no-browser", action="store_true", help="don't open the page")
    parser.add_argument("--json", action="store_true", help="print the addresses of the hub and its plans as JSON")


def run(args: argparse.Namespace) -> int:
    settings = _settings(args)
    with waiting_for("loading the hub, the engine and the templates"), extra("all", "the demo"):
        from hub.commands.embedded import templates_of
        from hub.commands.serve import serve_alone
        from hub.process.listening import listeners

        templates_of(())
    [bound] = listeners(settings, settings.limits.outlet)
    guide = _Guide(f"http://127.0.0.1:{bound.getsockname()[1]}", browser=not args.no_browser, json=args.json)
    Thread(target=guide.run, name="demo", daemon=True).start()
    with bound:
        serve_alone(settings, bound)
    note("stopped; the same command starts it again, and its plans go on")
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    for name in ("PLANCAST_AUTH_SECRET", "PLANCAST_AUTH_JWKS"):
        if os.environ.get(name):
            raise PlancastError(f"{name} is set, but the demo has no authentication; unset it, or run `plancast serve`")
    given = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    fixed = {
        "PLANCAST_ENGINE": "embedded",
        "PLANCAST_DRAIN_SECONDS": "0",
        "PLANCAST_LOGS_LEVEL": "warning",
        "PLANCAST_LOGS": "text",
    }
    return load(given | fixed, args)


class _Guide:
    """Starts the plans in the hub of this process, or finds those that go on, and says where they are."""

    def __init__(self, address: str, *, browser: bool, json: bool) -> None:
        self._address = address
        self._browser = browser
        self._json = json

    def run(self) -> None:
        """Called in a thread of its own."""
        try:
            with waiting_for("starting the hub"):
                self._until_ready()
            known = self._known()
            going_on = {template: one["plan_id"] for template, one in known.items() if one["status"] not in ENDED}
            plan_ids = [going_on.get(plan.template) or self._start(plan, known) for plan in PLANS]
            if self._json:
                print_json(self._facts(plan_ids))
            else:
                print(self._welcome(plan_ids, going_on=bool(going_on)), flush=True)
        except (OSError, ValueError, PlancastError) as error:
            note(f"the demo's plans could not be started: {error}")
            return
        if self._browser:
            open_page(self._page(plan_ids[0]))

    def _until_ready(self) -> None:
        while True:
            try:
                self._request("/readyz")
            except OSError:
                time.sleep(0.05)
            else:
                return

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

    def _facts(self, plan_ids: Sequence[str]) -> dict[str, Any]:
        plans = [
            {"plan_id": plan_id, "purpose": plan.purpose, "page": self._page(plan_id)}
            for plan, plan_id in zip(PLANS, plan_ids, strict=True)
        ]
        return {"url": self._address, "pid": os.getpid(), "plans": plans}

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
                f"  {_program()} watch",
                f"  {_program()} answer {plan_ids[0]} yes",
                "",
                bold("Now kill me and start me again:") + f" kill -9 {os.getpid()}, then the same command",
            ]
        )


def _program() -> str:
    """What a person types to run `plancast`: its path, unless it is found without, also outside of uv's environment."""
    found = shutil.which("plancast") == sys.argv[0] and "UV" not in os.environ
    return "plancast" if found else shlex.quote(sys.argv[0])
