"""A client that says what libraries don't let one say: any bytes at all, in frames or not.

async with dialled(hub.ws, token=token) as client:
    await client.send(frame(b"\\xff\\xfe"))
    assert await client.closed() == 1007
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "PONG", "TEXT", "RawSocket", "connected", "dialled", "frame", "handshake"]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE_S: Final = 30.0
BUFFER: Final = 16 * 1024


def frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    fin: bool = True,
    masked: bool = True,
    reserved: int = 0,
    claims: int | None = None,
) -> bytes:
    """One frame; `claims` is the size it says it has, whatever it has."""
    size = len(payload) if claims is None else claims
    first, mask = (0x80 if fin else 0) | reserved << 4 | opcode, 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload  # a mask of zeros changes nothing


def handshake(url: str, headers: Mapping[str, str]) -> bytes:
    """The request that wants to become a WebSocket."""
    at = urlsplit(url)
    key = base64.b64encode(os.urandom(16)).decode()
    needed = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    said = {"Host": at.netloc, **needed, **headers}
    lines = [f"GET {at.path}{'?' if at.query else ''}{at.query} HTTP/1.1", *(f"{n}: {v}" for n, v in said.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class RawSocket:
    """One connection. What it doesn't ask for it doesn't read, beyond 32 KiB."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.code: int | None = None
        """With which close code it ended; 1006: without one."""
        self.answers_pings = True
        self._reader = reader
        self._writer = writer

    # ---- saying

    async def send(self, data: bytes) -> bool:
        """Any bytes. False when the other side has gone."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return False
        return not self._writer.is_closing()

    async def send_json(self, kind: str, **fields: Any) -> None:
        await self.send(frame(json.dumps({"type": kind, **fields}).encode()))

    async def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Say it, and what comes next."""
        await self.send_json(kind, **fields)
        return await self.receive()

    def reset(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()

    # ---- hearing

    async def receive(self) -> dict[str, Any]:
        """The next frame of the hub."""
        said = await self.next()
        assert said is not None, f"closed with {self.code}"
        return said

    async def next(self) -> dict[str, Any] | None:
        """The next frame of the hub; None when it has closed."""
        opcode, payload = await self._message()
        said: dict[str, Any] | None = json.loads(payload) if opcode == TEXT else None
        return said

    async def receive_until(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; what comes before it is ignored."""
        while (said := await self.receive())["type"] != kind:
            pass
        return said

    async def closed(self) -> int:
        """How it ends; everything before is ignored."""
        while self.code is None:
            await self._message()
        return self.code

    async def until(self, mark: bytes) -> bytes:
        """What comes, up to this."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readuntil(mark)

    async def until_eof(self) -> bytes:
        """All that still comes, until nothing more can."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                return await self._reader.read()
        return b""

    async def receive_raw(self) -> tuple[int, bytes]:
        """The next frame, whatever it is."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                first, size = await self._reader.readexactly(2)
                if size >= 126:
                    size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
                return first & 0x0F, await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return CLOSE, b""

    async def _message(self) -> tuple[int, bytes]:
        while True:
            opcode, payload = await self.receive_raw()
            if opcode == CLOSE:
                self.code = int.from_bytes(payload[:2], "big") if payload else 1006
                self._writer.write(frame(payload[:2], CLOSE))  # and no wait: the other side may not take it any more
                return opcode, payload
            if opcode == TEXT:
                return opcode, payload
            if opcode == PING and self.answers_pings:
                await self.send(frame(payload, PONG))


async def dial(
    url: str,
    *,
    token: str | None = None,
    ticket: str | None = None,
    raw_host: str | None = None,
    receive_buffer: int | None = None,
    **headers: str,
) -> RawSocket:
    """Connect and shake hands; `origin="…"` and the like become headers. AssertionError when it is not let in."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if raw_host is not None:
        headers["Host"] = raw_host
    if ticket is not None:
        url = f"{url}?ticket={ticket}"
    client = await _connect(urlsplit(url).port or 80, receive_buffer)
    try:
        await client.send(handshake(url, headers))
        answer = await client.until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
    except BaseException:
        client.reset()
        raise
    return client


async def _connect(port: int, receive_buffer: int | None) -> RawSocket:
    raw = socket.socket()
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    except BaseException:
        raw.close()
        raise
    return RawSocket(*await asyncio.open_connection(sock=raw, limit=BUFFER))


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[RawSocket]:
    """A connection on which nothing was said yet."""
    client = await _connect(port, None)
    try:
        yield client
    finally:
        client.reset()


@asynccontextmanager
async def dialled(url: str, **how: Any) -> AsyncGenerator[RawSocket]:
    """As `dial`; closed at the end, whatever became of it."""
    client = await dial(url, **how)
    try:
        yield client
    finally:
        client.reset()
