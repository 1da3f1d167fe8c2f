"""`plancast watch`"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final, Protocol, TextIO

from broadcasters.changes import advance
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import PlanEvent, check_plan_id, parse
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Broken, Interrupted, Received, Resumed, follow
from broadcasters.snapshot import Snapshot
from hub.access.principal import RESERVED
from hub.commands import log_argument, open_log
from hub.commands.output import print_json
from hub.terminal import Look, table
from hub.terminal.cells import cut
from hub.terminal.plan_row import PlanRow
from hub.terminal.screen import LiveLines
from hub.terminal.text import clock_now

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Watch several plans at once: how each is, how far, and what happens in it now.
On a terminal this is a table that is kept current; otherwise a line is printed
for each change. Without PLAN_ID, all plans in progress are shown, those that
begin meanwhile included. Ends when the named plans have ended, or with Ctrl-C."""
EXAMPLES = """\
plancast watch
plancast watch plan-1 plan-2 --exit-status
plancast watch --owner maria --json"""

SHOW_EVERY_S: Final = 0.15
LIST_EVERY_S: Final = 1.0
SHORT_TITLE: Final = 18
"""Columns for a title on a narrow terminal, where what happens now matters more."""
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


async def _watch(args: argparse.Namespace, plan_ids: Sequence[str], view: RowsView) -> Sequence[PlanRow]:
    async with open_log(args.log) as log, asyncio.TaskGroup() as group:
        plans = {plan_id: _begin(group, log, plan_id) for plan_id in plan_ids}
        listing = None if plan_ids else group.create_task(_list(args, log, group, plans))
        try:
            while True:
                await asyncio.sleep(SHOW_EVERY_S)
                rows = [plan.row for plan in plans.values() if plan.known]
                if len(rows) == len(plans):
                    view.show(rows)
                    if plan_ids and all(row.ended for row in rows):
                        return rows
        finally:
            for task in (*(plan.task for plan in plans.values()), listing):
                if task is not None:
                    task.cancel()


class WatchedPlan:
    """A plan that is followed. Its events are folded when its row is needed, many at once."""

    def __init__(self, log: PlanLog, plan_id: str) -> None:
        self._log = log
        self._snapshot = Snapshot(plan_id=plan_id)
        self._pending: list[tuple[int, int, PlanEvent | None]] = []
        self.known = False
        self.task: asyncio.Task[None] | None = None

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


def _begin(group: asyncio.TaskGroup, log: PlanLog, plan_id: str) -> WatchedPlan:
    plan = WatchedPlan(log, plan_id)
    plan.task = group.create_task(plan.follow())
    return plan


async def _list(
    args: argparse.Namespace, log: PlanLog, group: asyncio.TaskGroup, plans: dict[str, WatchedPlan]
) -> None:
    """Add the plans that begin."""
    while True:
        with suppress(LogUnavailable):
            page = await log.plans(owner=args.owner, label=args.label, limit=MOST)
            for entry in page.plans:
                if entry.plan_id not in plans and not entry.ended and not entry.plan_id.startswith(RESERVED):
                    plans[entry.plan_id] = _begin(group, log, entry.plan_id)
        await asyncio.sleep(LIST_EVERY_S)


def _read(payload: bytes) -> PlanEvent | None:
    try:
        return parse(payload)
    except InvalidEvent:
        return None


class RowsView(Protocol):
    """Shows the rows of plans."""

    def show(self, rows: Sequence[PlanRow]) -> None:
        """The plans as they are now."""

    def close(self) -> None:
        """No more rows follow."""


def _view(*, json: bool) -> RowsView:
    if json:
        return JsonRows()
    return RowsTable(sys.stdout) if LiveLines.possible(sys.stdout) else RowLines(sys.stdout)


class RowsTable:
    """A table on a terminal that is kept current."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._screen = LiveLines(out)

    def show(self, rows: Sequence[PlanRow]) -> None:
        look = Look.of(self._out)
        ordered = sorted(rows, key=lambda row: (row.ended, not row.asks))
        room = self._screen.room - 2
        shown = ordered[:room]
        lines = self._table(shown, look) if shown else ["no plan is in progress; waiting for one"]
        rest = f"… and {len(ordered) - room} more" if len(ordered) > room else ""
        asks = next((row.plan_id for row in shown if row.asks), None)
        hint = f"plancast answer {asks} VALUE" if asks else ""
        footer = " · ".join(filter(None, (rest, hint)))
        self._screen.show([*lines, *([look.paint(look.plain(footer), "dim")] if footer else [])])

    def _table(self, rows: Sequence[PlanRow], look: Look) -> list[str]:
        wide = look.width is not None and look.width >= 110
        heads = ("PLAN", "STATUS", "DONE", "TITLE", "NOW")
        lines = [
            (row.plan_id, row.shown_status, _bar(row, look), row.title, row.now)
            if wide
            else (row.plan_id, row.shown_status, row.percent, cut(row.title, SHORT_TITLE), row.now)
            for row in rows
        ]

        def style(number: int, head: str) -> str:
            row = rows[number]
            if head == "STATUS":
                return row.style
            return "ask" if head == "NOW" and row.asks else "dim" if row.ended else ""

        return look.plain(table(heads, lines, look, whole=("STATUS", "DONE"), style=style)).split("\n")

    def close(self) -> None:
        self._screen.close()


def _bar(row: PlanRow, look: Look) -> str:
    return "" if row.progress is None else look.bar(row.progress)


class RowLines:
    """A line for each change of a plan, for a file or a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: dict[str, tuple[str, str, str]] = {}

    def show(self, rows: Sequence[PlanRow]) -> None:
        for row in rows:
            facts = row.shown_status, row.percent, row.now
            if row.offset and self._shown.get(row.plan_id) != facts:
                self._shown[row.plan_id] = facts
                self._out.write("  ".join(filter(None, (clock_now(), row.plan_id, *facts))) + "\n")
                self._out.flush()

    def close(self) -> None:
        pass


class JsonRows:
    """A JSON object for each change of a plan."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def show(self, rows: Sequence[PlanRow]) -> None:
        for row in rows:
            if row.offset and self._shown.get(row.plan_id) != row.offset:
                self._shown[row.plan_id] = row.offset
                facts = {"status": row.status, "progress": row.progress, "title": row.title, "now": row.now}
                print_json({"plan_id": row.plan_id, **facts, "offset": row.offset})

    def close(self) -> None:
        pass
