"""Lines on a terminal that are written again in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Final, TextIO

__all__ = ["LiveLines"]

HIDE_CURSOR: Final = "\x1b[?25l"
SHOW_CURSOR: Final = "\x1b[?25h"
CLEAR_LINE: Final = "\x1b[2K"
CLEAR_BELOW: Final = "\x1b[J"


class LiveLines:
    """Shows some lines, and later other lines in their place. What was written before stays above them.

    Each line must fit into the terminal's width."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines: list[str] = []

    @staticmethod
    def possible(out: TextIO) -> bool:
        """Whether the output is a terminal that can move its cursor."""
        return out.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def room(self) -> int:
        """How many lines fit; those that leave the screen can't be written again."""
        return max(3, shutil.get_terminal_size().lines - 1)

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines."""
        shown = [*lines[: self.room]]
        if shown == self._lines:
            return
        up = f"\x1b[{len(self._lines)}A\r" if self._lines else HIDE_CURSOR
        self._out.write(up + "".join(f"{CLEAR_LINE}{line}\n" for line in shown) + CLEAR_BELOW)
        self._out.flush()
        self._lines = shown

    def close(self) -> None:
        """Leave the lines as they are; what is written next comes below them."""
        if self._lines:
            self._out.write(SHOW_CURSOR)
            self._out.flush()
