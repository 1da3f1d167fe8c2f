"""Text messages as WebSocket servers put them on the line (RFC 6455, 5.2): unmasked, unfragmented."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["text_frames"]


def text_frames(frames: Iterable[bytes]) -> bytes:
    """Many messages as one piece of bytes. The caller vouches that each is UTF-8."""
    pieces: list[bytes] = []
    for frame in frames:
        pieces.append(_header(len(frame)))
        pieces.append(frame)
    return b"".join(pieces)


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")
