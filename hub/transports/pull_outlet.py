"""An outlet for transports that pull: what a client is to get waits here, bounded, until its transport takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.core.connections import WaterMarks

__all__ = ["Line"]


class Line:
    """One client's line. Its transport calls `take` until that gives nothing more, then closes with `ending`."""

    def __init__(self, waters: WaterMarks) -> None:
        self.connection: Connection | None = None
        """Set by the transport, before the connection begins."""
        self.full = False
        self.ending: tuple[int, str] | None = None
        """Why the line ends: close code and reason."""
        self._waters = waters
        self._waiting: list[Burst | bytes] = []
        self._size = 0
        self._taken = 0
        self._something = asyncio.Event()
        self.ended = asyncio.Event()

    def deliver(self, burst: Burst) -> None:
        self._put(burst, burst.size)

    def write(self, frame: bytes) -> None:
        self._put(frame, len(frame))

    def unread(self) -> int:
        return self._size + self._taken

    def close(self, code: int, reason: str) -> None:
        if self.ending is None:
            self.ending = code, reason
            self._something.set()
            self.ended.set()

    async def take(self) -> Sequence[Burst | bytes]:
        """What waits, as soon as something does. Nothing: the line has ended.

        To ask again is to say that everything taken before has been sent."""
        self._taken = 0
        if self.full and self._size <= self._waters.low:
            self.full = False
            if self.connection is not None and self.ending is None:
                self.connection.drained()
        while not self._waiting and self.ending is None:
            self._something.clear()
            await self._something.wait()
        waiting, self._waiting = self._waiting, []
        self._taken, self._size = self._size, 0
        return waiting

    def _put(self, item: Burst | bytes, size: int) -> None:
        if self.ending is not None:
            return
        self._waiting.append(item)
        self._size += size
        self._something.set()
        if not self.full and self._size > self._waters.high:
            self.full = True
            if self.connection is not None:
                self.connection.filled()
