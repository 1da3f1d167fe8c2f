"""Plans as text in a terminal."""

from __future__ import annotations

from hub.terminal.look import Look, clean
from hub.terminal.text import ago, table, words

__all__ = ["Look", "ago", "clean", "table", "words"]
