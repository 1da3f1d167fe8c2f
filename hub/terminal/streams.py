"""A streamed message whose parts wait to be written."""

from __future__ import annotations

from typing import Final

from broadcasters.events import AgentMessage

__all__ = ["Stream"]

HELD_CHARS: Final = 64 * 1024
"""More than this is not held back: it is written in parts."""


class Stream:
    """An unfinished message, and those of its parts that were not written yet."""

    def __init__(self, first: AgentMessage) -> None:
        self.first = first
        self.begun = False
        self._parts: list[str] = []
        self._chars = 0

    def take(self, text: str) -> None:
        self._parts.append(text)
        self._chars += len(text)

    def give(self) -> str:
        """What was held, to be written now."""
        text = "".join(self._parts)
        self._parts.clear()
        self._chars = 0
        self.begun = self.begun or bool(text)
        return text

    @property
    def holds(self) -> bool:
        return self._chars > 0

    @property
    def too_long(self) -> bool:
        return self._chars > HELD_CHARS
