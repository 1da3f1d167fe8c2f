"""`plancast rm`"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from broadcasters.errors import PlancastError
from broadcasters.events import check_plan_id
from broadcasters.log.contract import PlanLog
from hub.commands import log_argument, open_log
from hub.commands.output import note, print_json
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Delete plans with all their events, for everyone. On a terminal it asks first.
A plan that is still in progress is created again by its next event; cancel it
before."""
EXAMPLES = """\
plancast rm plan-1 plan-2
plancast rm --yes plan-1"""
SHOWN = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plans", metavar="PLAN_ID", nargs="+", help="a plan's id")
    parser.add_argument("-y", "--yes", action="store_true", help="don't ask; required without a terminal")
    parser.add_argument("--json", action="store_true", help="print one JSON object per plan")
    log_argument(parser)
    parser.set_defaults(misused=parser.error)


def run(args: argparse.Namespace) -> int:
    plan_ids = [check_plan_id(plan_id) for plan_id in dict.fromkeys(args.plans)]
    if not args.yes and not sys.stdin.isatty():
        args.misused("there is no terminal to ask on; add --yes")
    return asyncio.run(_run(args, plan_ids))


async def _run(args: argparse.Namespace, plan_ids: Sequence[str]) -> int:
    async with open_log(args.log) as log:
        with waiting_for("waiting for the log"):
            heads = await log.heads(plan_ids)
        found = [plan_id for plan_id in plan_ids if heads[plan_id].offset]
        for plan_id in plan_ids:
            if plan_id not in found:
                note(f"there is no plan {plan_id!r}")
        if found and not args.yes and not _confirmed(found):
            raise PlancastError("nothing was deleted")
        for plan_id in found:
            await _delete(log, plan_id, json=args.json)
    return 0 if len(found) == len(plan_ids) else 1


def _confirmed(plan_ids: Sequence[str]) -> bool:
    what = plan_ids[0] if len(plan_ids) == 1 else f"{len(plan_ids)} plans ({', '.join(plan_ids[:SHOWN])}"
    if len(plan_ids) > 1:
        what += ", …)" if len(plan_ids) > SHOWN else ")"
    sys.stderr.write(f"Delete {what} with all events? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _delete(log: PlanLog, plan_id: str, *, json: bool) -> None:
    with waiting_for(f"deleting {plan_id}"):
        deleted = await log.delete(plan_id)
    if json:
        print_json({"plan_id": plan_id, "deleted": deleted})
    elif deleted:
        print(f"{plan_id}: deleted", flush=True)
