"""The log in Redis (7 or newer; Valkey as well): what its promises are is in the contract."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from broadcasters.errors import LogError
from broadcasters.events import check_plan_id
from broadcasters.log.contract import (
    CHECKPOINT_EVERY,
    Appended,
    Checkpoint,
    Durability,
    Entry,
    Facts,
    Head,
    Page,
    PlanLog,
    PlanPage,
    Watch,
    Watcher,
)
from broadcasters.log.redis.facts import fields_of, labels_from
from broadcasters.log.redis.index import Index
from broadcasters.log.redis.keys import Keys
from broadcasters.log.redis.link import Word
from broadcasters.log.redis.masters import Command, Masters
from broadcasters.log.redis.tail import RedisTail
from broadcasters.log.redis.topology import topology_of
from broadcasters.log.redis.url import RedisUrl
from broadcasters.position import Lineage, Position
from broadcasters.supervision import Part, Supervisor

__all__ = ["RedisLog"]

BEAT: Final = 5.0
"""How often it is looked, unprompted, whether masters have changed: an idle tail would not notice."""


class RedisLog(PlanLog):
    """`url` is one of redis://…, redis+sentinel://…, redis+cluster://… (see `broadcasters.log.redis.url`)."""

    def __init__(self, url: str) -> None:
        self._url = RedisUrl.parse(url)
        self._keys = Keys(self._url.prefix)
        self._topology = topology_of(self._url)
        self._masters = Masters(self._url, self._topology)
        self._tail = RedisTail(self._url, self._topology)
        self._index = Index(self._masters, self._keys, self._url.ttl)
        self._supervisor = Supervisor()

    @property
    def parts(self) -> Mapping[str, Part]:
        return self._supervisor.parts

    @property
    def durability(self) -> Durability:
        return "replicated" if self._url.replicas else self._masters.durability

    async def open(self) -> None:
        try:
            await self._masters.open()
        except BaseException:
            await self.close()
            raise
        self._tail.open()
        self._index.start(self._supervisor)
        if not self._topology.fixed:
            self._supervisor.repeat("Redis: moves of masters", self._follow_moves, every=BEAT)

    async def close(self) -> None:
        await self._supervisor.close()
        await self._index.close()
        await self._tail.close()
        await self._masters.close()
        await self._topology.close()

    async def _follow_moves(self) -> None:
        with suppress(LogError):  # nobody answers: the next beat asks again
            await self._topology.refresh()
            await self._tail.follow_moves()
            await self._masters.keep_only(await self._topology.masters())

    # ---- appending

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
        keys = self._keys.plan(check_plan_id(plan_id))
        args = self._append_args(producer, seq, entries, facts)
        needed = keys[:3] if any(entry.key for entry in entries) else keys[:2]
        answer: Any = await self._masters.run("append", needed, args, self._url.replicas)
        epoch, now_ms, uncovered, *places = answer
        first = int(places[0])
        offsets = places if len(places) == len(entries) > 1 else range(first, first + len(entries))
        await self._index.note(plan_id, int(now_ms), facts, begun=1 in offsets)
        return Appended(epoch.decode(), offsets, uncovered >= CHECKPOINT_EVERY)

    def _append_args(self, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Sequence[Word]:
        keys = [entry.key or "" for entry in entries]
        if not any(keys):
            keys = []
        payloads = [entry.payload for entry in entries]
        begin = (producer, seq, secrets.token_hex(4), self._url.ttl, facts.first_status or "", len(payloads), len(keys))
        return (*begin, *payloads, *keys, *fields_of(facts))

    # ---- reading

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        keys = self._keys.plan(check_plan_id(plan_id))
        after = max(after, 0)
        answer = await self._masters.run("read", (keys.log, keys.meta), (after, max(limit, 1), max_bytes))
        if not answer:
            return Page(Head(), after + 1, ())
        epoch, lineage, head, floor, first, *payloads = answer
        return Page(Head(_lineage(epoch, lineage), head, floor), first, payloads)

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        fields = ("epoch", "lineage", "offset", "floor")
        keys = [self._keys.plan(check_plan_id(plan_id)).meta for plan_id in plan_ids]
        asked: list[Command] = [("HMGET", key, fields) for key in keys]
        return dict(zip(plan_ids, map(_head, await self._masters.call_each(asked)), strict=True))

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        return await self._tail.watch(plan_id, self._keys.plan(check_plan_id(plan_id)).live, watcher)

    # ---- checkpoints

    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        key = self._keys.plan(check_plan_id(plan_id)).checkpoint
        kept: bytes | None = await self._masters.call("GET", key)
        if kept is None:
            return None
        position, _, snapshot = kept.partition(b"\n")
        epoch, _, offset = position.decode().rpartition(" ")
        return Checkpoint(Position(epoch, int(offset)), snapshot)

    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        keys = self._keys.plan(check_plan_id(plan_id))
        epoch, offset = checkpoint.position
        kept = b"%b %d\n%b" % (epoch.encode(), offset, checkpoint.snapshot)
        args = (epoch, offset, max(window, 0), kept)
        answer: Any = await self._masters.run("keep", (keys.log, keys.meta, keys.checkpoint), args)
        return bool(answer)

    # ---- lists, and forgetting

    async def plans(
        self,
        *,
        owner: str | None = None,
        label: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> PlanPage:
        return await self._index.page(owner, label, cursor, max(limit, 1))

    async def delete(self, plan_id: str) -> bool:
        said: Any = await self._masters.run("delete", self._keys.plan(check_plan_id(plan_id))[:4], ())
        if not said:
            return False
        owner, labels = said
        await self._index.remove(plan_id, owner.decode() or None, labels_from(labels))
        return True


def _head(values: Sequence[bytes | None]) -> Head:
    epoch, lineage, offset, floor = values
    return Head() if epoch is None else Head(_lineage(epoch, lineage or b""), int(offset or 0), int(floor or 0))


def _lineage(epoch: bytes, ended: bytes) -> Lineage:
    """From `epoch:offset epoch:offset …`, oldest first."""
    pairs = (one.partition(":") for one in ended.decode().split())
    return Lineage(epoch.decode(), tuple((old, int(end)) for old, _, end in pairs))
