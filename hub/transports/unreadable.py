"""What is said to a client whose handshake can't be read. Before its version 17, websockets just hangs up."""

from __future__ import annotations

from websockets.exceptions import SecurityError

__all__ = ["answer_to"]


def answer_to(unreadable: Exception) -> bytes:
    """The whole response; then the line is closed."""
    beyond_measure = isinstance(unreadable.__cause__, SecurityError)
    status = b"431 Request Header Fields Too Large" if beyond_measure else b"400 Bad Request"
    return b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status
