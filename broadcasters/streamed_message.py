"""A message written piece by piece, as a language model produces it: rolled up into few events, and always closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from broadcasters.errors import BroadcasterClosed, InvalidEvent, PlancastError
from broadcasters.events import AgentMessage, PlanEvent, build
from broadcasters.position import Position
from broadcasters.usage import Usage, UsageFields, usage_of

__all__ = ["Message", "RollUp"]

ROLL_UP: Final = 0.040
"""Longest time, in seconds, that text waits for more text before it is sent."""
MAX_PART: Final = 32 * 1024
"""Characters in one event: even if each needs six bytes, the event stays within its limit."""
PATIENCE: Final = 2.0
"""Longest time, in seconds, that an agent which failed waits for its message to be closed."""


class RollUp:
    """Rolls the text of one message up into few `agent_message` events, with at most one of them under way.

    Text is sent `ROLL_UP` seconds after the previous part, or at once when there is much of it. `fields` are those that
    all parts share; `InvalidEvent` is raised if they are no event. `send` sends one part.
    """

    def __init__(self, fields: Mapping[str, Any], send: Callable[[AgentMessage], Awaitable[object]]) -> None:
        self._fields = fields
        self._send = send
        self._text: list[str] = []
        self._size = 0
        self._under_way: asyncio.Future[object] | None = None
        self._sent_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._ended = False
        self.usage: Usage | None = None
        """Sent with the last part."""
        self._part("")

    async def write(self, text: str) -> None:
        """Add text. Returns at once unless much of it waits to be sent; raises what a part before it failed with."""
        self.raise_failure()
        _check_text(text)
        if text:
            self._text.append(text)
            self._size += len(text)
            self._send_when_due()
        while self._size >= MAX_PART and self._under_way:
            await asyncio.wait([self._under_way])
            self.raise_failure()

    async def stop(self) -> None:
        """Begin no further part, and wait for the one under way."""
        self._end()
        if self._under_way:
            await asyncio.wait([self._under_way])

    def raise_failure(self) -> None:
        """Raise what a part that was sent failed with, if any did."""
        if self._failure:
            raise self._failure

    def rest(self, error: BaseException | None = None) -> Iterator[AgentMessage]:
        """The parts not sent yet, for the caller to send. The last one closes the message, and names the error that
        interrupted it, if there is one."""
        self._end()
        while self._size > MAX_PART:
            yield self._part(self._take())
        marks: dict[str, Any] = {"final": True, "usage": self.usage}
        if error is not None:
            cancelled = isinstance(error, asyncio.CancelledError)
            marks["error"] = "cancelled" if cancelled else f"the agent failed: {type(error).__name__}"
        yield self._part(self._take(), **marks)

    def _end(self) -> None:
        self._ended = True
        if self._timer:
            self._timer.cancel()

    def _send_when_due(self) -> None:
        if self._under_way or not self._size or self._ended:
            return
        if self._size >= MAX_PART:
            self._send_part()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._sent_at + ROLL_UP, loop.time()), self._send_part)

    def _send_part(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._sent_at = asyncio.get_running_loop().time()
        try:
            self._under_way = asyncio.ensure_future(self._send(self._part(self._take())))
            self._under_way.add_done_callback(self._sent)
        except PlancastError as error:
            self._failure = error

    def _sent(self, part: asyncio.Future[object]) -> None:
        self._under_way = None
        try:
            part.result()
        except (Exception, asyncio.CancelledError) as error:  # raised by the next write, or on closing
            self._failure = self._failure or error
        else:
            self._send_when_due()

    def _take(self) -> str:
        text = "".join(self._text)
        part, rest = text[:MAX_PART], text[MAX_PART:]
        self._text = [rest] if rest else []
        self._size = len(rest)
        return part

    def _part(self, content: str, **marks: Any) -> AgentMessage:
        return build(AgentMessage, {**self._fields, "content": content, "append": True, **marks})


class Message:
    """One message, open for writing. `Broadcaster.message` makes it.

    Leaving the block closes the message, and waits until all of it is durable. When an exception leaves the block, or
    a part could not be stored, the message is closed with an error that readers see, and the exception is raised.

    Example:
        async with broadcaster.message("plan-1", "Writer", "result") as message:
            async for token in model.stream():
                await message.write(token)
    """

    def __init__(self, fields: Mapping[str, Any], post: Callable[[PlanEvent], asyncio.Future[Position]]) -> None:
        self._message_id = str(fields["message_id"])
        self._post = post
        self._text = RollUp(fields, post)
        self._is_open = False

    @property
    def message_id(self) -> str:
        """The id that all parts of this message carry."""
        return self._message_id

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if error is None:
            await self._finish()
        else:
            await self._interrupt(error)

    async def write(self, text: str) -> None:
        """Add text to the message.

        Returns at once unless much text waits for the log.

        Args:
            text: Any amount of it, also a single character; it is rolled up into few events.

        Raises:
            InvalidEvent: The text is not a string that UTF-8 can encode.
            BroadcasterClosed: The message is not open.
            LogError: A part written before this one could not be stored.
        """
        if not self._is_open:
            raise BroadcasterClosed("this message is not open; write inside its `async with` block")
        await self._text.write(text)

    def report_usage(self, usage: UsageFields) -> None:
        """Report what was used of a model for this message. It is sent with the message's last part.

        Args:
            usage: A `Usage`, or its fields. It replaces what an earlier call reported.

        Raises:
            InvalidEvent: A field is wrong.
        """
        self._text.usage = usage_of(usage)

    async def _finish(self) -> None:
        """Text that follows a part which was not stored must not pass for the whole message."""
        try:
            await self._text.stop()
            self._text.raise_failure()
        except BaseException as error:
            await self._interrupt(error)
            raise
        for part in self._post_rest():
            await part

    async def _interrupt(self, error: BaseException) -> None:
        with suppress(PlancastError):  # if the message can't be closed, the agent's own exception is the one to raise
            await asyncio.wait(self._post_rest(error), timeout=PATIENCE)

    def _post_rest(self, error: BaseException | None = None) -> list[asyncio.Future[Position]]:
        return [self._post(part) for part in self._text.rest(error)]


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidEvent("content", f"expected a str; got a {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("content", "it has half of a surrogate pair, which UTF-8 can't encode") from None
