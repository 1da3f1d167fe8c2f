"""`plancast watch`"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Final

from broadcasters.changes import advance
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import PlanEvent, check_plan_id, parse
from broadcasters.log.contract import Head, PlanLog
from broadcasters.log.follow import Broken, Interrupted, Received, Resumed, follow
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from broadcasters.supervision import pauses
from hub.access.principal import RESERVED
from hub.commands import log_argument, open_log
from hub.terminal.plan_row import PlanRow
from hub.terminal.rows_view import RowLines, RowObjects, RowsTable, RowsView
from hub.terminal.screen import LiveLines
from hub.terminal.waiting import PATIENCE_S

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
LIST_EVERY_S: Final = 1.0
LONGEST_PAUSE_S: Final = 2.0
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
        return RowObjects(sys.stdout, sys.stderr)
    return RowsTable(sys.stdout) if LiveLines.possible(sys.stdout) else RowLines(sys.stdout, sys.stderr)


async def _watch(args: argparse.Namespace, plan_ids: Sequence[str], view: RowsView) -> Sequence[PlanRow]:
    """Returns the last rows when the named plans have ended."""
    async with open_log(args.log) as log, asyncio.TaskGroup() as group:
        plans = _FollowedPlans(log, group, plan_ids)
        try:
            while True:
                if not plan_ids:
                    plans.look_for_more(args.owner, args.label)
                await asyncio.sleep(SHOW_EVERY_S)
                rows, trouble = plans.rows, plans.trouble
                if trouble or plans.known:
                    view.show(rows, trouble)
                if plan_ids and plans.known and all(row.ended for row in rows):
                    return rows
        finally:
            for task in [*plans.tasks]:
                task.cancel()


class _FollowedPlans:
    """The plans that are watched, and whether the log answers."""

    def __init__(self, log: PlanLog, group: asyncio.TaskGroup, plan_ids: Sequence[str]) -> None:
        self._log = log
        self._group = group
        self._plans: dict[str, FollowedPlan] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._listing: asyncio.Task[None] | None = None
        self._listing_since = 0.0
        self._listed = bool(plan_ids)
        """Whether it is known which plans there are."""
        self._added_at = time.monotonic()
        self._unreachable = False
        for plan_id in plan_ids:
            self._add(plan_id)

    @property
    def known(self) -> bool:
        """Whether the log has answered for each plan."""
        return self._listed and all(plan.known for plan in self._plans.values())

    @property
    def rows(self) -> list[PlanRow]:
        return [plan.row for plan in self._plans.values() if plan.known]

    @property
    def trouble(self) -> str:
        """Why the rows may be old; empty if they are current."""
        if self._unreachable or any(plan.interrupted for plan in self._plans.values()):
            return "the log can't be reached; retrying"
        late = time.monotonic() - PATIENCE_S
        listing = self._listing is not None and not self._listing.done() and self._listing_since < late
        return "waiting for the log" if listing or (not self.known and self._added_at < late) else ""

    def look_for_more(self, owner: str | None, label: str | None) -> None:
        """Ask the log for plans in progress, unless it was asked within the last second, or has not answered yet."""
        now = time.monotonic()
        if self._listing is None or (self._listing.done() and now - self._listing_since > LIST_EVERY_S):
            self._listing, self._listing_since = self._start(self._list(owner, label)), now

    async def _list(self, owner: str | None, label: str | None) -> None:
        try:
            page = await self._log.plans(owner=owner, label=label, limit=MOST)
        except LogUnavailable:
            self._unreachable = True
            return
        self._unreachable, self._listed = False, True
        for one in page.plans:
            if not one.ended and not one.plan_id.startswith(RESERVED):
                self._add(one.plan_id)

    def _add(self, plan_id: str) -> None:
        if plan_id not in self._plans:
            self._added_at = time.monotonic()
            plan = self._plans[plan_id] = FollowedPlan(self._log, plan_id)
            self._start(plan.follow())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class FollowedPlan:
    """A plan that is followed. Its events are folded when its row is needed, many at once."""

    def __init__(self, log: PlanLog, plan_id: str) -> None:
        self._log = log
        self._snapshot = Snapshot(plan_id=plan_id)
        self._pending: list[tuple[int, int, PlanEvent | None]] = []
        self.known = False
        self.interrupted = False
        """The log can't be reached: the row may be old."""

    @property
    def row(self) -> PlanRow:
        pending, self._pending = self._pending, []
        if pending:
            self._snapshot, _ = advance(self._snapshot, pending)
        return PlanRow.of(self._snapshot)

    async def follow(self) -> None:
        """Read the plan as it is, then what follows, without end. While the log can't be reached, it is retried."""
        for pause in pauses(LONGEST_PAUSE_S):
            try:
                head = await self._begin()
                self.known, self.interrupted = True, False
                await self._follow(head.position)
            except LogUnavailable:
                self.interrupted = True
            await asyncio.sleep(pause)

    async def _begin(self) -> Head:
        self._pending.clear()
        self._snapshot, head = await snapshot_of(self._log, self._snapshot.plan_id)
        return head

    async def _follow(self, after: Position) -> None:
        async with aclosing(follow(self._log, self._snapshot.plan_id, after)) as items:
            async for item in items:
                match item:
                    case Received(position, payload):
                        self._pending.append((position.offset, position.offset, _read(payload)))
                    case Broken():
                        await self._begin()
                    case Interrupted():
                        self.interrupted = True
                    case Resumed():
                        self.interrupted = False


def _read(payload: bytes) -> PlanEvent | None:
    try:
        return parse(payload)
    except InvalidEvent:
        return None
