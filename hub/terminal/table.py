"""A table as wide as its longest cells."""

from __future__ import annotations

from collections.abc import Sequence

from hub.terminal.look import Look, cells

__all__ = ["table"]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], look: Look) -> str:
    """The rows under their heads, without columns in which no row says anything; cut at the edge of the screen."""
    said = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    heads, rows = [heads[i] for i in said], [[row[i] for i in said] for row in rows]
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
