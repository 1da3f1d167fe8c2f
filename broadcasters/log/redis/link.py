"""A pipelined connection to one Redis server, for the two hot paths: appends and the tail.

`redis` opens the connection and logs in (see `opening`); a link takes it over. Commands of one turn of the event loop
go out as one write, and replies resolve their futures in order. No timeout or cancellation of a caller disturbs that
order. A link is used once: when it ends, every call under way and every later one fails with `LogUnavailable`, and its
owner opens another.

Neither the kernel nor the other side reliably reports a dead connection, so a link has a watchdog: a probe every BEAT
seconds, and the end after SILENT_BEATS of them without a byte.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
from redis._parsers import BaseParser  # its `parse_error` makes the library's exceptions
from redis.asyncio.connection import AbstractConnection

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.redis.refusals import text_of

__all__ = ["BEAT", "SILENT_BEATS", "Argument", "Pushed", "RedisLink", "retrieved"]

_logger = logging.getLogger("plancast.log")

BEAT: Final = 1.3
SILENT_BEATS: Final = 3
MAX_OWED: Final = 8192
"""Unanswered calls after which callers wait."""
MAX_UNSENT: Final = 8 * 1024 * 1024
"""Bytes not yet given to the kernel after which callers wait."""

Argument: TypeAlias = str | bytes | int
Pushed: TypeAlias = Callable[[Sequence[Any]], None]

_MORE: Final = object()
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
_parse_error = cast("Callable[[str], Exception]", BaseParser.parse_error)  # pyright: ignore[reportUnknownMemberType]


class _Unanswered:
    """Commands that are answered by pushes, or by an error; the reply to a PING behind them marks their end."""

    __slots__ = ("errors", "future")

    def __init__(self, future: asyncio.Future[list[Exception]]) -> None:
        self.future = future
        self.errors: list[Exception] = []


class RedisLink(asyncio.Protocol):
    """Get one from `opening.open_link`, and `close` it. `pushed` receives each push message, and must not raise."""

    def __init__(self, name: str, pushed: Pushed | None = None) -> None:
        self.name = name
        """The server's address, for errors."""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the link ended, once it has."""
        self._loop = asyncio.get_running_loop()
        self._pushed: Pushed = pushed or _ignore
        self._reader = hiredis.Reader(replyError=_parse_error, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._stream: asyncio.StreamWriter | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._owed: deque[asyncio.Future[Any] | _Unanswered] = deque()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._paused = False
        self._room: asyncio.Future[None] | None = None
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        return not self.ended.done()

    def take_over(self, connection: AbstractConnection) -> None:
        """Continue on the socket of a connection that `redis` opened, in place of its streams."""
        reader, writer = connection._reader, connection._writer  # pyright: ignore[reportPrivateUsage]
        assert reader is not None  # noqa: S101 - it is connected
        assert writer is not None  # noqa: S101
        connection._reader = connection._writer = None  # pyright: ignore[reportPrivateUsage] # it would close them
        self._stream = writer  # which closes the transport when it is collected
        writer.transport.set_protocol(self)
        self.connection_made(writer.transport)
        if early := bytes(reader._buffer):  # type: ignore[attr-defined]
            self.data_received(early)
        if reader.at_eof() or writer.transport.is_closing():
            self.end(f"Redis at {self.name} closed the connection")

    # ---- calls

    async def call(self, *command: Argument) -> Any:
        """The reply to this command. Raises the error that Redis replied, or `LogUnavailable` if the link ends."""
        if self._is_full():
            await self.room()
        return await self.send(*command)

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """As `call`, for many commands at once: await `room` now and then, and every future."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.ended.done():
            _fail(future, self.ended.result())
            return future
        self._owed.append(future)
        self._write(_pack(command))
        return future

    def send_unanswered(self, commands: Iterable[Sequence[Argument]]) -> asyncio.Future[list[Exception]]:
        """For commands that are answered by pushes: the errors among their replies, once all have run."""
        future: asyncio.Future[list[Exception]] = self._loop.create_future()
        if self.ended.done():
            _fail(future, self.ended.result())
            return future
        self._owed.append(_Unanswered(future))
        for command in commands:
            self._write(_pack(tuple(command)))
        self._write(b"*1\r\n$4\r\nPING\r\n")
        return future

    def log_in(self, credentials: Sequence[str]) -> None:
        """Log in again, with new credentials. If Redis rejects them, the link goes on as the user that it was."""
        self.send("AUTH", *credentials).add_done_callback(self._logged_in)

    def _logged_in(self, reply: asyncio.Future[Any]) -> None:
        error = None if reply.cancelled() else reply.exception()
        if error and not isinstance(error, LogError):
            _logger.warning("Redis at %s rejected new credentials: %s", self.name, text_of(error))

    async def room(self) -> None:
        """Wait until the link can take more."""
        while self._is_full():
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def _is_full(self) -> bool:
        too_much = self._paused or len(self._owed) >= MAX_OWED or self._unsent_bytes >= MAX_UNSENT
        return too_much and not self.ended.done()

    def _make_room(self) -> None:
        if self._room is not None and not self._is_full():
            self._room.set_result(None)
            self._room = None

    def _write(self, packed: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._unsent_bytes += len(packed)

    def _flush(self) -> None:
        if self._transport is not None and self._unsent and not self.ended.done():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0
        self._make_room()

    # ---- the watchdog

    def beat(self, probe: Sequence[Argument], verdict: Callable[[Any], str | None]) -> None:
        """Send this command every BEAT seconds; the link ends without a reply, or when `verdict` returns a reason."""
        self._silent += 1
        if self._silent >= SILENT_BEATS:
            self.end(f"Redis at {self.name} has been silent for {BEAT * SILENT_BEATS:.0f} s")
        if self.ended.done():
            return
        self._timer = self._loop.call_later(BEAT, self.beat, probe, verdict)
        self.send(*probe).add_done_callback(lambda reply: self._judge(reply, verdict))

    def _judge(self, reply: asyncio.Future[Any], verdict: Callable[[Any], str | None]) -> None:
        if reply.cancelled() or isinstance(reply.exception(), LogError):
            return
        error = reply.exception()
        reason = text_of(error) if error else verdict(reply.result())
        if reason:
            self.end(f"Redis at {self.name}: {reason}")

    # ---- the end

    def end(self, why: str) -> None:
        """The link must not be used any more."""
        if self.ended.done():
            return
        self.ended.set_result(why)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        for owed in self._owed:
            future: asyncio.Future[Any] = owed.future if isinstance(owed, _Unanswered) else owed
            _fail(future, why)
        self._owed.clear()
        self._make_room()

    async def close(self, why: str = "the log was closed") -> None:
        """End it, and wait until the socket is closed."""
        self.end(why)
        if self._transport is not None:
            await asyncio.shield(self._closed)

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1024 * 1024)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"the connection to Redis at {self.name} was lost" + (f": {exc}" if exc else ""))
        self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._make_room()

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        reader, pushed, more, push = self._reader, self._pushed, _MORE, hiredis.PushNotification
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not more:
                if type(reply) is push:
                    pushed(reply)
                else:
                    self._answered(reply)
        except hiredis.ProtocolError as error:
            self.end(f"what answers at {self.name} does not speak the Redis protocol: {error}")
        if self._room is not None:
            self._make_room()

    def _answered(self, reply: Any) -> None:
        if not self._owed:
            self.end(f"Redis at {self.name} sent a reply that was not asked for: {reply!r}")
            return
        owed = self._owed[0]
        if isinstance(owed, _Unanswered):
            if isinstance(reply, Exception):
                owed.errors.append(reply)
                return
            reply, owed = owed.errors, owed.future
        self._owed.popleft()
        if owed.done():
            return
        if isinstance(reply, Exception):
            owed.set_exception(reply)
        else:
            owed.set_result(reply)


def _ignore(_: Sequence[Any]) -> None:
    """A link without subscriptions has no use for pushes."""


def _fail(future: asyncio.Future[Any], why: str) -> None:
    if not future.done():
        future.set_exception(LogUnavailable(why))
        retrieved(future)


def retrieved(future: asyncio.Future[Any]) -> None:
    """Mark its error as retrieved, so asyncio does not log it if the caller has gone."""
    if not future.cancelled():
        future.exception()
