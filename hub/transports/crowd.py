"""How many lines of HTTP each address holds, whatever it does with them: a line is an open file, and there are only so
many. WebSockets are counted at the door instead, when they have become some."""

from __future__ import annotations

import logging
from typing import Final

from hub.core.counts import HubCounts
from hub.limits import ConnectionLimits
from hub.shares import ConnectionCounts, TooManyConnections
from hub.transports.visitors import Proxies

__all__ = ["Crowd"]

log = logging.getLogger(__name__)

LINES_PER_CONNECTION: Final = 2
"""A browser that watches a plan has another line or two, for a moment each."""


class Crowd:
    """All lines of a process before they are somebody's connection."""

    def __init__(self, limits: ConnectionLimits, proxies: Proxies, counts: HubCounts) -> None:
        most = limits.per_address * LINES_PER_CONNECTION
        self._lines = ConnectionCounts(ConnectionLimits(per_address=most, total=limits.total * LINES_PER_CONNECTION))
        self._proxies = proxies
        self._counts = counts

    def enter(self, address: str | None) -> str | None:
        """Count a line from this address; None when it holds too many. Give the answer to `leave`, exactly once.

        A proxy that is believed speaks for many, and counts in the total only."""
        try:
            return self._lines.enter(None if self._proxies.believed(address) else address)
        except TooManyConnections as full:
            self._counts.refused_connections[full.kind] += 1
            log.warning("a line was closed at once: %s", full, extra={"address": address})
            return None

    def leave(self, place: str) -> None:
        self._lines.leave(place)
