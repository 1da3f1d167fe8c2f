"""Sending at the client's pace: an outlet whose transport takes frames when it can write, and a streamed response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.core.connections import WaterMarks
from hub.wire.server_frames import ServerFrame

__all__ = ["WRITES_AT_ONCE", "ControlFrame", "Item", "PullOutlet", "StreamedResponse"]

WRITES_AT_ONCE: Final = "plancast.writes_at_once"
"""The ASGI extension of the hub's own server: a function for `PullOutlet.at_once`. It bypasses all layers of the
application, so none of them may change bodies."""
CLOSING_SECONDS: Final = 5.0
"""How long a client may take to read what is left."""


class ControlFrame(NamedTuple):
    """A frame other than an event or a snapshot, as it was made and as it is sent."""

    frame: ServerFrame
    encoded: bytes


Item = Burst | ControlFrame | bytes
"""What waits in an outlet: events, a control frame, or a frame that was encoded before, such as a snapshot."""


class PullOutlet:
    """A bounded buffer for one client. Its transport calls `take` until that returns nothing, then closes with
    `ending`."""

    def __init__(self, waters: WaterMarks) -> None:
        self.connection: Connection | None = None
        """Set by the transport before the connection begins."""
        self.full = False
        self.ending: tuple[int, str] | None = None
        """Close code and reason, once the outlet is closed."""
        self.ended = asyncio.Event()
        self.at_once: Callable[[bytes], bool] | None = None
        """Writes to the client without waking the transport, and returns False if the client does not read fast enough."""
        self._waters = waters
        self._waiting: list[Item] = []
        self._size = 0
        self._taken = 0
        self._changed = asyncio.Event()
        self._idle = False
        """The transport has sent all that it took."""

    def deliver(self, burst: Burst) -> None:
        self._put(burst, burst.size)

    def send(self, frame: ServerFrame) -> None:
        encoded = frame.encode()
        self._put(ControlFrame(frame, encoded), len(encoded))

    def write(self, frame: bytes) -> None:
        idle = self._idle and not self._waiting and self.ending is None
        if not (idle and self.at_once is not None and self.at_once(frame)):
            self._put(frame, len(frame))

    def unread(self) -> int:
        return self._size + self._taken

    def close(self, code: int, reason: str) -> None:
        if self.ending is None:
            self.ending = code, reason
            self._changed.set()
            self.ended.set()

    async def take(self) -> Sequence[Item]:
        """Returns what waits, as soon as something does; nothing, once the outlet is closed and empty.

        Call it again only when everything taken before has been sent."""
        self._taken = 0
        if self.full and self._size <= self._waters.low:
            self.full = False
            if self.connection is not None and self.ending is None:
                self.connection.drained()
        while not self._waiting and self.ending is None:
            self._changed.clear()
            self._idle = True
            try:
                await self._changed.wait()
            finally:
                self._idle = False
        waiting, self._waiting = self._waiting, []
        self._taken, self._size = self._size, 0
        return waiting

    def _put(self, item: Item, size: int) -> None:
        if self.ending is not None:
            return
        self._waiting.append(item)
        self._size += size
        self._changed.set()
        if not self.full and self._size > self._waters.high:
            self.full = True
            if self.connection is not None:
                self.connection.filled()


class StreamedResponse(Response):
    """Sends what `content` yields until it ends, until the client disconnects, or until the client reads nothing more
    although `ended` is set. Then closes `content` and calls `left`, in any case, even if nothing was sent.

    With `outlet`, `content` yields what that outlet has, unchanged; where the server allows it, the outlet then writes to
    the connection at once, while `content` has nothing to yield."""

    def __init__(
        self,
        content: AsyncGenerator[bytes],
        headers: Mapping[str, str],
        ended: asyncio.Event,
        left: Callable[[], None] = lambda: None,
        outlet: PullOutlet | None = None,
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._content = content
        self._ended = ended
        self._left = left
        self._outlet = outlet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        at_once: Callable[[bytes], bool] | None = scope.get("extensions", {}).get(WRITES_AT_ONCE)
        sending = asyncio.ensure_future(self._send(send, at_once))
        leaving = [asyncio.ensure_future(_disconnected(receive)), asyncio.ensure_future(self._ended.wait())]
        try:
            await asyncio.wait({sending, *leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not leaving[0].done():
                await asyncio.wait({sending, leaving[0]}, timeout=CLOSING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, *leaving):
                task.cancel()
            results = await asyncio.gather(sending, *leaving, return_exceptions=True)
            await self._content.aclose()
            self._left()
        if isinstance(results[0], Exception):
            raise results[0]

    async def _send(self, send: Send, at_once: Callable[[bytes], bool] | None) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._outlet is not None:
            self._outlet.at_once = at_once
        with suppress(OSError):  # how servers report a disconnected client since ASGI 2.4
            async for piece in self._content:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
