"""A message said in pieces, as a model produces it: rolled up into few events, and always closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from broadcasters.errors import BroadcasterClosed, InvalidEvent, PlancastError
from broadcasters.events import AgentMessage, PlanEvent, build
from broadcasters.plan_queue import Item
from broadcasters.position import Position

__all__ = ["Message"]

ROLL_UP: Final = 0.040
"""Text waits no longer than this for more, in seconds."""
MAX_PART: Final = 32 * 1024
"""Characters in one event: even if each needs six bytes, they fit."""
PATIENCE: Final = 2.0
"""How long, in seconds, an agent that failed waits for its message to be closed."""


class Message:
    """One message, open for writing. Made by `Broadcaster.message`; used as `async with … as m: await m.write("…")`.

    Leaving the block closes the message, and waits until all of it is durable. When the block was left by an
    exception, or a part was lost, the message is closed with an error mark that readers see, and the exception goes on.
    """

    def __init__(self, fields: Mapping[str, Any], post: Callable[[PlanEvent], Item]) -> None:
        self._fields = fields
        self._post = post
        self._text: list[str] = []
        self._size = 0
        self._under_way: asyncio.Future[Position] | None = None
        self._flushed = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._is_open = False
        self._event("")  # bad fields are found before anything is said

    @property
    def message_id(self) -> str:
        return str(self._fields["message_id"])

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if self._timer:
            self._timer.cancel()
        if error is None:
            await self._finish()
        else:
            await self._break_off(error)

    async def write(self, text: str) -> None:
        """Add text. Returns at once unless much is waiting for the log; what failed meanwhile is raised here."""
        if not self._is_open:
            raise BroadcasterClosed("this message is closed; write inside its `async with` block")
        self._raise_failure()
        _check_text(text)
        if text:
            self._text.append(text)
            self._size += len(text)
            self._flush_when_due()
        while self._size >= MAX_PART and self._under_way:
            await asyncio.wait([self._under_way])
            self._raise_failure()

    def _flush_when_due(self) -> None:
        """One part is under way at a time; the next one goes a roll-up after it, or at once when it is long."""
        if self._under_way or not self._size:
            return
        if self._size >= MAX_PART:
            self._flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._flushed + ROLL_UP, loop.time()), self._flush)

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        try:
            self._under_way = self._say(self._event(self._take()))
        except PlancastError as error:
            self._failure = error

    def _say(self, event: AgentMessage) -> asyncio.Future[Position]:
        self._flushed = asyncio.get_running_loop().time()
        future = self._post(event).future
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future: asyncio.Future[Position]) -> None:
        self._under_way = None
        if not future.cancelled() and (error := future.exception()):
            self._failure = self._failure or error
        elif self._is_open:
            self._flush_when_due()

    def _take(self) -> str:
        text = "".join(self._text)
        part, rest = text[:MAX_PART], text[MAX_PART:]
        self._text = [rest] if rest else []
        self._size = len(rest)
        return part

    def _event(self, content: str, **more: Any) -> AgentMessage:
        return build(AgentMessage, {**self._fields, "content": content, "append": True, **more})

    def _close(self, **more: Any) -> asyncio.Future[Position]:
        """Say what is left, and that it is all."""
        while self._size > MAX_PART:
            self._say(self._event(self._take()))
        return self._say(self._event(self._take(), final=True, **more))

    async def _finish(self) -> None:
        """What follows a part that was lost must not pass for the whole."""
        try:
            if self._under_way:
                await asyncio.wait([self._under_way])
            self._raise_failure()
        except BaseException as error:
            await self._break_off(error)
            raise
        await self._close()
        self._raise_failure()

    async def _break_off(self, error: BaseException) -> None:
        why = "cancelled" if isinstance(error, asyncio.CancelledError) else f"the agent failed: {type(error).__name__}"
        with suppress(PlancastError):  # if even this can't be said, the agent's own exception is the one to go on
            await asyncio.wait([self._close(error=why)], timeout=PATIENCE)

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidEvent("content", f"text is a str, a {type(text).__name__} is none")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("content", "half of a surrogate pair; such text can't be sent") from None
