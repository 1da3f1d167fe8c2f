"""The index: plans by activity; those of everybody, of an owner, with a label.

Sorted sets of plan ids by their last activity, in milliseconds. In a Cluster they live elsewhere than the plans, so
they are no part of an append: a plan is put in before its first append returns (when the index is away, as soon as it
is back), and moved up about once a second after that. Entries may therefore be stale; lists are shown from the plans
themselves, and an entry that its plan does not bear out is dropped when it is met.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from broadcasters.errors import InvalidEvent, LogError
from broadcasters.log.contract import Facts, PlanEntry, PlanPage
from broadcasters.log.redis.keys import LISTED, Keys, entry_from, labels_from
from broadcasters.log.redis.link import Argument
from broadcasters.log.redis.masters import Command, Masters
from broadcasters.supervision import Supervisor

__all__ = ["Index"]

_logger = logging.getLogger("plancast.log")

BEAT: Final = 1.0
PARTING: Final = 1.0
"""Seconds that `close` gives the last refresh."""
AT_ONCE_S: Final = 1.0
"""For so long an append waits until its plan is in the index."""
MANY: Final = 16_384
"""Plans remembered as being in the index; one forgotten is simply put in again."""


class _Row(NamedTuple):
    """A plan's place in an index."""

    active_ms: int
    plan_id: str

    @classmethod
    def of_cursor(cls, cursor: str) -> _Row:
        active_ms, _, plan_id = cursor.partition(":")
        if not active_ms.isdecimal() or len(active_ms) > 15:
            raise InvalidEvent("cursor", "not one that a list of plans has given")
        return cls(int(active_ms), plan_id)

    def __str__(self) -> str:
        return f"{self.active_ms}:{self.plan_id}"


