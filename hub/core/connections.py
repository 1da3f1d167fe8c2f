"""All connections of this process: their timers, their share of memory, and draining."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from itertools import islice
from typing import Final

from broadcasters.supervision import Supervisor
from hub.config.limits import Limits, water_marks
from hub.core.connection import Connection
from hub.core.counts import HubCounts

__all__ = ["Connections", "WaterMarks"]

log = logging.getLogger(__name__)

BEAT: Final = 1.0
TICKS_AT_ONCE: Final = 500
"""Connections that are ticked before other tasks get their turn."""


class WaterMarks:
    """The water marks of all outlets of a process. They are lower the more connections there are.

    This bounds what waits for slow clients without adding it up: connections x (`high` + one burst) is never more than
    `Limits.written_total`, until there are so many connections that the least mark for each is more. A snapshot is not
    counted: it is handed to any client with room, regardless of its size.
    """

    __slots__ = ("_limits", "high", "low")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.share(1)

    def share(self, connections: int) -> None:
        """Set the marks for this many open connections. Call it whenever the number changes."""
        self.high, self.low = water_marks(self._limits, connections)


class Connections:
    """The open connections of a process. `start` it before the first one enters."""

    def __init__(self, counts: HubCounts, slow_seconds: float) -> None:
        self.draining = False
        self._connections: dict[Connection, str] = {}
        self._counts = counts
        self._slow_seconds = slow_seconds
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._connections)

    def enter(self, connection: Connection, transport: str) -> None:
        self._connections[connection] = transport
        self._counts.connections[transport] += 1
        self._counts.connections_total[transport] += 1
        self._empty.clear()

    def leave(self, connection: Connection) -> None:
        """Remove a connection whose transport is closed. Does nothing when it left before."""
        transport = self._connections.pop(connection, None)
        if transport is not None:
            self._counts.connections[transport] -= 1
            connection.lost()
        if not self._connections:
            self._empty.set()

    def start(self, supervisor: Supervisor) -> None:
        """Tick every connection until the supervisor closes."""
        supervisor.repeat("connection timers", self._tick_all, every=BEAT)

    async def _tick_all(self) -> None:
        connections = iter(list(self._connections))
        while some := list(islice(connections, TICKS_AT_ONCE)):
            now = time.time()
            for connection in some:
                self._tick(connection, now)
            await asyncio.sleep(0)

    async def drain(self, window: float, patience: float) -> None:
        """Ask every client to reconnect at a random moment within `window` seconds; wait until all have left, or for
        `patience` seconds."""
        self.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while self._connections:
            for connection in list(self._connections):  # again on each beat: some may have entered meanwhile
                self._send_away(connection, round(random.uniform(0, window) * 1000))
            if (left := deadline - loop.time()) <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(BEAT, left)):
                    await self._empty.wait()

    def _send_away(self, connection: Connection, reconnect_after_ms: int) -> None:
        try:
            connection.go_away(reconnect_after_ms)
        except Exception as error:  # the others must be sent away all the same
            log.error("connection %s: %s", connection.session.connection_id, error, exc_info=error)

    def _tick(self, connection: Connection, now: float) -> None:
        if connection not in self._connections:
            return
        try:
            connection.tick(now, self._slow_seconds)
        except Exception as error:  # the others must be ticked all the same
            log.error("connection %s: %s", connection.session.connection_id, error, exc_info=error)
