"""Recorder of the events that many clients receive, for comparison with the log and with acknowledged appends.

Clients check the order themselves, as events arrive (readers.py). The recorder stores once, for all clients, which event
was received at each position; `verify` compares all of them with the log.
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

__all__ = ["Acknowledged", "Delivery", "EventRecorder", "RecordedClient", "Tally", "acknowledged_in", "delivery_of"]

_event = re.compile(
    rb'\{"type":"(\w+)","plan_id":"([^"]+)","epoch":"([^"]*)","offset":(\d+),(?:"first":(\d+),)?"id":"([^"]*)","data":'
)
_content = re.compile(rb'"content":"((?:[^"\\]|\\.)*)"')


class Delivery(NamedTuple):
    """One event as a client received it."""

    plan_id: str
    epoch: str
    first: int
    offset: int
    id: bytes
    content: bytes


def delivery_of(frame: bytes) -> Delivery | None:
    """The event in this frame; None for other frames. Uses no JSON parser, because there are many frames."""
    found = _event.match(frame)
    if found is None:
        return None
    kind, plan_id, epoch, last, first, id_ = found.groups()
    if kind == b"snapshot":
        return None
    content = _content.search(frame, found.end())
    offset = int(last)
    text = content[1] if content else b""
    return Delivery(plan_id.decode(), epoch.decode(), int(first) if first else offset, offset, id_, text)


class Acknowledged(NamedTuple):
    """An append that a publisher got acknowledged: this text is stored at this position."""

    plan_id: str
    epoch: str
    offset: int
    text: str


def acknowledged_in(path: Path) -> list[Acknowledged]:
    """The acknowledgements in a publisher's file."""
    lines = [line.split(" ", 3) for line in path.read_text().splitlines()]
    return [Acknowledged(plan_id, epoch, int(offset), text) for plan_id, epoch, offset, text in lines]


@dataclass
class Tally:
    """How much `EventRecorder.verify` checked."""

    stored: int = 0
    acknowledged: int = 0
    deliveries: int = 0
    positions: int = 0
    merged: int = 0
    snapshots: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {number:,}" for name, number in vars(self).items())


@dataclass
class _ReceivedPlan:
    """What clients received of one plan: the id and the content at each position."""

    events: dict[tuple[str, int], tuple[bytes, bytes]] = field(default_factory=dict)
    merged: dict[tuple[str, int, int], tuple[bytes, bytes]] = field(default_factory=dict)
    snapshots: dict[tuple[str, int], bytes] = field(default_factory=dict)


class RecordedClient(Protocol):
    """A client that reports to a recorder."""

    async def reset(self) -> None:
        """Close all connections. Harmless when repeated."""


