"""What the ring no longer holds: pages of a plan's log, and the folded plan, read once for all who want the same.

What is read here shows the log as it was then. Whoever hands it on compares it with what the channel knows.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from broadcasters.checkpointing import snapshot_of
from broadcasters.event_bytes import may_append
from broadcasters.log.contract import Head, Page, PlanLog
from broadcasters.snapshot import Snapshot, encode
from hub.access.shared_call import SharedCall
from hub.core.burst import Burst
from hub.core.composer import Composed, Composer
from hub.wire.frames import event_frame, event_prefix, merged_frame, snapshot_frame

__all__ = [
    "Folded",
    "History",
    "Merged",
    "Passage",
    "merge",
]


class Merged(NamedTuple):
    """A payload that stands for the offsets `first` to `last`."""

    first: int
    last: int
    payload: bytes


def merge(first: int, payloads: Sequence[bytes]) -> list[Merged]:
    """The same story in fewer payloads. A merged part has the first part's time and the last part's id."""
    merged: list[Merged] = []
    run: list[dict[str, Any]] = []
    for offset, payload in enumerate(payloads, first):
        part = _part(payload)
        if part is not None and run and _same_message(run[0], part):
            run.append(part)
            merged[-1] = Merged(merged[-1].first, offset, merged[-1].payload)
            continue
        _close(merged, run)
        run = [] if part is None else [part]
        merged.append(Merged(offset, offset, payload))
    _close(merged, run)
    return merged


def _part(payload: bytes) -> dict[str, Any] | None:
    """The event, if it is a part of a streamed message and no more than that."""
    if not may_append(payload):
        return None
    try:
        event: dict[str, Any] = json.loads(payload)
        data = event["data"]
        plain = data.get("append") is True and not data.get("final") and "error" not in data and "data" not in data
        return event if plain and isinstance(data["message_id"], str) and isinstance(data["content"], str) else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None  # whoever said this, it stands in the log, and its readers get it as it is


def _same_message(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = ("message_id", "agent_name", "message_type", "step_id")
    return all(one["data"].get(field) == other["data"].get(field) for field in same)


def _close(merged: list[Merged], run: list[dict[str, Any]]) -> None:
    if len(run) < 2:
        return
    content = "".join(part["data"]["content"] for part in run)
    event = run[-1] | {"data": run[0]["data"] | {"content": content}}
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    merged[-1] = Merged(merged[-1].first, merged[-1].last, payload)


PAGES_KEPT: Final = 4
PAGE_EVENTS: Final = 512


class Passage(NamedTuple):
    """Events that follow an offset, and where the log stood when they were read. None: they were trimmed."""

    head: Head
    burst: Burst | None


class Folded(NamedTuple):
    """A snapshot frame, and the head it was folded up to. All messages under way there began after `reach`."""

    head: Head
    frame: bytes
    reach: int


class History:
    """Reads of one plan's log. Keeps the last few, because readers who lag often lag together: at most four pages'
    bytes of them, and one snapshot."""

    def __init__(self, plan_id: str, log: PlanLog, page_bytes: int) -> None:
        self._plan_id = plan_id
        self._log = log
        self._page_bytes = page_bytes
        self._reads: SharedCall[tuple[int, bool], Passage] = SharedCall()
        self._kept: OrderedDict[tuple[int, bool], Passage] = OrderedDict()
        self._compositions: SharedCall[tuple[int, int], tuple[Head, Composed | None]] = SharedCall()
        self._folds: SharedCall[None, Folded] = SharedCall()
        self._folded: Folded | None = None

    async def after(self, offset: int, upto: int, *, merged: bool) -> Passage:
        """Events that follow `offset`, none of them after `upto` (which never falls while the story goes on)."""
        key = (offset, merged)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return await self._reads.ask(key, lambda: self._read(offset, upto, merged=merged))

    async def composed(self, offset: int, reach: int, upto: int) -> tuple[Head, Composed | None]:
        """The same with whole messages; those withheld at `offset` began after `reach`."""
        return await self._compositions.ask((offset, reach), lambda: self._compose(offset, reach, upto))

    async def snapshot(self, reach: int) -> Folded:
        """The folded plan; one that was folded before does when it stands at `reach` or later."""
        if self._folded is not None and self._folded.head.offset >= reach:
            return self._folded
        return await self._folds.ask(None, self._fold)

    def forget(self) -> None:
        """What was read is worth nothing any more."""
        self._kept.clear()
        self._folded = None

    async def close(self) -> None:
        """End what is under way."""
        self.forget()
        await self._reads.close()
        await self._compositions.close()
        await self._folds.close()

    async def _read(self, after: int, upto: int, *, merged: bool) -> Passage:
        limit, size = (PAGE_EVENTS * 4, self._page_bytes * 4) if merged else (PAGE_EVENTS, self._page_bytes)
        page = await self._log.read(self._plan_id, after, min(limit, upto - after), size)
        if page.first != after + 1:
            return Passage(page.head, None)
        if merged:
            prefix = event_prefix(self._plan_id, page.head.lineage.epoch)
            frames = [merged_frame(prefix, *part) for part in merge(page.first, page.payloads)]
        else:
            frames = self._frames(page)
        burst = Burst(frames, page.first, after + len(page.payloads))
        passage = self._kept[after, merged] = Passage(page.head, burst)
        self._bound()
        return passage

    async def _compose(self, after: int, reach: int, upto: int) -> tuple[Head, Composed | None]:
        composer, frames, lineage = Composer(reach), list[bytes](), None
        while True:
            page = await self._log.read(self._plan_id, composer.at, max(1, min(PAGE_EVENTS * 4, upto - composer.at)))
            if page.first > after + 1:
                return page.head, None
            if lineage not in (None, page.head.lineage):  # what was read before may not be in this story
                composer, frames, lineage = Composer(reach), [], None
                continue
            lineage = page.head.lineage
            if page.first > composer.at + 1:  # trimmed: what is left of the messages has to do
                composer = Composer(page.first - 1)
            for ready in composer.take(self._frames(page)):
                frames += ready.behind(after)
            if not page.payloads or composer.at >= upto or sum(map(len, frames)) >= self._page_bytes:
                return page.head, Composed(Burst(frames, after + 1, composer.at), composer.reach, composer)

    def _frames(self, page: Page) -> list[bytes]:
        prefix = event_prefix(self._plan_id, page.head.lineage.epoch)
        return [event_frame(prefix, at, payload) for at, payload in enumerate(page.payloads, page.first)]

    def _bound(self) -> None:
        while len(self._kept) > PAGES_KEPT or self._kept_bytes > self._page_bytes * 4:
            self._kept.popitem(last=False)

    @property
    def _kept_bytes(self) -> int:
        return sum(passage.burst.size for passage in self._kept.values() if passage.burst)

    async def _fold(self) -> Folded:
        snapshot, head = await snapshot_of(self._log, self._plan_id)
        frame = snapshot_frame(self._plan_id, head.position, encode(snapshot))
        self._folded = Folded(head, frame, _reach(snapshot))
        return self._folded


def _reach(snapshot: Snapshot) -> int:
    """Behind which offset all messages began that are under way. To the fold, none is in a plan that has ended."""
    begun = [message.offset - 1 for message in snapshot.messages if message.streaming]
    if snapshot.ended_at is not None:
        begun.append(max(0, snapshot.offset - PAGE_EVENTS))
    return min(begun, default=snapshot.offset)
