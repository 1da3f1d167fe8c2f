"""What many readers were told, held against what the log holds.

Readers check order by themselves, at once (readers.py). Here it is remembered, once for all of them, what stood at each
place; and offline every word of it is compared with the log, and with what the talkers were acknowledged.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from broadcasters.events import parse
from broadcasters.fold import fold
from broadcasters.log.contract import Head, PlanLog
from broadcasters.position import Lineage, Position
from broadcasters.snapshot import Snapshot, decode, empty, encode

__all__ = ["Acknowledged", "Chronicle", "Tally", "Told", "Witness", "acknowledged_in", "told_of"]

_event = re.compile(
    rb'\{"type":"(\w+)","plan_id":"([^"]+)","epoch":"([^"]*)","offset":(\d+),(?:"first":(\d+),)?"id":"([^"]*)","data":'
)
_content = re.compile(rb'"content":"((?:[^"\\]|\\.)*)"')


class Told(NamedTuple):
    """One event as a client is told it."""

    plan_id: str
    epoch: str
    first: int
    offset: int
    id: bytes
    content: bytes


def told_of(frame: bytes) -> Told | None:
    """The event that the frame is; None when it is something else. (Read without a JSON parser: there are many.)"""
    found = _event.match(frame)
    if found is None:
        return None
    kind, plan_id, epoch, last, first, id_ = found.groups()
    if kind == b"snapshot":
        return None
    content = _content.search(frame, found.end())
    offset = int(last)
    told = content[1] if content else b""
    return Told(plan_id.decode(), epoch.decode(), int(first) if first else offset, offset, id_, told)


class Acknowledged(NamedTuple):
    """What a talker was acknowledged: this text stands there."""

    plan_id: str
    epoch: str
    offset: int
    text: str


def acknowledged_in(path: Path) -> list[Acknowledged]:
    """The acknowledgements that a talker wrote down."""
    lines = [line.split(" ", 3) for line in path.read_text().splitlines()]
    return [Acknowledged(plan_id, epoch, int(offset), text) for plan_id, epoch, offset, text in lines]


@dataclass
class Tally:
    """How much there was to check."""

    stored: int = 0
    acknowledged: int = 0
    deliveries: int = 0
    places: int = 0
    merged: int = 0
    snapshots: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {number:,}" for name, number in vars(self).items())


@dataclass
class _Plan:
    """What was told of one plan: at each place of each epoch, the id and the content."""

    seen: dict[tuple[str, int], tuple[bytes, bytes]] = field(default_factory=dict)
    merged: dict[tuple[str, int, int], tuple[bytes, bytes]] = field(default_factory=dict)
    snapshots: dict[tuple[str, int], bytes] = field(default_factory=dict)


class Witness(Protocol):
    """Whoever tells a chronicle what it heard."""

    async def vanish(self) -> None:
        """Let go of everything. Harmless when that was done before."""


class Chronicle:
    """Shared by the readers of one test, and left when they are done. `problems` are sentences; there should be none."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.deliveries = 0
        self.witnesses: list[Witness] = []
        self._plans: defaultdict[str, _Plan] = defaultdict(_Plan)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for witness in self.witnesses:
            await witness.vanish()

    def heard(self, told: Told) -> None:
        self.deliveries += 1
        plan, said = self._plans[told.plan_id], (told.id, told.content)
        if told.first == told.offset:
            known = plan.seen.setdefault((told.epoch, told.offset), said)
        else:
            known = plan.merged.setdefault((told.epoch, told.first, told.offset), said)
        if known != said:
            self.problems.append(f"{told.plan_id} {told.epoch}:{told.offset} was told as {known} and as {said}")

    def snapshot(self, plan_id: str, place: Position, data: bytes) -> None:
        known = self._plans[plan_id].snapshots.setdefault((place.epoch, place.offset), data)
        if known != data:
            self.problems.append(f"{plan_id} has two different snapshots at {place}")

    # ---- offline

    async def verify(self, log: PlanLog, *talkers: Path) -> Tally:
        """Acknowledged is a part of the log; what was told is what the log says, place by place."""
        acked = [one for path in talkers for one in acknowledged_in(path)]
        tally = Tally(acknowledged=len(acked), deliveries=self.deliveries)
        for plan_id in sorted({one.plan_id for one in acked} | self._plans.keys()):
            story = await _Story.read(log, plan_id)
            story.add([one for one in acked if one.plan_id == plan_id], self.problems)
            self._compare(plan_id, story, tally)
        assert self.problems == [], self.problems[:10]
        return tally

    def _compare(self, plan_id: str, story: _Story, tally: Tally) -> None:
        plan = self._plans[plan_id]
        tally.stored += story.head.offset
        tally.places += len(plan.seen)
        tally.merged += len(plan.merged)
        tally.snapshots += len(plan.snapshots)
        for (epoch, offset), said in plan.seen.items():
            if story.has(epoch, offset) and not story.agrees(offset, *said):
                self._wrong(f"{plan_id} {epoch}:{offset} was told as {said}, and stands as {story.at(offset)}")
        for (epoch, first, last), (id_, content) in plan.merged.items():
            if story.has(epoch, last) and not story.agrees_joined(first, last, id_, content):
                self._wrong(f"{plan_id} {epoch}:{first}-{last} was told as {id_!r} {content!r:.200}")
        for place in story.wrong_snapshots(plan.snapshots):
            self._wrong(f"{plan_id}: the snapshot at {place} is not the fold of what stands before it")

    def _wrong(self, problem: str) -> None:
        self.problems.append(problem)


