"""A WebSocket client that can send what libraries refuse to: invalid frames, or any bytes.

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
DEADLINE_S: Final = 30.0
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
    """One client frame; `claims` is the size in its header when that should be wrong."""
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
    """The opening handshake of a WebSocket."""
    at = urlsplit(url)
    key = base64.b64encode(os.urandom(16)).decode()
    needed = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    all_headers = {"Host": at.netloc, **needed, **headers}
    lines = [
        f"GET {at.path}{'?' if at.query else ''}{at.query} HTTP/1.1",
        *(f"{n}: {v}" for n, v in all_headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class RawSocket:
    """One connection. It reads ahead at most 32 KiB."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.code: int | None = None
        """The close code; 1006: closed without one."""
        self.answers_pings = True
        self._reader = reader
        self._writer = writer

    # ---- sending

    async def send(self, data: bytes) -> bool:
        """Sends any bytes. False when the connection is closed."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return False
        return not self._writer.is_closing()

    async def send_json(self, kind: str, **fields: Any) -> None:
        await self.send(frame(json.dumps({"type": kind, **fields}).encode()))

    async def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Sends this frame and returns the next one received."""
        await self.send_json(kind, **fields)
        return await self.receive()

    def reset(self) -> None:
        """Resets the connection."""
        self._writer.transport.abort()

    # ---- receiving

    async def receive(self) -> dict[str, Any]:
        """The next frame from the hub."""
        received = await self.next()
        assert received is not None, f"closed with {self.code}"
        return received

    async def next(self) -> dict[str, Any] | None:
        """The next frame from the hub; None once it has closed."""
        opcode, payload = await self._message()
        received: dict[str, Any] | None = json.loads(payload) if opcode == TEXT else None
        return received

    async def receive_until(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; frames before it are discarded."""
        while (received := await self.receive())["type"] != kind:
            pass
        return received

    async def closed(self) -> int:
        """Waits for the close and returns its code; frames before it are discarded."""
        while self.code is None:
            await self._message()
        return self.code

    async def until(self, mark: bytes) -> bytes:
        """Reads bytes up to and including this mark."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readuntil(mark)

    async def until_eof(self) -> bytes:
        """Reads all bytes until the connection ends."""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                return await self._reader.read()
        return b""

    async def receive_raw(self) -> tuple[int, bytes]:
        """The opcode and payload of the next frame of any kind; CLOSE without payload when the connection ends."""
        async with asyncio.timeout(DEADLINE_S):
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
                self._writer.write(frame(payload[:2], CLOSE))  # without drain: the other side may have stopped reading
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
    """Connects and completes the handshake; keywords (`origin="…"`) become headers. AssertionError when refused."""
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
    raw = socket.socket(proto=socket.IPPROTO_TCP)  # without this, asyncio does not switch Nagle's algorithm off
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
    """A TCP connection on which nothing has been sent."""
    client = await _connect(port, None)
    try:
        yield client
    finally:
        client.reset()


@asynccontextmanager
async def dialled(url: str, **how: Any) -> AsyncGenerator[RawSocket]:
    """As `dial`; reset at the end."""
    client = await dial(url, **how)
    try:
        yield client
    finally:
        client.reset()