class Index:
    """Told of appends (`note`); answers with lists. `start` it; when its supervisor has closed, `close` it."""

    def __init__(self, masters: Masters, keys: Keys, ttl: int) -> None:
        self._masters = masters
        self._keys = keys
        self._ttl = ttl
        self._indexed: OrderedDict[str, None] = OrderedDict()
        self._stale: dict[str, None] = {}
        self._opened = False
        self._away = False
        """The index could not be written: appends don't wait for it until a refresh has succeeded."""

    def start(self, supervisor: Supervisor) -> None:
        self._opened = True
        supervisor.repeat("Redis: index of plans", self._refresh_if_there, every=BEAT)

    async def close(self) -> None:
        if self._opened:
            self._opened = False
            with suppress(TimeoutError):
                async with asyncio.timeout(PARTING):
                    await self._refresh_if_there()

    # ---- telling

    async def note(self, plan_id: str, active_ms: int, facts: Facts, begun: bool) -> None:
        """The plan was appended to just now. When this returns it is in the index (or was, and will soon move up), unless
        the index is away. Never raises: the append is stored, and counts."""
        known = plan_id in self._indexed and not begun
        if not known or facts.owner is not None or facts.labels:
            known = await self._put_now(plan_id, active_ms, facts)
        if known:
            self._remember(plan_id)
        self._stale[plan_id] = None

    async def _put_now(self, plan_id: str, active_ms: int, facts: Facts) -> bool:
        """Whether it is in the index now. If not, the beat comes back to it."""
        if self._away:
            return False
        try:
            async with asyncio.timeout(AT_ONCE_S):
                await self._put({key: {plan_id: active_ms} for key in self._where(facts.owner, facts.labels or ())})
        except Exception as error:
            self._away = True
            if not isinstance(error, (LogError, TimeoutError)):
                _logger.error("plan %s was not put into the index: %s", plan_id, error, exc_info=error)
        return not self._away

    async def remove(self, plan_id: str, owner: str | None, labels: Sequence[str]) -> None:
        """The plan is gone."""
        self._indexed.pop(plan_id, None)
        self._stale.pop(plan_id, None)
        with suppress(LogError):  # lists drop what is gone by themselves
            await self._masters.call_each([("ZREM", key, (plan_id,)) for key in self._where(owner, labels)])

    def _where(self, owner: str | None, labels: Iterable[str]) -> set[str]:
        keys = {self._keys.index(), *(self._keys.index(label=label) for label in labels)}
        return keys if owner is None else keys | {self._keys.index(owner=owner)}

    def _remember(self, plan_id: str) -> None:
        self._indexed[plan_id] = None
        self._indexed.move_to_end(plan_id)
        if len(self._indexed) > MANY:
            self._indexed.popitem(last=False)

    async def _refresh_if_there(self) -> None:
        with suppress(LogError):  # the next beat comes back to it
            await self._refresh()

    async def _refresh(self) -> None:
        """Move up what was active since the last time."""
        stale, self._stale = self._stale, {}
        if not stale:
            return
        try:
            await self._put(await self._places(list(stale)))
            self._away = False
        except BaseException:
            for plan_id in list(stale)[-MANY:]:
                self._stale.setdefault(plan_id)
            raise

    async def _places(self, plan_ids: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """Where these plans belong: by index, and there by plan, when it was last active."""
        fields = ("updated", "owner", "labels")
        asked: list[Command] = [("HMGET", self._keys.plan(plan_id).meta, fields) for plan_id in plan_ids]
        places: dict[str, dict[str, int]] = defaultdict(dict)
        for plan_id, (updated, owner, labels) in zip(plan_ids, await self._masters.call_each(asked), strict=True):
            if updated is not None:
                for key in self._where(owner and owner.decode(), labels_from(labels)):
                    places[key][plan_id] = int(updated)
        return places

    async def _put(self, places: Mapping[str, Mapping[str, int]]) -> None:
        commands: list[Command] = []
        for key, plans in places.items():
            placed: list[Argument] = [word for plan_id, ms in plans.items() for word in (ms, plan_id)]
            commands.append(("ZADD", key, ("GT", *placed)))
            if self._ttl:
                oldest = max(plans.values()) - self._ttl * 1100  # by the server's clock, not by ours
                commands += ("ZREMRANGEBYSCORE", key, ("-inf", oldest)), ("EXPIRE", key, (self._ttl,))
        await self._masters.call_each(commands)

    # ---- lists

    async def page(self, owner: str | None, label: str | None, cursor: str | None, limit: int) -> PlanPage:
        await self._refresh_if_there()
        key = self._keys.index(owner, label)
        place = _Row.of_cursor(cursor) if cursor else None
        found: list[tuple[_Row, PlanEntry]] = []
        while len(found) <= limit and (rows := await self._rows(key, place, limit + 1)):
            rows = rows[: limit + 1 - len(found)]
            found += await self._borne_out(key, rows, owner, label)
            place = rows[-1]
        more = len(found) > limit
        found = found[:limit]
        return PlanPage([entry for _, entry in found], str(found[-1][0]) if more else None)

    async def _rows(self, key: str, place: _Row | None, count: int) -> Sequence[_Row]:
        """Some of the rows behind this place; none only when there are none."""
        start, offset = "+inf" if place is None else place.active_ms, 0
        while True:
            window = ("BYSCORE", "REV", "LIMIT", offset, count, "WITHSCORES")
            answer: Any = await self._masters.call("ZRANGE", key, start, "-inf", *window)
            rows = [_Row(int(active_ms), plan_id.decode()) for plan_id, active_ms in answer]
            behind = [row for row in rows if place is None or row < place]
            if behind or len(rows) < count:
                return behind
            offset += count

    async def _borne_out(
        self, key: str, rows: Sequence[_Row], owner: str | None, label: str | None
    ) -> Sequence[tuple[_Row, PlanEntry]]:
        """The rows whose plan exists and belongs there; the others are dropped."""
        asked: list[Command] = [("HMGET", self._keys.plan(row.plan_id).meta, LISTED) for row in rows]
        answers = await self._masters.call_each(asked)
        found: list[tuple[_Row, PlanEntry]] = []
        gone: list[str] = []
        for row, values in zip(rows, answers, strict=True):
            entry = entry_from(row.plan_id, values)
            if entry is None or not _belongs(entry, owner, label):
                gone.append(row.plan_id)
            elif label is None or label in entry.labels:
                found.append((row, entry))
        if gone:
            with suppress(LogError):
                await self._masters.call("ZREM", key, *gone)
        return found


def _belongs(entry: PlanEntry, owner: str | None, label: str | None) -> bool:
    """Whether the plan is in the right index: that of the owner, else of the label, else of all (see `Keys.index`)."""
    return entry.owner == owner if owner is not None else label is None or label in entry.labels
