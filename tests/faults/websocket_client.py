"""A WebSocket client on a plain asyncio transport: it can stop reading, leave pings and closes unanswered, or reset."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from tests.faults.raw_socket import CLOSE, PING, PONG, TEXT, frame, handshake

__all__ = ["WebSocketClient", "open_websocket"]


class WebSocketClient(asyncio.Protocol):
    """One connection. `on_text` is called with each text message; `code` is the close code (1006: none was received)."""

    def __init__(self, on_text: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.on_text = on_text
        self.code: int | None = None
        self.pings = 0
        self.answers_pings = True
        self.answers_close = True
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._rest = b""
        self._upgraded = False
        self._paused = False
        self._transport: asyncio.Transport | None = None

    # ---- for its owner

    def send(self, text: str) -> None:
        self.send_raw(frame(text.encode()))

    def send_raw(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def stop_reading(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def read_bytes(self, most: int) -> int:
        """Reads up to this many bytes while reading is stopped; returns how many there were."""
        assert self._paused
        assert self._transport is not None
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as raw:
            try:
                data = raw.recv(most, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return 0
        if data:
            self.data_received(data)
        return len(data)

    async def close(self, code: int = 1000) -> int:
        """Closes with the closing handshake; returns the code received."""
        self.send_raw(frame(code.to_bytes(2, "big"), CLOSE))
        self.resume_reading()
        return await asyncio.shield(self.ended)

    def reset(self) -> None:
        """Resets the connection."""
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
        if not self._upgraded:
            if (at := data.find(b"\r\n\r\n") + 4) == 3:
                self._rest = data
                return
            if self.opened.done():  # the client gave up waiting for the handshake
                self.reset()
                return
            if not data.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(ConnectionRefusedError(data.split(b"\r\n")[0].decode()))
                self.reset()
                return
            self._upgraded = True
            self.opened.set_result(None)
        self._rest = data[self._frames(data, at) :]

    def _frames(self, data: bytes, at: int) -> int:
        """Handles all complete frames; returns where the rest begins."""
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
                self.on_text(data[start:at])
            else:
                self._control(opcode, data[start:at])
        return at

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.pings += 1
            if self.answers_pings:
                self.send_raw(frame(payload, PONG))
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big") if payload else 1005
            if self.answers_close:
                self.send_raw(frame(payload[:2], CLOSE))
                assert self._transport is not None
                self._transport.close()


async def open_websocket(
    url: str, on_text: Callable[[bytes], None], *, receive_buffer: int | None = None
) -> WebSocketClient:
    """Connects and completes the handshake. With a small receive buffer, the connection soon exerts backpressure."""
    at = urlsplit(url)
    loop = asyncio.get_running_loop()
    raw = socket.socket(proto=socket.IPPROTO_TCP)  # without this, asyncio does not switch Nagle's algorithm off
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client = WebSocketClient(on_text)
    try:
        await loop.sock_connect(raw, (at.hostname, at.port))
        await loop.create_connection(lambda: client, sock=raw)
    except BaseException:
        raw.close()
        raise
    client.send_raw(handshake(url, {}))
    try:
        await client.opened
    except BaseException:
        client.reset()
        raise
    return client
