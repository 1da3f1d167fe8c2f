"""A reverse proxy with the faults of a bad configuration."""

from __future__ import annotations

import asyncio
import re
from typing import Self

__all__ = ["HttpProxy"]

UPGRADE = re.compile(rb"(upgrade|connection|sec-websocket-[a-z]+):.*\r\n", re.IGNORECASE)


class HttpProxy:
    """Forwards requests to a server on loopback, each on a connection of its own.

    Args:
        server_port: The server's port.
        upgrades: Whether it passes on requests to upgrade to a WebSocket.
        buffers: Whether it holds a response back until it is complete (not that to an upgrade).
        idle_s: The time without any bytes after which it closes a WebSocket connection.
        host: The Host header that it sends; by default that of the request.
    """

    def __init__(
        self,
        server_port: int,
        *,
        upgrades: bool = True,
        buffers: bool = False,
        idle_s: float | None = None,
        host: str | None = None,
    ) -> None:
        self._server_port = server_port
        self._upgrades = upgrades
        self._buffers = buffers
        self._idle_s = idle_s
        self._host = host
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        try:
            head = self._changed(await reader.readuntil(b"\r\n\r\n"))
            upgrade = b"upgrade" in head.lower()
            buffers, idle_s = self._buffers and not upgrade, self._idle_s if upgrade else None
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
            far_writer.write(head)
            upward = asyncio.create_task(self._pump(reader, far_writer, idle_s=idle_s))
            try:
                await self._pump(far_reader, writer, whole=buffers, idle_s=idle_s)
            finally:
                upward.cancel()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            for one in (writer, far_writer):
                if one is not None:
                    one.close()

    def _changed(self, head: bytes) -> bytes:
        line, headers = head.split(b"\r\n", 1)
        if self._host is not None:
            headers = re.sub(rb"(?im)^host:.*\r\n", b"Host: %b\r\n" % self._host.encode(), headers)
        if self._upgrades and b"upgrade" in headers.lower():
            return line + b"\r\n" + headers
        return line + b"\r\nConnection: close\r\n" + UPGRADE.sub(b"", headers)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        *,
        idle_s: float | None,
        whole: bool = False,
    ) -> None:
        held = b""
        while data := await asyncio.wait_for(source.read(65536), idle_s):
            held += data
            if not whole:
                target.write(held)
                await target.drain()
                held = b""
        target.write(held)
        await target.drain()
