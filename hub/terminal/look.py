"""What an output stream can display (colour, growing lines, non-ASCII marks), and text made safe for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Final, TextIO
from zlib import crc32

__all__ = ["Look", "clean"]

AGENT_COLOURS: Final = ("38;5;39", "38;5;208", "38;5;141", "38;5;42", "38;5;204", "38;5;220", "38;5;75", "38;5;173")
STYLES: Final = {"dim": "2", "bold": "1", "good": "32", "bad": "31", "ask": "1;33"}
MARKS: Final = "◌▸●▶✓✗↻‖○■↳⚒◆…·→█░"
PLAIN_MARKS: Final = str.maketrans(MARKS, "~>*>+xr|o#=$@..>#-")

_control = (*range(32), 127, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_safe: dict[int, str | None] = {**dict.fromkeys(_control), ord("\t"): "    ", ord("\n"): "\n"}


def clean(text: str) -> str:
    """Removes control characters: text from agents is untrusted and could control the terminal."""
    return text.translate(_safe)


@dataclass(frozen=True, slots=True)
class Look:
    """What can be written to one stream. The defaults suit a file or a pipe."""

    colour: bool = False
    live: bool = False
    """The stream is a terminal, so lines may be written piece by piece."""
    marks: bool = True
    """The stream's encoding has ✓ and █; otherwise ASCII is used."""
    width: int | None = None
    """Columns to wrap at; None: lines are not wrapped."""

    @classmethod
    def of(cls, stream: TextIO) -> Look:
        """Detects what a stream can display. NO_COLOR (any value) and TERM=dumb switch colours off."""
        live = stream.isatty()
        colour = live and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        width = max(40, shutil.get_terminal_size().columns) if live else None
        return cls(colour, live, _has_marks(stream.encoding), width)

    def style(self, name: str) -> str:
        """The escape sequence that switches a style on, or an empty string."""
        return f"\x1b[{STYLES[name]}m" if self.colour and name else ""

    def agent(self, name: str) -> str:
        """The escape sequence of an agent's colour, which depends only on its name."""
        return f"\x1b[{AGENT_COLOURS[crc32(name.encode()) % len(AGENT_COLOURS)]}m" if self.colour else ""

    @property
    def off(self) -> str:
        return "\x1b[0m" if self.colour else ""

    def paint(self, text: str, style: str) -> str:
        start = self.style(style)
        return f"{start}{text}{self.off}" if start else text

    def plain(self, text: str) -> str:
        """Replaces marks that the stream can't encode by ASCII."""
        return text if self.marks else text.translate(PLAIN_MARKS)

    def bar(self, percent: float) -> str:
        full = round(percent / 10)
        return self.plain(f"{'█' * full}{'░' * (10 - full)} {percent:.0f} %")


def _has_marks(encoding: str | None) -> bool:
    try:
        MARKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
