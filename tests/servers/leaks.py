"""A line to Redis on which some of what it pushes is lost, as pub/sub may lose it; everything else arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from tests.servers.proxy import Proxy

__all__ = ["LeakyProxy", "message_end"]

MESSAGES: Final = (b"smessage", b"message")


class LeakyProxy(Proxy):
    """`loses(channel, payload)` decides about each message. RESP3 only: that is where pushes can be told from answers."""

    def __init__(self, server_port: int, loses: Callable[[bytes, bytes], bool]) -> None:
        super().__init__(server_port)
        self.loses = loses
        self.passed = 0
        self.lost = 0

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        if target.get_extra_info("sockname")[1] == self.port:  # towards the client
            source = cast("asyncio.StreamReader", _Sieve(source, self._keeps))
        await super()._pump(source, target)

    def _keeps(self, message: bytes) -> bool:
        if not message.startswith(b">"):
            return True
        words = _words(message)
        if words[0] not in MESSAGES:
            return True
        kept = not self.loses(words[1], words[2])
        self.passed += kept
        self.lost += not kept
        return kept


class _Sieve:
    """Reads as a stream does, but for what is not kept. Works on whole RESP messages."""

    def __init__(self, source: asyncio.StreamReader, keeps: Callable[[bytes], bool]) -> None:
        self._source = source
        self._keeps = keeps
        self._rest = bytearray()

    async def read(self, most: int) -> bytes:
        while data := await self._source.read(most):
            self._rest += data
            if kept := self._sifted():
                return kept
        return bytes(self._rest)

    def _sifted(self) -> bytes:
        kept, at = bytearray(), 0
        while (end := message_end(self._rest, at)) is not None:
            if self._keeps(message := bytes(self._rest[at:end])):
                kept += message
            at = end
        del self._rest[:at]
        return bytes(kept)


def message_end(data: bytes | bytearray, at: int) -> int | None:
    """Where the RESP message that begins at `at` ends; None when it is not there as a whole."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    kind, end = data[at : at + 1], line + 2
    if kind in b"+-:_,#(":
        return end
    count = int(data[at + 1 : line])
    if kind in b"$=!":
        end = end + count + 2 if count >= 0 else end
        return end if end <= len(data) else None
    parts = {b"*": count, b"~": count, b">": count, b"%": 2 * count, b"|": 2 * count + 1}[bytes(kind)]
    for _ in range(max(parts, 0)):
        inner = message_end(data, end)
        if inner is None:
            return None
        end = inner
    return end


def _words(push: bytes) -> list[bytes]:
    """The bulk strings of a push."""
    words, at = list[bytes](), push.index(b"\r\n") + 2
    while at < len(push):
        end = message_end(push, at)
        assert end is not None
        words.append(push[push.index(b"\r\n", at) + 2 : end - 2] if push[at : at + 1] == b"$" else b"")
        at = end
    return words
