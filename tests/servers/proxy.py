"""TCP proxies to a server: one that can stall or reset its connections, one that loses Redis pub/sub messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Self, cast

__all__ = ["LossyProxy", "Proxy", "message_end"]

MESSAGES: Final = (b"smessage", b"message")


class Proxy:
    """Forwards connections to `port` on loopback; `silence` holds back all traffic and closes nothing."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.connections = 0
        """Connections accepted so far."""
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for pump in self._pumps:
            pump.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def silence(self) -> None:
        """Forwards nothing more in either direction; no connection is closed."""
        self._open.clear()

    def heal(self) -> None:
        """Forwards again, first what was held back."""
        self._open.set()

    def cut(self) -> None:
        """Resets all connections; new ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(target)
            target.transport.abort()


class LossyProxy(Proxy):
    """Proxy to Redis that drops the pub/sub messages for which `drops(channel, payload)` is true.

    Requires RESP3, whose pushes can be told from replies.
    """

    def __init__(self, server_port: int, drops: Callable[[bytes, bytes], bool]) -> None:
        super().__init__(server_port)
        self.drops = drops
        self.passed = 0
        self.lost = 0

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        if target.get_extra_info("sockname")[1] == self.port:  # towards the client
            source = cast("asyncio.StreamReader", _RespFilter(source, self._keeps))
        await super()._pump(source, target)

    def _keeps(self, message: bytes) -> bool:
        if not message.startswith(b">"):
            return True
        parts = _bulk_strings(message)
        if parts[0] not in MESSAGES:
            return True
        kept = not self.drops(parts[1], parts[2])
        self.passed += kept
        self.lost += not kept
        return kept


class _RespFilter:
    """Stream reader that omits the RESP messages `keeps` rejects; works on whole messages."""

    def __init__(self, source: asyncio.StreamReader, keeps: Callable[[bytes], bool]) -> None:
        self._source = source
        self._keeps = keeps
        self._rest = bytearray()

    async def read(self, most: int) -> bytes:
        while data := await self._source.read(most):
            self._rest += data
            if kept := self._filtered():
                return kept
        return bytes(self._rest)

    def _filtered(self) -> bytes:
        kept, at = bytearray(), 0
        while (end := message_end(self._rest, at)) is not None:
            if self._keeps(message := bytes(self._rest[at:end])):
                kept += message
            at = end
        del self._rest[:at]
        return bytes(kept)


def message_end(data: bytes | bytearray, at: int) -> int | None:
    """The end of the RESP message that begins at `at`; None when it is incomplete."""
    header_end = data.find(b"\r\n", at)
    if header_end < 0:
        return None
    kind, end = data[at : at + 1], header_end + 2
    if kind in b"+-:_,#(":
        return end
    count = int(data[at + 1 : header_end])
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


def _bulk_strings(push: bytes) -> list[bytes]:
    """The bulk strings of a push; other elements are empty."""
    strings, at = list[bytes](), push.index(b"\r\n") + 2
    while at < len(push):
        end = message_end(push, at)
        assert end is not None
        strings.append(push[push.index(b"\r\n", at) + 2 : end - 2] if push[at : at + 1] == b"$" else b"")
        at = end
    return strings
