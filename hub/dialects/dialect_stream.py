"""A dialect over HTTP: a plan told to a client that only listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from fastapi import Request

from hub.access.principal import Principal
from hub.core.burst import Burst
from hub.dialects.dialect import Say, Speaker
from hub.dialects.interpreter import Encode, Interpreter, as_text
from hub.node import Hub
from hub.transports.pull_outlet import Line
from hub.transports.visitors import visitor_of

__all__ = ["KEEP_ALIVE", "Recital", "as_message"]

KEEP_ALIVE_SECONDS: Final = 15.0
KEEP_ALIVE: Final = b": still here\n\n"


def as_message(said: Say) -> bytes:
    """A message of an event stream; its place is its id, by which a browser that lost the line asks to go on."""
    place = b"id: %b:%d\n" % (said.place.epoch.encode(), said.place.offset) if said.place else b""
    return b"%bdata: %b\n\n" % (place, as_text(said))


class Recital:
    """What a speaker says, to whoever made the request. Counted as a connection; `Refused` when there is no room.

    Hand `told()`, `line.ended` and `leave` to an `Outflow`, or read `told()` to its end and close it.
    """

    def __init__(
        self, hub: Hub, request: Request, principal: Principal, speaker: Speaker, encode: Encode = as_text
    ) -> None:
        self.line = Line(hub.door.waters)
        self._door = hub.door
        self._admission = hub.door.receive(visitor_of(request), principal)
        self._interpreter = Interpreter(hub, self.line, speaker, encode)
        self._connection = hub.door.connect(self._interpreter, self._admission, "sse")
        self.line.connection = self._interpreter.connection = self._connection
        self._here = True

    async def told(self) -> AsyncGenerator[bytes]:
        """What is said, and `KEEP_ALIVE` now and then when nothing is."""
        try:
            self._door.begin(self._connection)
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        waiting = await self.line.take()
                except TimeoutError:
                    yield KEEP_ALIVE
                    continue
                if not waiting:
                    return
                for item in waiting:
                    if not isinstance(item, Burst):
                        yield item
        finally:
            self.leave()
            await self._interpreter.finish()

    def leave(self) -> None:
        """The client has gone."""
        if self._here:
            self._here = False
            self._door.leave(self._connection, self._admission)
