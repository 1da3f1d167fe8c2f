"""`plancast open`"""

from __future__ import annotations

import argparse
import json
import sys

from broadcasters.errors import PlancastError
from broadcasters.events import check_plan_id
from broadcasters.log.http.link import HubUrl
from hub.commands.output import note, print_json
from hub.commands.plan_access import hub_of
from hub.terminal.browser import open_page
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "DEFAULT_HUB", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Open a plan's page, or the list of plans, in the browser. The hub must be
running. Where there is no browser, the address is printed."""
EXAMPLES = """\
plancast open plan-1
plancast open --hub https://plans.example.org"""

DEFAULT_HUB = "http://127.0.0.1:8000"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", nargs="?", help="the plan's id (default: the list of plans)")
    parser.add_argument(
        "--hub", metavar="URL", help=f"the hub's URL (default: PLANCAST_LOG if it is one, or {DEFAULT_HUB})"
    )
    parser.add_argument("--json", action="store_true", help="print the address as JSON, and open nothing")


def run(args: argparse.Namespace) -> int:
    hub = hub_of(args.hub or "") or HubUrl.parse(args.hub or DEFAULT_HUB)
    address = f"{hub.base}/plan/{check_plan_id(args.plan_id)}" if args.plan_id else f"{hub.base}/"
    _check(hub)
    if args.json:
        print_json({"plan_id": args.plan_id, "url": address})
    elif open_page(address):
        if sys.stdout.isatty():
            note(f"opened {address}")
    else:
        print(address)
    return 0


def _check(hub: HubUrl) -> None:
    """Raises `PlancastError` unless a hub answers there."""
    import httpx

    try:
        with waiting_for(f"waiting for the hub at {hub.base}"):
            answer = httpx.get(f"{hub.base}/healthz", timeout=10)
        healthy = answer.is_success and json.loads(answer.content).get("status") == "ok"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        healthy = False
    if not healthy:
        raise PlancastError(f"no hub answers at {hub.base}; start one with `plancast serve`, or name it with --hub")
