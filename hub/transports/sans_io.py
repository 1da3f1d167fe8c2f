"""What websockets' sans-I/O protocol needs beside it: a response to an unreadable handshake, and a release at its end.

Before its version 17, websockets closes a connection whose handshake can't be read without a response."""

from __future__ import annotations

from websockets.exceptions import SecurityError
from websockets.server import ServerProtocol

__all__ = ["answer_to", "release"]


def answer_to(unreadable: Exception) -> bytes:
    """The whole response; then the line is closed."""
    beyond_measure = isinstance(unreadable.__cause__, SecurityError)
    status = b"431 Request Header Fields Too Large" if beyond_measure else b"400 Bad Request"
    return b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status


def release(websocket: ServerProtocol) -> None:
    """Break the reference cycles of a protocol whose connection has ended: it can't be used any more.

    Its parser is a generator that refers to it, and so do the frames of what the parser raised. Left alone, each of them
    stays in memory until the next full garbage collection."""
    websocket.parser.close()
    for error in (websocket.parser_exc, websocket.handshake_exc):
        if error is not None:
            error.__traceback__ = None
