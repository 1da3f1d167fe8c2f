"""A watched plan and its live channel in Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable

from broadcasters.log.watched import WatchedPlan

__all__ = ["RedisPlan"]

_logger = logging.getLogger("plancast.log")


class RedisPlan(WatchedPlan):
    """Stands while the subscription to its channel, named `key`, is acknowledged by a master."""

    __slots__ = ("_epoch", "channel", "key")

    def __init__(self, plan_id: str, key: str, deserted: Callable[[RedisPlan], None]) -> None:
        super().__init__(plan_id, deserted)
        self.key = key
        self.channel = key.encode()
        self._epoch = (b"", "")

    def message(self, message: bytes) -> None:
        """`<epoch> <first offset> <count>` and, on lines of their own, the payloads; or `deleted`."""
        if message == b"deleted":
            self.deleted()
            return
        try:
            epoch, first, payloads = self._parsed(message)
        except ValueError:
            _logger.warning("ignored a third-party message on %s: %.60r", self.key, message)
            return
        self.arrived(epoch, first, payloads)

    def _parsed(self, message: bytes) -> tuple[str, int, list[bytes]]:
        header, _, body = message.partition(b"\n")
        epoch, offset, count = header.split(b" ")
        payloads = [body] if count == b"1" else body.split(b"\n")
        if len(payloads) != int(count):
            raise ValueError
        if epoch != self._epoch[0]:
            self._epoch = (epoch, epoch.decode())
        return self._epoch[1], int(offset), payloads
