"""How many columns of a terminal a text takes, by grapheme: what people see as one character."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

__all__ = ["cells", "cut", "graphemes"]

JOINER: Final = "\u200d"
EMOJI_STYLE: Final = "\ufe0f"
"""Requests the emoji of a character that is a symbol without it."""
KEYS: Final = "#*0123456789"
"""Characters that are emoji only with EMOJI_STYLE."""


def cells(text: str) -> int:
    """The columns that a terminal needs for the text."""
    if text.isascii():
        return len(text)
    return sum(width for _, width in graphemes(text))


def cut(text: str, width: int, end: str = "…") -> str:
    """The text if it fits into this many columns; otherwise its beginning, and `end`."""
    if cells(text) <= width:
        return text
    room = width - cells(end)
    kept: list[str] = []
    for grapheme, size in graphemes(text):
        if size > room:
            break
        room -= size
        kept.append(grapheme)
    return "".join(kept).rstrip() + end if width > 0 else ""


def graphemes(text: str) -> Iterator[tuple[str, int]]:
    """The graphemes of a text, each with its columns."""
    start, width = 0, 0
    for at, char in enumerate(text):
        own = _width(char)
        if at > start and _extends(text, start, at, own):
            if char == EMOJI_STYLE and _is_symbol(text[at - 1]):
                width = 2
            continue
        if at > start:
            yield text[start:at], width
        start, width = at, own
    if text:
        yield text[start:], width


def _extends(text: str, start: int, at: int, width: int) -> bool:
    """Whether the character belongs to the grapheme that begins at `start`."""
    char = text[at]
    if width == 0:
        return True
    if text[at - 1] == JOINER and _is_pictograph(char):
        return _is_pictograph(text[start])
    if "\U0001f3fb" <= char <= "\U0001f3ff":  # a skin tone
        return _is_pictograph(text[start])
    return _regional(char) and _regional(text[start]) and at - start == 1


def _width(char: str) -> int:
    if char.isascii():
        return 1
    if _regional(char):
        return 2
    if "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7ff":  # vowels and finals of a Hangul syllable
        return 0
    category = unicodedata.category(char)
    if category in ("Mn", "Me", "Cf", "Zl", "Zp") and char != "\u00ad":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _regional(char: str) -> bool:
    """One of the two letters of a flag."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _is_pictograph(char: str) -> bool:
    return unicodedata.category(char) in ("So", "Sk", "Sm") or char > "\U0001f000"


def _is_symbol(char: str) -> bool:
    """Whether EMOJI_STYLE makes the character an emoji."""
    return char in KEYS or (not char.isascii() and unicodedata.category(char) in ("So", "Sm", "Po", "Pd", "Sk"))