class EventRecorder:
    """Shared by the clients of one test, whose connections it closes at the end. `problems` must stay empty."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.deliveries = 0
        self.clients: list[RecordedClient] = []
        self._plans: defaultdict[str, _ReceivedPlan] = defaultdict(_ReceivedPlan)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            await client.reset()

    def record(self, delivery: Delivery) -> None:
        self.deliveries += 1
        plan, event = self._plans[delivery.plan_id], (delivery.id, delivery.content)
        if delivery.first == delivery.offset:
            known = plan.events.setdefault((delivery.epoch, delivery.offset), event)
        else:
            known = plan.merged.setdefault((delivery.epoch, delivery.first, delivery.offset), event)
        if known != event:
            at = f"{delivery.plan_id} {delivery.epoch}:{delivery.offset}"
            self.problems.append(f"{at} was received as {known} and as {event}")

    def record_snapshot(self, plan_id: str, position: Position, data: bytes) -> None:
        known = self._plans[plan_id].snapshots.setdefault((position.epoch, position.offset), data)
        if known != data:
            self.problems.append(f"{plan_id} has two different snapshots at {position}")

    # ---- offline

    async def verify(self, log: PlanLog, *acks: Path) -> Tally:
        """Checks that everything acknowledged is in the log and that everything received equals what the log holds."""
        acked = [one for path in acks for one in acknowledged_in(path)]
        tally = Tally(acknowledged=len(acked), deliveries=self.deliveries)
        for plan_id in sorted({one.plan_id for one in acked} | self._plans.keys()):
            stored = await _StoredPlan.read(log, plan_id)
            stored.add([one for one in acked if one.plan_id == plan_id], self.problems)
            self._compare(plan_id, stored, tally)
        assert self.problems == [], self.problems[:10]
        return tally

    def _compare(self, plan_id: str, stored: _StoredPlan, tally: Tally) -> None:
        plan = self._plans[plan_id]
        tally.stored += stored.head.offset
        tally.positions += len(plan.events)
        tally.merged += len(plan.merged)
        tally.snapshots += len(plan.snapshots)
        for (epoch, offset), event in plan.events.items():
            if stored.has(epoch, offset) and not stored.agrees(offset, *event):
                self._wrong(f"{plan_id} {epoch}:{offset} was received as {event}, but stored as {stored.at(offset)}")
        for (epoch, first, last), (id_, content) in plan.merged.items():
            if stored.has(epoch, last) and not stored.agrees_merged(first, last, id_, content):
                self._wrong(f"{plan_id} {epoch}:{first}-{last} was received as {id_!r} {content!r:.200}")
        for position in stored.wrong_snapshots(plan.snapshots):
            self._wrong(f"{plan_id}: the snapshot at {position} is not the fold of the events up to it")

    def _wrong(self, problem: str) -> None:
        self.problems.append(problem)


class _StoredPlan:
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
        assert len(set(self._ids.values())) == len(self._ids), f"{plan_id}: an event is stored twice"

    @classmethod
    async def read(cls, log: PlanLog, plan_id: str) -> _StoredPlan:
        """Reads everything the log holds, which must be contiguous up to the head."""
        checkpoint = await log.checkpoint(plan_id)
        page = await log.read(plan_id, 0)
        first, payloads = page.first, list(page.payloads)
        assert first == page.head.floor + 1
        while (after := first + len(payloads) - 1) < page.head.offset:
            page = await log.read(plan_id, after)
            assert page.first == after + 1, f"{plan_id}: a gap after {after}"
            assert page.payloads, f"{plan_id}: nothing after {after}"
            payloads += page.payloads
        return cls(plan_id, page.head, decode(checkpoint.snapshot) if checkpoint else None, first, payloads)

    def add(self, acked: Iterable[Acknowledged], problems: list[str]) -> None:
        """Adds acknowledged texts; they must match the log where it still holds them, each at one offset only."""
        offsets: dict[str, int] = {}
        for one in acked:
            text = one.text.encode()
            if self._texts.setdefault(one.offset, text) != text:
                problems.append(f"{one} was acknowledged, but {self._texts[one.offset]!r} is stored there")
            if offsets.setdefault(one.text, one.offset) != one.offset or one.offset > self.head.offset:
                problems.append(f"{one} was acknowledged, and at {offsets[one.text]} as well (head {self.head.offset})")

    @property
    def lineage(self) -> Lineage:
        return self.head.lineage

    def has(self, epoch: str, offset: int) -> bool:
        """Whether this position is in the log's lineage."""
        return self.lineage.continuity(Position(epoch, offset), self.head.offset, 0) == "ok"

    def at(self, offset: int) -> tuple[bytes | None, bytes | None]:
        return self._ids.get(offset), self._texts.get(offset)

    def agrees(self, offset: int, id_: bytes, text: bytes) -> bool:
        return self._ids.get(offset, id_) == id_ and self._texts.get(offset, text) == text

    def agrees_merged(self, first: int, last: int, id_: bytes, text: bytes) -> bool:
        parts = [self._texts.get(offset) for offset in range(first, last + 1)]
        whole = None if None in parts else b"".join(part for part in parts if part is not None)
        return self._ids.get(last, id_) == id_ and whole in (None, text)

    def wrong_snapshots(self, received: Mapping[tuple[str, int], bytes]) -> list[Position]:
        """The positions of received snapshots that differ from the fold of the log.

        For a trimmed log the fold begins at the checkpoint; of earlier snapshots only the offset is checked."""
        snapshot = empty(self.plan_id) if self._first == 1 else self._base
        assert snapshot is not None, f"{self.plan_id} was trimmed without a checkpoint"
        wrong: list[Position] = []
        for (epoch, offset), data in sorted(received.items(), key=lambda one: one[0][1]):
            if not self.has(epoch, offset):
                continue
            content = json.loads(data)
            if offset >= snapshot.offset:
                between = self._payloads[snapshot.offset + 1 - self._first : offset + 1 - self._first]
                snapshot = fold(snapshot, snapshot.offset + 1, [parse(payload) for payload in between])
                if content != json.loads(encode(snapshot)):
                    wrong.append(Position(epoch, offset))
            elif content["offset"] != offset:
                wrong.append(Position(epoch, offset))
        return wrong


def _content_of(data: Mapping[str, Any]) -> bytes:
    """The content as it is between its quotes in JSON."""
    return json.dumps(data.get("content", ""), ensure_ascii=False)[1:-1].encode()
