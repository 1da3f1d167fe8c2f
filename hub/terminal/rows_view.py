"""The rows of several plans as they change: a table on a terminal, lines for a pipe, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from hub.terminal.look import Look
from hub.terminal.plan_row import PlanRow
from hub.terminal.screen import LiveLines
from hub.terminal.text import clock_now, table

__all__ = ["NOTHING", "WIDE", "RowLines", "RowObjects", "RowsTable", "RowsView"]

WIDE: Final = 110
"""Columns of a terminal with room for bars, and for titles beside what happens now."""

NOTHING: Final = "no plan is in progress; waiting for one"


class RowsView(Protocol):
    """Shows the rows of plans."""

    def show(self, rows: Sequence[PlanRow], trouble: str = "") -> None:
        """The plans as they are now. `trouble` is why they may be old."""

    def close(self) -> None:
        """No more rows follow."""


class RowsTable:
    """A table on a terminal that is kept current."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._screen = LiveLines(out)

    def show(self, rows: Sequence[PlanRow], trouble: str = "") -> None:
        look = Look.of(self._out)
        ordered = sorted(rows, key=lambda row: (row.ended, not row.asks))
        room = self._screen.room - 3
        shown = ordered[:room]
        nothing = [] if trouble else [NOTHING]
        lines = self._table(shown, look) if shown else nothing
        rest = f"… and {len(ordered) - room} more" if len(ordered) > room else ""
        asks = next((row.plan_id for row in shown if row.asks), None)
        hint = f"plancast answer {asks} VALUE" if asks else ""
        footer = look.plain(" · ".join(filter(None, (rest, hint))))
        below = [look.paint(trouble, "bad") if trouble else "", look.paint(footer, "dim") if footer else ""]
        self._screen.show([*lines, *filter(None, below)])

    def _table(self, rows: Sequence[PlanRow], look: Look) -> list[str]:
        wide = look.width is not None and look.width >= WIDE
        heads = ("PLAN", "STATUS", "DONE", "TITLE", "NOW") if wide else ("PLAN", "STATUS", "DONE", "NOW")
        lines = [
            (row.plan_id, row.shown_status, _bar(row, look), row.title, row.now)
            if wide
            else (row.plan_id, row.shown_status, row.percent, row.now or row.title)
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


class _Notes:
    """Reports on standard error when the rows get old, when they are current again, and once that there are none."""

    def __init__(self, notes: TextIO) -> None:
        self._notes = notes
        self._trouble = ""
        self._waits = False

    def show(self, rows: Sequence[PlanRow], trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._print(trouble or "the log can be reached again")
        if not rows and not trouble and not self._waits:
            self._waits = True
            self._print(NOTHING)

    def _print(self, note: str) -> None:
        print(f"plancast: {note}", file=self._notes, flush=True)


class RowLines:
    """A line for each change of a plan, for a file or a pipe."""

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = _Notes(notes)
        self._shown: dict[str, tuple[str, str, str]] = {}

    def show(self, rows: Sequence[PlanRow], trouble: str = "") -> None:
        self._notes.show(rows, trouble)
        for row in rows:
            facts = row.shown_status, row.percent, row.now
            if row.offset and self._shown.get(row.plan_id) != facts:
                self._shown[row.plan_id] = facts
                self._out.write("  ".join(filter(None, (clock_now(), row.plan_id, *facts))) + "\n")
                self._out.flush()

    def close(self) -> None:
        pass


class RowObjects:
    """A JSON object for each change of a plan."""

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = _Notes(notes)
        self._shown: dict[str, int] = {}

    def show(self, rows: Sequence[PlanRow], trouble: str = "") -> None:
        self._notes.show(rows, trouble)
        for row in rows:
            if row.offset and self._shown.get(row.plan_id) != row.offset:
                self._shown[row.plan_id] = row.offset
                facts = {"status": row.status, "progress": row.progress, "title": row.title, "now": row.now}
                line = {"plan_id": row.plan_id, **facts, "offset": row.offset}
                self._out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
                self._out.flush()

    def close(self) -> None:
        pass