class _Story:
    """One plan as it was stored: what the log still holds, and what was acknowledged of the rest."""

    def __init__(self, plan_id: str, head: Head, base: Snapshot | None, first: int, payloads: Sequence[bytes]) -> None:
        self.plan_id = plan_id
        self.head = head
        self._base = base
        self._first = first
        self._payloads = payloads
        self._ids: dict[int, bytes] = {}
        self._texts: dict[int, bytes] = {}
        for offset, payload in enumerate(payloads, first):
            event = json.loads(payload)
            self._ids[offset] = event["id"].encode()
            self._texts[offset] = _content_of(event["data"])
        assert len(set(self._ids.values())) == len(self._ids), f"{plan_id}: an event stands twice"

    @classmethod
    async def read(cls, log: PlanLog, plan_id: str) -> _Story:
        """All that the log holds; it must be neighbours, up to the head."""
        checkpoint = await log.checkpoint(plan_id)
        page = await log.read(plan_id, 0)
        first, payloads = page.first, list(page.payloads)
        assert first == page.head.floor + 1
        while (after := first + len(payloads) - 1) < page.head.offset:
            page = await log.read(plan_id, after)
            assert page.first == after + 1, f"{plan_id}: a hole after {after}"
            assert page.payloads, f"{plan_id}: nothing after {after}"
            payloads += page.payloads
        return cls(plan_id, page.head, decode(checkpoint.snapshot) if checkpoint else None, first, payloads)

    def add(self, acked: Iterable[Acknowledged], problems: list[str]) -> None:
        """Acknowledged is stored: where the log still reaches it must say so, and nothing stands at two places."""
        places: dict[str, int] = {}
        for one in acked:
            text = one.text.encode()
            if self._texts.setdefault(one.offset, text) != text:
                problems.append(f"{one} was acknowledged, and there stands {self._texts[one.offset]!r}")
            if places.setdefault(one.text, one.offset) != one.offset or one.offset > self.head.offset:
                problems.append(f"{one} was acknowledged, and at {places[one.text]} as well (head {self.head.offset})")

    @property
    def lineage(self) -> Lineage:
        return self.head.lineage

    def has(self, epoch: str, offset: int) -> bool:
        """Is this place in the history that survived?"""
        return self.lineage.continuity(Position(epoch, offset), self.head.offset, 0) == "ok"

    def at(self, offset: int) -> tuple[bytes | None, bytes | None]:
        return self._ids.get(offset), self._texts.get(offset)

    def agrees(self, offset: int, id_: bytes, text: bytes) -> bool:
        return self._ids.get(offset, id_) == id_ and self._texts.get(offset, text) == text

    def agrees_joined(self, first: int, last: int, id_: bytes, text: bytes) -> bool:
        parts = [self._texts.get(offset) for offset in range(first, last + 1)]
        whole = None if None in parts else b"".join(part for part in parts if part is not None)
        return self._ids.get(last, id_) == id_ and whole in (None, text)

    def wrong_snapshots(self, told: Mapping[tuple[str, int], bytes]) -> list[Position]:
        """Fold the log once, and look at each place of which a snapshot was told.

        Where its beginning was trimmed, from the checkpoint on; one told before that must at least know its offset."""
        snapshot = empty(self.plan_id) if self._first == 1 else self._base
        assert snapshot is not None, f"{self.plan_id} was trimmed without a checkpoint"
        wrong: list[Position] = []
        for (epoch, offset), data in sorted(told.items(), key=lambda one: one[0][1]):
            if not self.has(epoch, offset):
                continue
            said = json.loads(data)
            if offset >= snapshot.offset:
                between = self._payloads[snapshot.offset + 1 - self._first : offset + 1 - self._first]
                snapshot = fold(snapshot, snapshot.offset + 1, [parse(payload) for payload in between])
                if said != json.loads(encode(snapshot)):
                    wrong.append(Position(epoch, offset))
            elif said["offset"] != offset:
                wrong.append(Position(epoch, offset))
        return wrong


def _content_of(data: Mapping[str, Any]) -> bytes:
    """A content as it stands between its quotes in JSON."""
    return json.dumps(data.get("content", ""), ensure_ascii=False)[1:-1].encode()
