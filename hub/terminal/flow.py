"""Text that is written as it grows, and stays right of an indent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hub.terminal.look import cells

__all__ = ["Flow"]

HOLD: Final = 24
"""An unfinished word is held back until it is known where it goes, up to this length."""

_pieces = re.compile(r"\n| +|[^ \n]+")


class Flow:
    """Writes words as they come, breaking lines between them. Starts at `column`; every further line at `indent`."""

    def __init__(self, write: Callable[[str], object], column: int, indent: int, width: int | None) -> None:
        self._write = write
        self._column = column
        self._indent = indent
        self._width = width
        self._held = ""
        self._space = ""

    def feed(self, text: str) -> None:
        """More of the text. Its last word may wait for its end."""
        pieces = _pieces.findall(self._held + text)
        self._held = ""
        if pieces and not pieces[-1].isspace() and len(pieces[-1]) < HOLD:
            self._held = pieces.pop()
        for piece in pieces:
            self._place(piece)

    def end(self) -> None:
        """The text is whole: write what was held back."""
        if self._held:
            self._place(self._held)
        self._held = self._space = ""

    def _place(self, piece: str) -> None:
        if piece == "\n":
            self._break()
        elif piece.isspace():
            self._space += piece
        elif self._width is None or self._column + len(self._space) + cells(piece) <= self._width:
            self._put(self._space + piece)
        else:
            if self._column > self._indent:
                self._break()
            self._fold(piece, self._width)

    def _fold(self, word: str, width: int) -> None:
        """A word that starts a line, and may be longer than it."""
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
