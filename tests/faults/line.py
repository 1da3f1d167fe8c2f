"""A WebSocket client with nothing between it and its socket: it can stop reading, stop answering, flood, or vanish."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

__all__ = ["Line", "client_frame", "open_line"]

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One frame as clients send them: masked, with a mask that changes nothing."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class Line(asyncio.Protocol):
    """One connection. `heard` gets every text; `code` says how it was closed (1006: without a word)."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.heard = heard
        self.code: int | None = None
        self.pings = 0
        self.answers_pings = True
        self.answers_close = True
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._rest = b""
        self._shaken = False
        self._deaf = False
        self._transport: asyncio.Transport | None = None

    # ---- what its owner does

    def send(self, text: str) -> None:
        self.send_raw(client_frame(text.encode()))

    def send_raw(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def stop_reading(self) -> None:
        self._deaf = True
        if self._transport is not None:
            self._transport.pause_reading()

    def read_on(self) -> None:
        self._deaf = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def read_by_hand(self, most: int) -> int:
        """While it has stopped reading: take so many bytes all the same, if they are there; how many were."""
        assert self._deaf
        assert self._transport is not None
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as raw:
            try:
                data = raw.recv(most, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return 0
        if data:
            self.data_received(data)
        return len(data)

    @property
    def unsent(self) -> int:
        """Bytes that wait here because the other side takes nothing."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def close(self, code: int = 1000) -> int:
        """Leave as one should; the code that came back."""
        self.send_raw(client_frame(struct.pack("!H", code), CLOSE))
        self.read_on()
        return await asyncio.shield(self.ended)

    def vanish(self) -> None:
        """The connection is reset."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("closed before it opened"))
        if not self.ended.done():
            self.ended.set_result(self.code or 1006)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = 0
        if not self._shaken:
            if (at := data.find(b"\r\n\r\n") + 4) == 3:
                self._rest = data
                return
            if self.opened.done():  # the client gave up waiting for the handshake
                self.vanish()
                return
            if not data.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(ConnectionRefusedError(data.split(b"\r\n")[0].decode()))
                self.vanish()
                return
            self._shaken = True
            self.opened.set_result(None)
        self._rest = data[self._frames(data, at) :]

    def _frames(self, data: bytes, at: int) -> int:
        """Hear every frame that is whole; where the rest begins."""
        end = len(data)
        while end - at >= 2:
            size, start = data[at + 1] & 0x7F, at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if start + size > end:
                break
            opcode = data[at] & 0x0F
            at = start + size
            if opcode == TEXT:
                self.heard(data[start:at])
            else:
                self._control(opcode, data[start:at])
        return at

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.pings += 1
            if self.answers_pings:
                self.send_raw(client_frame(payload, PONG))
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big") if payload else 1005
            if self.answers_close:
                self.send_raw(client_frame(payload[:2], CLOSE))
                assert self._transport is not None
                self._transport.close()


async def open_line(url: str, heard: Callable[[bytes], None], *, receive_buffer: int | None = None) -> Line:
    """Connect and shake hands. A small receive buffer makes a line that is soon full."""
    at = urlsplit(url)
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    line = Line(heard)
    try:
        await loop.sock_connect(raw, (at.hostname, at.port))
        await loop.create_connection(lambda: line, sock=raw)
    except BaseException:
        raw.close()
        raise
    key = base64.b64encode(os.urandom(16)).decode()
    path = f"{at.path}?{at.query}" if at.query else at.path
    words = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
    line.send_raw("\r\n".join((f"GET {path} HTTP/1.1", f"Host: {at.netloc}", *words, "", "")).encode())
    try:
        await line.opened
    except BaseException:
        line.vanish()
        raise
    return line
