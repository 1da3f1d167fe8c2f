"""Appends to a plan's log, once for each batch of an idempotent producer, on whichever node its requests arrive.

A batch is known by its producer, epoch and number. These are in the ids of its events, from which a node that did not take
the batches before reads where the producer is; and in the keys of its entries, so that the log stores a batch only once.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from broadcasters.event_bytes import envelope_of
from broadcasters.events import PLAN_ENDED, PlanEvent, PlanUpdate, build
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Entry, Head, facts_of
from broadcasters.position import Position
from broadcasters.tracing import current_traceparent
from hub.api.problems import Problem
from hub.node import Hub
from hub.protocols.durable_streams.offsets import offset_text, position_at
from hub.transports.sse import EndedPlans

__all__ = ["BatchId", "StreamAppended", "StreamAppender"]

LOOK_BACK: Final = 1000
"""Events in which a producer's last batch is looked for."""
REMEMBERED: Final = 4096
_batch: Final = re.compile(r"ds-([0-9a-f]{24})-([0-9]{1,16})-([0-9]{1,16})\.[0-9]+\Z")


class BatchId(NamedTuple):
    """A batch of an idempotent producer: its id, its epoch, and the batch's number in that epoch, from 0."""

    producer: str
    epoch: int
    seq: int


class StreamAppended(NamedTuple):
    """The position after an append. `repeated`: the batch was stored before."""

    position: Position
    repeated: bool
    closed: bool


class _LastBatch(NamedTuple):
    """A producer's last batch up to a position in the log."""

    epoch: int
    seq: int
    position: Position


