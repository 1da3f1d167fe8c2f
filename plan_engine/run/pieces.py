"""A message said in pieces, as a model produces it: rolled up into few events, each told as the attempt's voice tells, so
that a worker which lost the run says no more of it. (A broadcaster's own streamed messages know nothing of that.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from broadcasters.errors import InvalidEvent
from broadcasters.events import AgentMessage, PlanEvent, build
from plan_engine.errors import Cancelled

__all__ = ["Pieces"]

Tell = Callable[[PlanEvent, str], Awaitable[object]]

ROLL_UP_S: Final = 0.04
"""Text waits no longer than this for more."""
MAX_PART: Final = 32 * 1024
"""Characters in one event: even if each needs six bytes, they fit."""


class Pieces:
    """Open for writing until `close`. Text is told by a task that lives as long as there is some."""

    def __init__(self, tell: Tell, fields: Mapping[str, Any], key: Callable[[], str]) -> None:
        self._tell_part, self._fields, self._key = tell, fields, key
        self._text = ""
        self._told_at = float("-inf")
        self._telling: asyncio.Task[None] | None = None
        self._part("")  # bad fields are found before anything is said

    async def write(self, text: str) -> None:
        """Returns at once unless much is waiting for the log."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidEvent("content", f"text is a str, a {type(text).__name__} is none")
        _encodable(text)
        self._raise_failure()
        self._text += text
        if self._text and self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="pieces of a message")
        while len(self._text) >= MAX_PART and self._telling is not None:
            await asyncio.wait([self._telling])
            self._raise_failure()

    async def close(self, error: BaseException | None = None) -> None:
        """Tell what is left, and that it is all; with a mark when it broke off."""
        if self._telling is not None:
            await asyncio.wait([self._telling])
        if error is None:
            self._raise_failure()
        elif self._telling is not None and not self._telling.cancelled():
            self._telling.exception()  # looked at: what broke the message off is of more interest
        more: dict[str, Any] = {"final": True}
        if error is not None:
            stopped = isinstance(error, asyncio.CancelledError)
            more["error"] = "cancelled" if stopped else f"the agent failed: {type(error).__name__}"
        while len(self._text) > MAX_PART:
            await self._tell_part(self._part(self._take()), self._key())
        await self._tell_part(self._part(self._take(), **more), self._key())

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        while self._text:
            if len(self._text) < MAX_PART:
                await asyncio.sleep(self._told_at + ROLL_UP_S - loop.time())
            self._told_at = loop.time()
            await self._tell_part(self._part(self._take()), self._key())
        self._telling = None

    def _take(self) -> str:
        part, self._text = self._text[:MAX_PART], self._text[MAX_PART:]
        return part

    def _part(self, content: str, **more: Any) -> AgentMessage:
        return build(AgentMessage, {**self._fields, "content": content, "append": True, **more})

    def _raise_failure(self) -> None:
        """What went wrong while text was told behind the writer's back is the writer's to know."""
        if self._telling is not None and self._telling.done():
            telling, self._telling = self._telling, None
            if telling.cancelled():
                raise Cancelled("another worker has taken over")
            telling.result()


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("content", "half of a surrogate pair; such text can't be sent") from None
