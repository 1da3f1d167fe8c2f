"""`plancast watch`"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from itertools import count
from typing import Final

from broadcasters.changes import advance
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import PlanEvent, check_plan_id, parse
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Broken, Interrupted, Received, Resumed, follow
from broadcasters.snapshot import Snapshot
from hub.access.principal import RESERVED
from hub.commands import log_argument, open_log
from hub.terminal.plan_row import PlanRow
from hub.terminal.rows_view import RowLines, RowObjects, RowsTable, RowsView
from hub.terminal.screen import LiveLines

__all__ = ["ABOUT", "EXAMPLES", "FollowedPlan", "arguments", "run"]

ABOUT = """\
Watch several plans at once: how each is, how far, and what happens in it now.
On a terminal this is a table that is kept current; otherwise a line is printed
for each change. Without PLAN_ID, all plans in progress are shown, those that
begin meanwhile included. Ends when the named plans have ended, or with Ctrl-C."""
EXAMPLES = """\
plancast watch
plancast watch plan-1 plan-2 --exit-status
plancast watch --owner maria --json"""

SHOW_EVERY_S: Final = 0.2
LIST_EVERY: Final = 5
"""Turns of showing between two looks at the list of plans."""
MOST: Final = 200
"""Plans in progress that are followed at once."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plans", metavar="PLAN_ID", nargs="*", help="a plan's id; it need not exist yet")
    parser.add_argument("--owner", metavar="NAME", help="without PLAN_ID: only plans of this owner")
    parser.add_argument("--label", metavar="NAME", help="without PLAN_ID: only plans with this label")
    parser.add_argument("--exit-status", action="store_true", help="exit with 1 if a plan fails or is cancelled")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each change")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    plan_ids = [check_plan_id(plan_id) for plan_id in dict.fromkeys(args.plans)]
    view = _view(json=args.json)
    try:
        rows = asyncio.run(_watch(args, plan_ids, view))
    finally:
        view.close()
    failed = any(row.status in ("error", "cancelled") for row in rows)
    return 1 if failed and args.exit_status else 0


def _view(*, json: bool) -> RowsView:
    if json:
        return RowObjects(sys.stdout)
    return RowsTable(sys.stdout) if LiveLines.possible(sys.stdout) else RowLines(sys.stdout)


async def _watch(args: argparse.Namespace, plan_ids: Sequence[str], view: RowsView) -> Sequence[PlanRow]:
    """Returns the last rows when the named plans have ended."""
    rows: Sequence[PlanRow] = ()
    async with open_log(args.log) as log, asyncio.TaskGroup() as group:
        plans: dict[str, FollowedPlan] = {}
        try:
            for turn in count():
                if turn % LIST_EVERY == 0:
                    for plan_id in plan_ids or await _in_progress(args, log):
                        if plan_id not in plans:
                            plans[plan_id] = _begin(group, log, plan_id)
                await asyncio.sleep(SHOW_EVERY_S)
                rows = [plan.row for plan in plans.values() if plan.known]
                if len(rows) == len(plans):
                    view.show(rows)
                    if plan_ids and all(row.ended for row in rows):
                        break
        finally:
            for plan in plans.values():
                plan.stop()
    return rows


async def _in_progress(args: argparse.Namespace, log: PlanLog) -> Sequence[str]:
    try:
        page = await log.plans(owner=args.owner, label=args.label, limit=MOST)
    except LogUnavailable:
        return ()
    return [one.plan_id for one in page.plans if not one.ended and not one.plan_id.startswith(RESERVED)]


class FollowedPlan:
    """A plan that is followed. Its events are folded when its row is needed, many at once."""

    def __init__(self, log: PlanLog, plan_id: str) -> None:
        self._log = log
        self._snapshot = Snapshot(plan_id=plan_id)
        self._pending: list[tuple[int, int, PlanEvent | None]] = []
        self.known = False
        self.stop: Callable[[], object]

    @property
    def row(self) -> PlanRow:
        pending, self._pending = self._pending, []
        if pending:
            self._snapshot, _ = advance(self._snapshot, pending)
        return PlanRow.of(self._snapshot)

    async def follow(self) -> None:
        """Read the plan as it is, then what follows, without end."""
        self._snapshot, head = await snapshot_of(self._log, self._snapshot.plan_id)
        self.known = True
        async with aclosing(follow(self._log, self._snapshot.plan_id, head.position)) as items:
            async for item in items:
                match item:
                    case Received(position, payload):
                        self._pending.append((position.offset, position.offset, _read(payload)))
                    case Broken():
                        self._pending.clear()
                        self._snapshot, _ = await snapshot_of(self._log, self._snapshot.plan_id)
                    case Interrupted() | Resumed():
                        pass


def _begin(group: asyncio.TaskGroup, log: PlanLog, plan_id: str) -> FollowedPlan:
    plan = FollowedPlan(log, plan_id)
    plan.stop = group.create_task(plan.follow()).cancel
    return plan


def _read(payload: bytes) -> PlanEvent | None:
    try:
        return parse(payload)
    except InvalidEvent:
        return None
