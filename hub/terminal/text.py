"""Text for a terminal: wrapped as it arrives, in tables, and values in short form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from hub.terminal.look import Look, cells

__all__ = ["WrappedText", "ago", "brief", "clock", "joined", "seconds", "table", "words"]

HOLD: Final = 24
"""Columns up to which an unfinished word is held back, since its end decides which line it goes on."""
VALUE_CHARS: Final = 400

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
        start = 0
        for end in range(1, len(word) + 1):
            if self._column + cells(word[start:end]) > width and end - start > 1:
                self._put(word[start : end - 1])
                self._break()
                start = end - 1
        self._put(word[start:])

    def _put(self, text: str) -> None:
        self._write(text)
        self._column += cells(text)
        self._space = ""

    def _break(self) -> None:
        self._write("\n" + " " * self._indent)
        self._column = self._indent
        self._space = ""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], look: Look) -> str:
    """The rows under their heads, without columns that are empty in every row; cut at the edge of the screen."""
    filled = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    heads, rows = [heads[i] for i in filled], [[row[i] for i in filled] for row in rows]
    widths = [max(cells(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    lines = [look.paint(_line(heads, widths, look), "bold")]
    lines += [_line(row, widths, look) for row in rows]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int], look: Look) -> str:
    line = "  ".join(cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
    if look.width is None or cells(line) <= look.width:
        return line
    kept = ""
    for char in line:
        if cells(kept + char) >= look.width:
            break
        kept += char
    return kept + look.plain("…")


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