class StreamAppender:
    """Appends to plans for callers with the right to publish."""

    def __init__(self, hub: Hub, ended: EndedPlans) -> None:
        self._hub = hub
        self._ended = ended
        self._known: OrderedDict[tuple[str, str], _LastBatch] = OrderedDict()
        """The last batch that this node knows of, by plan and producer."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def append(
        self, plan_id: str, subject: str, batch: BatchId | None, events: Sequence[PlanEvent], *, closes: bool
    ) -> StreamAppended:
        """Append the events as one, and end the plan if they should close it. Raises `Problem`."""
        lock = self._locks.setdefault(plan_id, asyncio.Lock())
        async with lock:  # batches that a client sends at once are taken in the order in which they arrive
            head = await self._hub.log.head(plan_id)
            position = position_at(head.lineage, head.offset)
            closed = bool(head.offset) and await self._ended.ended(plan_id, head.offset)
            name = None if batch is None else _name(subject, batch.producer)
            if batch is not None and name is not None and await self._has(plan_id, head, name, batch):
                return StreamAppended(position, repeated=True, closed=closed)
            if closed and events:
                raise _closed(position)
            if closed or not (events or closes):
                return StreamAppended(position, repeated=True, closed=closed)
            every = [*events, *_ending(plan_id, events)] if closes else events
            appended = await self._store(plan_id, head, _ids(name, batch), every)
            if batch is not None and name is not None:
                follows = appended.position.offset == head.offset + len(every)  # no other node's batch is in between
                known = appended.position if follows else head.position
                self._note(plan_id, name, _LastBatch(batch.epoch, batch.seq, known))
            return appended

    def _note(self, plan_id: str, name: str, last: _LastBatch) -> None:
        self._known[plan_id, name] = last
        self._known.move_to_end((plan_id, name))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _store(self, plan_id: str, head: Head, stem: str, events: Sequence[PlanEvent]) -> StreamAppended:
        trace = current_traceparent()
        ids = [f"{stem}.{number}" for number in range(len(events))]
        entries = [Entry(event.payload(id_, trace), id_) for event, id_ in zip(events, ids, strict=True)]
        size = sum(len(entry.payload) for entry in entries)
        if len(entries) > MAX_APPEND_EVENTS or size > MAX_APPEND_BYTES:
            most = f"{MAX_APPEND_EVENTS} events of {MAX_APPEND_BYTES:,} bytes together"
            raise Problem("too_large", f"too much for one request; expected at most {most}", status=413)
        taken = await self._hub.log.append(plan_id, f"ds-{secrets.token_hex(8)}", 1, entries, facts_of(events))
        if taken.checkpoint_due:
            self._hub.broadcaster.checkpoint_soon(plan_id)
        repeated = taken.offsets[-1] <= head.offset  # another node stored it, and the log knew its keys
        return StreamAppended(Position(taken.epoch, taken.offsets[-1]), repeated, _ends(events))

    async def _has(self, plan_id: str, head: Head, name: str, batch: BatchId) -> bool:
        """Whether the batch was stored. Raises `Problem` if it must not be stored now."""
        last = await self._last(plan_id, head, name)
        if last is None:
            return False  # unknown here: the keys of its entries still prevent that it is stored twice
        epoch, seq = last
        if batch.epoch < epoch:
            detail = f"the producer's epoch is {epoch}; got {batch.epoch}"
            raise Problem("stale_epoch", detail, status=403, headers={"Producer-Epoch": str(epoch)})
        if batch.epoch > epoch and seq >= 0:
            if batch.seq:
                raise Problem("invalid_field", "Producer-Seq: a new epoch begins with 0", status=400)
            return False
        if batch.seq > seq + 1:
            headers = {"Producer-Expected-Seq": str(seq + 1), "Producer-Received-Seq": str(batch.seq)}
            raise Problem("sequence_gap", f"expected batch {seq + 1}; got {batch.seq}", status=409, headers=headers)
        return batch.seq <= seq

    async def _last(self, plan_id: str, head: Head, name: str) -> tuple[int, int] | None:
        """The epoch and number of the producer's last batch in the log: -1 if there is none, None if it is not known."""
        begin = after = max(head.floor, head.offset - LOOK_BACK)
        batches: list[tuple[int, int]] = [] if begin else [(0, -1)]
        known = self._known.get((plan_id, name))
        if known is not None and head.continuity(known.position) in ("ok", "trimmed"):
            batches.append((known.epoch, known.seq))
            after = max(begin, known.position.offset)
        while after < head.offset:
            page = await self._hub.log.read(plan_id, after)
            if not page.payloads:
                break
            batches += _batches_in(page.payloads, name)
            after = page.first + len(page.payloads) - 1
        return max(batches, default=None)


def _batches_in(payloads: Sequence[bytes], name: str) -> Iterator[tuple[int, int]]:
    for payload in payloads:
        envelope = envelope_of(payload)
        found = _batch.match(envelope.id) if envelope is not None else None
        if found is not None and found[1] == name:
            yield int(found[2]), int(found[3])


def _name(subject: str, producer: str) -> str:
    """A producer belongs to its caller: two callers that use the same id are two producers."""
    return hashlib.blake2b(f"{subject}\0{producer}".encode(), digest_size=12).hexdigest()


def _ids(name: str | None, batch: BatchId | None) -> str:
    if name is None or batch is None:
        return f"ds-{secrets.token_hex(12)}"
    return f"ds-{name}-{batch.epoch}-{batch.seq}"


def _ends(events: Sequence[PlanEvent]) -> bool:
    statuses = [event.status for event in events if isinstance(event, PlanUpdate) and event.step_id is None]
    return bool(statuses) and statuses[-1] in PLAN_ENDED


def _ending(plan_id: str, events: Sequence[PlanEvent]) -> Sequence[PlanEvent]:
    """What ends the plan after these events."""
    return () if _ends(events) else (build(PlanUpdate, {"plan_id": plan_id, "status": "completed"}),)


def _closed(position: Position) -> Problem:
    headers = {"Stream-Closed": "true", "Stream-Next-Offset": offset_text(position)}
    return Problem("plan_ended", "the plan has ended, so its stream is closed", status=409, headers=headers)
