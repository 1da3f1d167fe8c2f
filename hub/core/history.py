"""What the ring no longer holds: pages of a plan's log, read once for all who want the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from broadcasters.log.contract import PlanLog
from hub.core.burst import Burst
from hub.core.merging import merge
from hub.core.shared_call import SharedCall
from hub.wire.frames import event_frame, merged_frame

__all__ = ["History"]

PAGES_KEPT: Final = 4
PAGE_EVENTS: Final = 512


class History:
    """Reads of one plan's log as bursts. Keeps the last few, because readers who lag often lag together."""

    def __init__(self, plan_id: str, log: PlanLog, page_bytes: int) -> None:
        self._plan_id = plan_id
        self._log = log
        self._page_bytes = page_bytes
        self._reads: SharedCall[tuple[int, bool], Burst | None] = SharedCall()
        self._kept: OrderedDict[tuple[int, bool], Burst] = OrderedDict()

    async def burst(self, after: int, prefix: bytes, *, merged: bool) -> Burst | None:
        """The events that follow `after`, at least one if there is one; None when they were trimmed."""
        key = (after, merged)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return await self._reads.ask(key, lambda: self._read(after, prefix, merged=merged))

    def forget(self) -> None:
        """What was read is worth nothing any more."""
        self._kept.clear()
        self._reads.cancel()

    async def _read(self, after: int, prefix: bytes, *, merged: bool) -> Burst | None:
        limit, size = (PAGE_EVENTS * 4, self._page_bytes * 4) if merged else (PAGE_EVENTS, self._page_bytes)
        page = await self._log.read(self._plan_id, after, limit, size)
        if page.first != after + 1:
            return None
        last = after + len(page.payloads)
        if merged:
            frames = [merged_frame(prefix, *part) for part in merge(page.first, page.payloads)]
        else:
            frames = [event_frame(prefix, at, payload) for at, payload in enumerate(page.payloads, page.first)]
        burst = Burst(frames, page.first, last)
        if frames and burst.size < self._page_bytes * 4:
            self._kept[(after, merged)] = burst
            if len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)
        return burst
