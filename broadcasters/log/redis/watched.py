"""A plan that is watched: its live channel, and who wants to hear of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Watch, Watcher
from broadcasters.log.redis.link import retrieved

__all__ = ["Hold", "WatchedPlan"]

_logger = logging.getLogger("plancast.log")


class Hold(Watch):
    """A watcher's hold on a plan."""

    def __init__(self, plan: WatchedPlan, watcher: Watcher) -> None:
        self.plan = plan
        self.watcher = watcher
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self.plan.release(self)


class WatchedPlan:
    """Either it stands (its channel is acknowledged somewhere), or whoever came meanwhile waits until it does.

    `deserted` is called when nobody holds it any more.
    """

    __slots__ = ("_deserted", "_epoch", "_holds", "_waiting", "channel", "key", "standing")

    def __init__(self, key: str, deserted: Callable[[WatchedPlan], None]) -> None:
        self.key = key
        self.channel = key.encode()
        self.standing = False
        self._deserted = deserted
        self._holds: tuple[Hold, ...] = ()
        self._waiting: list[Hold] = []
        self._epoch = (b"", "")

    @property
    def held(self) -> bool:
        return bool(self._holds or self._waiting)

    def take(self, watcher: Watcher) -> Hold:
        hold = Hold(self, watcher)
        if self.standing:
            self._holds = (*self._holds, hold)
            hold.stands.set_result(None)
        else:
            self._waiting.append(hold)
        return hold

    def release(self, hold: Hold) -> None:
        if hold in self._waiting:
            self._waiting.remove(hold)
        elif hold in self._holds:
            self._holds = tuple(other for other in self._holds if other is not hold)
        else:
            return
        if not self.held:
            self._deserted(self)

    # ---- what becomes of the channel

    def stand(self) -> None:
        """The channel is acknowledged."""
        if self.standing:
            return
        self.standing = True
        back, self._holds, self._waiting = self._holds, (*self._holds, *self._waiting), []
        for hold in back:
            self._tell(hold.watcher.resumed)
        for hold in self._holds[len(back) :]:
            if not hold.stands.done():
                hold.stands.set_result(None)

    def fall(self, why: LogError) -> None:
        """The channel is not, or no longer, acknowledged. Whoever still waits for it is not kept waiting."""
        if self.standing:
            self.standing = False
            for hold in self._holds:
                self._tell(hold.watcher.lost)
        for hold in self._waiting:
            if not hold.stands.done():
                hold.stands.set_exception(why)
                retrieved(hold.stands)
        self._waiting.clear()

    def end(self) -> None:
        """The log is closed: nobody is told anything any more."""
        self._holds = ()
        self.standing = False
        self.fall(LogUnavailable("the log was closed"))

    def message(self, message: bytes) -> None:
        """`<epoch> <first offset> <how many>`, and in lines of their own the payloads; or `deleted`."""
        if message == b"deleted":
            for hold in self._holds:
                self._tell(hold.watcher.deleted)
            return
        try:
            epoch, offset, payloads = self._parsed(message)
        except ValueError:
            _logger.warning("not a message of ours on %s: %.60r", self.key, message)
            return
        for hold in self._holds:
            try:
                hold.watcher.arrived(epoch, offset, payloads)
            except Exception:
                _logger.exception("a watcher raised")

    def _parsed(self, message: bytes) -> tuple[str, int, list[bytes]]:
        header, _, body = message.partition(b"\n")
        raw, offset, count = header.split(b" ")
        payloads = [body] if count == b"1" else body.split(b"\n")
        if len(payloads) != int(count):
            raise ValueError
        if raw != self._epoch[0]:
            self._epoch = (raw, raw.decode())
        return self._epoch[1], int(offset), payloads

    def _tell(self, tell: Callable[[], Any]) -> None:
        try:
            tell()
        except Exception:
            _logger.exception("a watcher raised")
