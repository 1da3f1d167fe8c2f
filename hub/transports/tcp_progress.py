"""How much of what was written to a client its side has taken, by the kernel's word.

A write buffer says only half of it: a good part of what a slow client has yet to read waits in the kernel, and a ping
waits behind it. Looked at for suspects only; it costs a system call.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Final, NamedTuple

__all__ = ["Uptake", "uptake_of"]

# Of Linux's struct tcp_info: tcpi_unacked (segments), tcpi_bytes_acked, tcpi_notsent_bytes.
_UNACKED: Final = struct.Struct("=24xI")
_BYTES_ACKED: Final = struct.Struct("=120xQ")
_NOT_SENT: Final = struct.Struct("=144xI")
_SIZE: Final = 148


class Uptake(NamedTuple):
    """`taken` has no meaning by itself; when it changes, something was taken."""

    waiting: bool
    taken: int


def uptake_of(transport: asyncio.Transport) -> Uptake:
    """As things stand now. Where the kernel can't be asked, what waits in this process must do."""
    buffered = transport.get_write_buffer_size()
    asked = transport.get_extra_info("socket")
    if sys.platform == "linux" and asked is not None:
        try:
            info = asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
        except OSError:
            return Uptake(buffered > 0, -buffered)
        if len(info) == _SIZE:
            [unacked], [acked], [not_sent] = (field.unpack_from(info) for field in (_UNACKED, _BYTES_ACKED, _NOT_SENT))
            return Uptake(buffered + unacked + not_sent > 0, acked)
    return Uptake(buffered > 0, -buffered)
