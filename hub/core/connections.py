"""All connections of this process: who is here, what time does to them, and sending them away."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from itertools import islice
from typing import Final

from broadcasters.supervision import Supervisor
from hub.core.connection import Connection
from hub.core.counts import HubCounts

__all__ = ["Roster"]

log = logging.getLogger(__name__)

BEAT: Final = 1.0
TICKS_AT_ONCE: Final = 500
"""So many connections are looked at before others get their turn."""


class Roster:
    """`start` it before anybody enters."""

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
        """The line is gone. Harmless when it left before."""
        transport = self._connections.pop(connection, None)
        if transport is not None:
            self._counts.connections[transport] -= 1
            connection.lost()
        if not self._connections:
            self._empty.set()

    def start(self, supervisor: Supervisor) -> None:
        """Let time pass for every connection until the supervisor closes."""
        supervisor.repeat("time of connections", self._tick_all, every=BEAT)

    async def _tick_all(self) -> None:
        everyone = iter(list(self._connections))
        while some := list(islice(everyone, TICKS_AT_ONCE)):
            now = time.time()
            for connection in some:
                self._tick(connection, now)
            await asyncio.sleep(0)

    async def drain(self, window: float, patience: float) -> None:
        """Send everybody away, each to come back at a moment of its own within the window; wait until they left."""
        self.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while self._connections:
            for connection in list(self._connections):  # again on each beat: some were still coming in
                self._send_away(connection, round(random.uniform(0, window) * 1000))
            if (left := deadline - loop.time()) <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(BEAT, left)):
                    await self._empty.wait()

    def _send_away(self, connection: Connection, reconnect_after_ms: int) -> None:
        try:
            connection.go_away(reconnect_after_ms)
        except Exception as error:  # the others are sent away all the same
            log.error("connection %s: %s", connection.session.connection_id, error, exc_info=error)

    def _tick(self, connection: Connection, now: float) -> None:
        if connection not in self._connections:
            return
        try:
            connection.tick(now, self._slow_seconds)
        except Exception as error:  # the others have their time, too
            log.error("connection %s: %s", connection.session.connection_id, error, exc_info=error)
