"""One connection to one Redis server.

Calls are pipelined: what is called in one turn of the event loop goes out as one write, and answers resolve their
futures in order. Nothing a caller does (a timeout, a cancellation) touches that order. A link lives once: when it is
lost, every call under way and every later one fails with `LogUnavailable`, and its owner opens another.

It has a beat of its own, because neither the kernel nor the other side can be relied on to say that they are gone: a
question every BEAT seconds, and an end after SILENT_BEATS of them without a single byte.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis

from broadcasters.errors import LogError, LogMisconfigured, LogUnavailable
from broadcasters.log.redis.refusals import Refused, meaning
from broadcasters.log.redis.url import Address, Tls, User

__all__ = ["BEAT", "SILENT_BEATS", "Pushed", "RedisLink", "Word", "open_link", "retrieved"]

BEAT: Final = 1.3
SILENT_BEATS: Final = 3
OPEN_PATIENCE: Final = 4.0
MAX_OWED: Final = 8192
"""Answers outstanding before further callers wait."""
MAX_UNSENT: Final = 8 * 1024 * 1024
"""Bytes given to the link, and not yet to the kernel, before further callers wait."""

Word: TypeAlias = str | bytes | int
Pushed: TypeAlias = Callable[[Sequence[Any]], None]

_MORE: Final = object()
_pack = cast("Callable[[tuple[Word, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


class _Unanswered:
    """Commands that have no answer of their own, unless they are refused; a PING behind them marks their end."""

    __slots__ = ("future", "refusals")

    def __init__(self, future: asyncio.Future[list[Refused]]) -> None:
        self.future = future
        self.refusals: list[Refused] = []


class RedisLink(asyncio.Protocol):
    """Get one from `open_link`; `close` it. `pushed` is called with each push message, and must not raise."""

    def __init__(self, address: Address, pushed: Pushed | None = None) -> None:
        self.address = address
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the link ended, once it has."""
        self._loop = asyncio.get_running_loop()
        self._pushed: Pushed = pushed or _unheard
        self._reader = hiredis.Reader(replyError=Refused, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
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

    # ---- calls

    async def call(self, *words: Word) -> Any:
        """The answer to this command. `Refused` when Redis says no, `LogUnavailable` when the link is lost."""
        if self._is_full():
            await self.room()
        return await self.send(*words)

    def send(self, *words: Word) -> asyncio.Future[Any]:
        """As `call`, for several at once: whoever sends many waits for `room` now and then, and awaits each."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.ended.done():
            _fail(future, self.ended.result())
            return future
        self._owed.append(future)
        self._write(_pack(words))
        return future

    def send_asking(self, *words: Word) -> asyncio.Future[Any]:
        """As `send`, to who is taking the key's slot over, and does this only for those who were sent here."""
        self.send("ASKING").add_done_callback(retrieved)
        return self.send(*words)

    def send_unanswered(self, commands: Iterable[Sequence[Word]]) -> asyncio.Future[list[Refused]]:
        """For commands that are answered by pushes, if at all: which refusals there were, once all have run."""
        future: asyncio.Future[list[Refused]] = self._loop.create_future()
        if self.ended.done():
            _fail(future, self.ended.result())
            return future
        self._owed.append(_Unanswered(future))
        for words in commands:
            self._write(_pack(tuple(words)))
        self._write(b"*1\r\n$4\r\nPING\r\n")
        return future

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

    # ---- the beat

    def beat(self, question: Sequence[Word], verdict: Callable[[Any], str | None]) -> None:
        """From now on ask this regularly; the link ends when there is no answer, or when `verdict` gives a reason."""
        self._silent += 1
        if self._silent >= SILENT_BEATS:
            self.end(f"Redis at {self.address} has been silent for {BEAT * SILENT_BEATS:.0f} s")
        if self.ended.done():
            return
        self._timer = self._loop.call_later(BEAT, self.beat, question, verdict)
        self.send(*question).add_done_callback(lambda answer: self._judge(answer, verdict))

    def _judge(self, answer: asyncio.Future[Any], verdict: Callable[[Any], str | None]) -> None:
        if answer.cancelled() or isinstance(answer.exception(), LogError):
            return
        refused = answer.exception()
        reason = str(refused) if refused else verdict(answer.result())
        if reason:
            self.end(f"Redis at {self.address}: {reason}")

    # ---- the end

    def end(self, why: str) -> None:
        """The link is of no use any more."""
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
        self.end(f"the connection to Redis at {self.address} was lost" + (f": {exc}" if exc else ""))
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
            self.end(f"what answers at {self.address} does not speak the Redis protocol: {error}")
        if self._room is not None:
            self._make_room()

    def _answered(self, reply: Any) -> None:
        if not self._owed:
            if not self.ended.done():
                self.end(f"Redis at {self.address} said, unasked: {reply!r}")
            return
        owed = self._owed[0]
        if isinstance(owed, _Unanswered):
            if isinstance(reply, Refused):
                owed.refusals.append(reply)
                return
            reply, owed = owed.refusals, owed.future
        self._owed.popleft()
        if owed.done():
            return
        if isinstance(reply, Refused):
            owed.set_exception(reply)
        else:
            owed.set_result(reply)


def _unheard(_: Sequence[Any]) -> None:
    """Nobody asked for pushes on this link."""


async def open_link(
    address: Address, user: User, tls: Tls | None = None, pushed: Pushed | None = None, db: int = 0
) -> RedisLink:
    """A link on which commands can be called. `LogUnavailable` or `LogMisconfigured` when there can't be one."""
    loop = asyncio.get_running_loop()
    link = RedisLink(address, pushed)
    context = tls.context() if tls else None
    try:
        async with asyncio.timeout(OPEN_PATIENCE):
            await loop.create_connection(
                lambda: link, address.host, address.port, ssl=context, server_hostname=address.host if context else None
            )
            await _greet(link, user, db)
    except BaseException as error:
        await link.close()
        raise _why_not_opened(address, error) from None
    return link


def _fail(future: asyncio.Future[Any], why: str) -> None:
    if not future.done():
        future.set_exception(LogUnavailable(why))
        retrieved(future)


def retrieved(future: asyncio.Future[Any]) -> None:
    """Whoever waits for it gets its error; if nobody does any more, that is nobody's mistake."""
    if not future.cancelled():
        future.exception()


async def _greet(link: RedisLink, user: User, db: int) -> None:
    login = ["AUTH", user.name or "default", user.password or ""] if user != (None, None) else []
    try:
        await link.send("HELLO", 3, *login, "SETNAME", "plancast")
    except Refused as refused:
        if refused.code in ("ERR", "NOPROTO") and "max number" not in str(refused):
            raise LogMisconfigured(
                f"Redis at {link.address} refused HELLO 3; it must be version 7 or newer: {refused}"
            ) from None
        raise
    if db:
        await link.send("SELECT", db)


def _why_not_opened(address: Address, error: BaseException) -> BaseException:
    match error:
        case ssl.SSLCertVerificationError():
            return LogMisconfigured(f"the certificate of Redis at {address} is not trusted: {error.verify_message}")
        case ssl.SSLError():
            return LogUnavailable(f"TLS with Redis at {address} failed: {error.reason or error}")
        case Refused():
            return meaning(error, f"logging in at {address}")
        case TimeoutError():
            return LogUnavailable(f"Redis at {address} did not answer within {OPEN_PATIENCE:g} s")
        case OSError():
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            return LogUnavailable(f"Redis at {address} can't be reached: {why}")
        case _:
            return error
