"""A WebSocket that a check opens: only as much of the protocol as is needed to see whether a proxy lets it pass."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import httpcore
import httpx

__all__ = ["ProbeSocket", "SocketClosed", "UpgradeRefused"]

PATH: Final = "/ws/streaming"
TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
CHUNK: Final = 4096


class UpgradeRefused(Exception):
    """The request to upgrade got another answer than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class SocketClosed(Exception):
    """The connection was closed. `code` is that of the close frame; 0 without one."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class ProbeSocket:
    """An open connection from which frames are read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._received = b""

    @classmethod
    @asynccontextmanager
    async def opened(cls, client: httpx.AsyncClient, origin: str) -> AsyncGenerator[ProbeSocket]:
        """Open the hub's socket with a client for its address. Raises `UpgradeRefused`."""
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Origin": origin,
        }
        answer = await client.send(client.build_request("GET", PATH, headers=headers), stream=True)
        try:
            if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                raise UpgradeRefused(answer.status_code)
            yield cls(answer.extensions["network_stream"])
        finally:
            await answer.aclose()

    async def frame(self) -> bytes:
        """The next text. Raises `SocketClosed`."""
        return await self._next(TEXT)

    async def ping(self) -> None:
        """Return when the other side pings. Raises `SocketClosed`."""
        await self._next(PING)

    async def _next(self, wanted: int) -> bytes:
        while True:
            first, second = await self._take(2)
            size = second & 127
            if size == 126:
                size = int.from_bytes(await self._take(2))
            payload = await self._take(size)
            if first & 15 == CLOSE:
                raise SocketClosed(int.from_bytes(payload[:2]))
            if first & 15 == wanted:
                return payload

    async def _read(self) -> bytes:
        try:
            chunk: bytes = await self._stream.read(CHUNK)
        except httpcore.NetworkError:
            return b""
        return chunk

    async def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            chunk = await self._read()
            if not chunk:
                raise SocketClosed(0)
            self._received += chunk
        taken, self._received = self._received[:size], self._received[size:]
        return taken
