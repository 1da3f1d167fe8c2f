"""Text for a terminal: wrapped as it arrives, in tables, and values in short form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from hub.terminal.cells import cells, cut, graphemes
from hub.terminal.look import Look

__all__ = ["WrappedText", "ago", "brief", "clock", "clock_now", "joined", "seconds", "table", "words"]

HOLD: Final = 24
"""Columns up to which an unfinished word is held back, since its end decides which line it goes on."""
VALUE_CHARS: Final = 400
GAP: Final = "  "
"""Between the columns of a table."""
NARROW: Final = 10
"""Columns of the screen below which no column of a table is narrowed."""

FIRST: Final = 20
"""Columns of the screen that are left to the first column of a table, whatever its width."""

_pieces = re.compile(r"\n| +|[^ \n]+")


class WrappedText:
    """Writes words as they arrive, breaking lines between them. Starts at `column`; later lines start at `indent`."""

    def __init__(self, write: Callable[[str], object], column: int, indent: int, width: int | None) -> None:
        self._write = write
        self._column = column
        self._indent = indent
        self._width = width
        self._held = ""
        self._space = ""

    def feed(self, text: str) -> None:
        """Add text. Its last word may be held back until its end arrives."""
        pieces = _pieces.findall(self._held + text)
        self._held = ""
        if pieces and not pieces[-1].isspace() and len(pieces[-1]) < HOLD:
            self._held = pieces.pop()
        for piece in pieces:
            self._add(piece)

    def end(self) -> None:
        """Write what was held back; the text is complete."""
        if self._held:
            self._add(self._held)
        self._held = self._space = ""

    def _add(self, piece: str) -> None:
        if piece == "\n":
            self._break()
        elif piece.isspace():
            self._space += piece
        elif self._width is None or self._column + len(self._space) + cells(piece) <= self._width:
            self._put(self._space + piece)
        else:
            if self._column > self._indent:
                self._break()
            self._split(piece, self._width)

    def _split(self, word: str, width: int) -> None:
        """Write a word at the start of a line, over several lines if it is too long for one."""
        part, size = "", 0
        for grapheme, columns in graphemes(word):
            if part and self._column + size + columns > width:
                self._put(part)
                self._break()
                part, size = "", 0
            part += grapheme
            size += columns
        self._put(part)

    def _put(self, text: str) -> None:
        self._write(text)
        self._column += cells(text)
        self._space = ""

    def _break(self) -> None:
        self._write("\n" + " " * self._indent)
        self._column = self._indent
        self._space = ""


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    look: Look,
    *,
    whole: Collection[str] = (),
    style: Callable[[int, str], str] | None = None,
) -> str:
    """The rows under their heads, without columns that are empty in every row. On a terminal, columns are cut until all
    fit: the first one to a quarter of the screen, then the widest of the others, then those of the heads in `whole`. `style`
    gives the style of a cell from its row's number and its head."""
    filled = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    heads, rows = [heads[i] for i in filled], [[row[i] for i in filled] for row in rows]
    widths = [max(cells(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    if look.width is not None:
        last = [at for at, head in enumerate(heads) if at == 0 or head in whole]
        widths = _fitted(widths, [0], look.width, least=max(FIRST, look.width // 4))
        widths = _fitted(widths, [at for at in range(len(heads)) if at not in last], look.width)
        widths = _fitted(widths, last, look.width)
    lines = [_line(heads, widths, look, ["bold"] * len(heads))]
    for number, row in enumerate(rows):
        styles = [style(number, head) if style else "" for head in heads]
        lines.append(_line(row, widths, look, styles))
    return "\n".join(lines)


def _fitted(widths: Sequence[int], columns: Sequence[int], width: int, least: int = NARROW) -> list[int]:
    """The widths with these columns narrowed, always the widest of them, until a line fits or all are narrow."""
    fitted = [*widths]
    excess = sum(fitted) + len(GAP) * (len(fitted) - 1) - width
    while excess > 0 and (wide := [at for at in columns if fitted[at] > least]):
        fitted[max(wide, key=lambda at: fitted[at])] -= 1
        excess -= 1
    return fitted


def _line(row: Sequence[str], widths: Sequence[int], look: Look, styles: Sequence[str]) -> str:
    filled = max((at + 1 for at, cell in enumerate(row) if cell), default=0)
    parts: list[str] = []
    for at in range(filled):
        shown = cut(row[at], widths[at])
        padding = " " * (widths[at] - cells(shown)) if at + 1 < filled else ""
        parts.append((look.paint(shown, styles[at]) if shown else "") + padding)
    return GAP.join(parts)


def words(name: str) -> str:
    """`in_progress` as `in progress`."""
    return name.replace("_", " ")


def joined(title: str | None, content: str | None) -> str:
    """A title and the text under it, on one line."""
    return ": ".join(part for part in (title, content) if part)


def brief(value: Any) -> str:
    """A value of any type on one line, cut when it is long."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"


def clock(timestamp: str) -> str:
    """The local time of day."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%H:%M:%S}"


def clock_now() -> str:
    """The local time of day now."""
    return f"{datetime.now():%H:%M:%S}"


def seconds(began: str, ended: str) -> str:
    """The time between two timestamps."""
    took = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return f"{took:.1f} s" if took < 60 else f"{took // 60:.0f} min {took % 60:.0f} s"


def ago(timestamp: str, now: datetime | None = None) -> str:
    """Roughly how long ago a timestamp was."""
    passed = ((now or datetime.now(UTC)) - datetime.fromisoformat(timestamp)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed // size:.0f} {unit} ago"
    return "just now"
