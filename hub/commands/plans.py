"""`plancast plans`"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import get_args

from broadcasters.events import PlanStatus
from broadcasters.log.contract import PlanEntry, PlanLog
from hub.access.principal import RESERVED
from hub.commands import log_argument, open_log
from hub.commands.parser import positive
from hub.terminal import Look, ago, clean, table, words
from hub.terminal.plan_row import STATUS_STYLES
from hub.terminal.rows_view import WIDE
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = "List plans, most recently active first."
EXAMPLES = """\
plancast plans
plancast plans --owner maria --status in_progress
plancast plans --label shop --json | head -1"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--owner", metavar="NAME", help="only plans of this owner")
    parser.add_argument("--label", metavar="NAME", help="only plans with this label")
    statuses = get_args(PlanStatus)
    parser.add_argument(
        "--status", choices=statuses, metavar="STATUS", help=f"only plans with this status: {', '.join(statuses)}"
    )
    parser.add_argument("--limit", type=positive, default=50, metavar="N", help="at most this many (default: 50)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per plan")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    plans = asyncio.run(_plans(args))
    if args.json:
        for plan in plans:
            print(json.dumps(_object(plan), ensure_ascii=False))
    elif plans:
        print(_table(plans))
    else:
        print("No plans found. plancast publish creates one; see plancast publish --help", file=sys.stderr)
    return 0


async def _plans(args: argparse.Namespace) -> list[PlanEntry]:
    async with open_log(args.log) as log:
        with waiting_for("waiting for the list of plans"):
            return await _found(log, args)


async def _found(log: PlanLog, args: argparse.Namespace) -> list[PlanEntry]:
    """Reads pages of the list until enough plans match. The hub's own plans are left out."""
    found: list[PlanEntry] = []
    cursor: str | None = None
    while True:
        page = await log.plans(owner=args.owner, label=args.label, cursor=cursor, limit=min(args.limit, 500))
        shown = [plan for plan in page.plans if not plan.plan_id.startswith(RESERVED)]
        found += [plan for plan in shown if args.status in (None, plan.status)]
        cursor = page.cursor
        if cursor is None or len(found) >= args.limit:
            return found[: args.limit]


def _object(plan: PlanEntry) -> dict[str, object]:
    return {
        "plan_id": plan.plan_id,
        "status": plan.status,
        "title": plan.title,
        "progress": plan.progress,
        "owner": plan.owner,
        "labels": plan.labels,
        "created_at": plan.created_at,
        "updated_at": plan.updated_at,
        "epoch": plan.head.epoch,
        "offset": plan.head.offset,
    }


def _table(plans: list[PlanEntry]) -> str:
    look = Look.of(sys.stdout)
    heads: tuple[str, ...] = ("PLAN", "STATUS", "DONE", "ACTIVE", "OWNER", "TITLE")
    if look.width is None or look.width >= WIDE:
        heads = ("PLAN", "STATUS", "DONE", "ACTIVE", "EVENTS", "OWNER", "LABELS", "TITLE")

    def style(number: int, head: str) -> str:
        return STATUS_STYLES.get(plans[number].status, "") if head == "STATUS" else ""

    rows = [[cells[head] for head in heads] for cells in map(_cells, plans)]
    return look.plain(table(heads, rows, look, whole=("STATUS", "DONE", "ACTIVE"), style=style))


def _cells(plan: PlanEntry) -> dict[str, str]:
    """What a table may show of a plan, by the heads of its columns."""
    cells = {
        "PLAN": plan.plan_id,
        "STATUS": words(plan.status),
        "DONE": "" if plan.progress is None else f"{plan.progress:.0f} %",
        "ACTIVE": ago(plan.updated_at),
        "EVENTS": str(plan.head.offset),
        "OWNER": plan.owner or "",
        "LABELS": ", ".join(plan.labels),
        "TITLE": plan.title or "",
    }
    return {head: clean(cell).replace("\n", " ") for head, cell in cells.items()}
