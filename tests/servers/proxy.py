"""A line to a server that can fall silent, as a network does, or be cut."""

from __future__ import annotations

import asyncio
from typing import Self

__all__ = ["Proxy"]


class Proxy:
    """Connect to `port`. `silence` swallows everything in both directions without closing anything."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.connections = 0
        """How many there have been."""
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._lines: set[asyncio.StreamWriter] = set()
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
        """From now on nothing gets through, and nobody is told."""
        self._open.clear()

    def heal(self) -> None:
        """Everything gets through again, what was held back too."""
        self._open.set()

    def cut(self) -> None:
        """Every connection is reset; new ones are taken."""
        for line in self._lines:
            line.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._lines.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._lines.add(far_writer)
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
            self._lines.discard(target)
            target.transport.abort()
