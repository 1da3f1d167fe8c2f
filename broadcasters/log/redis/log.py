"""The log in Redis (7 or newer) or Valkey. Its promises are the contract's."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster

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
from broadcasters.log.redis.index import Index
from broadcasters.log.redis.keys import HEAD, Keys, fields_of, head_from, labels_from, lineage_from
from broadcasters.log.redis.link import Argument
from broadcasters.log.redis.masters import Command
from broadcasters.log.redis.tail import RedisTail
from broadcasters.log.redis.topology import masters_of
from broadcasters.log.redis.url import RedisOptions, RedisUrl
from broadcasters.position import Position
from broadcasters.supervision import Part, Supervisor

__all__ = ["RedisLog"]

BEAT: Final = 5.0
"""Seconds between two looks where masters are: an idle tail would not notice that they changed."""
CREDENTIALS_S: Final = 15.0
"""Seconds between two looks whether a credential provider has new credentials."""


class RedisLog(PlanLog):
    """`source` is a URL (see `broadcasters.log.redis.url`), or a client: `redis.asyncio.Redis`, also from
    `Sentinel.master_for(…)`, or `RedisCluster`. A client only says how to connect; the log opens connections of its own,
    and neither uses nor closes the client's. `options`, for a client, are those that a URL has."""

    def __init__(self, source: str | Redis | RedisCluster, options: RedisOptions | None = None) -> None:
        where = RedisUrl.parse(source) if isinstance(source, str) else source
        self._options = options or (where.options if isinstance(where, RedisUrl) else RedisOptions())
        self._masters = masters_of(where, self._options.prefix)
        self._keys = Keys(self._options.prefix)
        self._tail = RedisTail(self._masters)
        self._index = Index(self._masters, self._keys, self._options.ttl)
        self._supervisor = Supervisor()

    @property
    def parts(self) -> Mapping[str, Part]:
        return self._supervisor.parts

    @property
    def durability(self) -> Durability:
        return "replicated" if self._options.replicas else self._masters.durability

    async def open(self) -> None:
        try:
            await self._masters.open()
        except BaseException:
            await self.close()
            raise
        self._tail.open()
        self._index.start(self._supervisor)
        if not self._masters.fixed:
            self._supervisor.repeat("Redis: moves of masters", self._follow_moves, every=BEAT)
        if self._masters.clients.rotating:
            self._supervisor.repeat("Redis: credentials", self._masters.clients.follow_credentials, every=CREDENTIALS_S)

    async def close(self) -> None:
        await self._supervisor.close()
        await self._index.close()
        await self._tail.close()
        await self._masters.close()

    async def _follow_moves(self) -> None:
        with suppress(LogError):  # no server answers: the next beat asks again
            await self._masters.refresh()
            await self._tail.follow_moves()
            await self._masters.keep_only(await self._masters.addresses())

    # ---- appending

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
        keys = self._keys.plan(check_plan_id(plan_id))
        args = self._append_args(producer, seq, entries, facts)
        needed = keys[:3] if any(entry.key for entry in entries) else keys[:2]
        reply: Any = await self._masters.append(needed, args, self._options.replicas)
        epoch, now_ms, uncovered, *listed = reply
        first = int(listed[0])
        offsets = listed if len(listed) == len(entries) > 1 else range(first, first + len(entries))
        await self._index.note(plan_id, int(now_ms), facts, begun=1 in offsets)
        return Appended(epoch.decode(), offsets, uncovered >= CHECKPOINT_EVERY)

    def _append_args(self, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Sequence[Argument]:
        keys = [entry.key or "" for entry in entries]
        if not any(keys):
            keys = []
        payloads = [entry.payload for entry in entries]
        epoch, ttl, status = secrets.token_hex(4), self._options.ttl, facts.first_status or ""
        return (producer, seq, epoch, ttl, status, len(payloads), len(keys), *payloads, *keys, *fields_of(facts))

    # ---- reading

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        keys = self._keys.plan(check_plan_id(plan_id))
        after = max(after, 0)
        reply: Any = await self._masters.run("read", (keys.log, keys.meta), (after, max(limit, 1), max_bytes))
        if not reply:
            return Page(Head(), after + 1, ())
        epoch, ended, head, floor, first, *payloads = reply
        return Page(Head(lineage_from(epoch, ended), head, floor), first, payloads)

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        keys = [self._keys.plan(check_plan_id(plan_id)).meta for plan_id in plan_ids]
        asked: list[Command] = [("HMGET", key, HEAD) for key in keys]
        return dict(zip(plan_ids, map(head_from, await self._masters.call_each(asked)), strict=True))

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
        reply: Any = await self._masters.run("keep", (keys.log, keys.meta, keys.checkpoint), args)
        return bool(reply)

    # ---- lists, and deletion

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
        reply: Any = await self._masters.run("delete", self._keys.plan(check_plan_id(plan_id))[:4], ())
        if not reply:
            return False
        owner, labels = reply
        await self._index.remove(plan_id, owner.decode() or None, labels_from(labels))
        return True
