"""The index: plans by last activity; all of them, those of an owner, those with a label.

Sorted sets of plan ids, scored by last activity in milliseconds. In a Cluster they are on other nodes than the plans, so
an append can't write them in the same step: a plan is put in before its first append returns (or, if the index is
unavailable, as soon as it is back), and moved up about once a second after that. Entries may therefore be stale; lists
show the plans themselves, and remove an entry that its plan contradicts.
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
"""Seconds for the last refresh, in `close`."""
AT_ONCE_S: Final = 1.0
"""Seconds that an append waits for its plan to be in the index."""
MANY: Final = 16_384
"""Plans remembered as being in the index; the others are put in again."""


class _Row(NamedTuple):
    """A plan's position in an index."""

    active_ms: int
    plan_id: str

    @classmethod
    def of_cursor(cls, cursor: str) -> _Row:
        active_ms, _, plan_id = cursor.partition(":")
        if not active_ms.isdecimal() or len(active_ms) > 15:
            raise InvalidEvent("cursor", "unknown; expected one that a list of plans returned")
        return cls(int(active_ms), plan_id)

    def __str__(self) -> str:
        return f"{self.active_ms}:{self.plan_id}"


class Index:
    """`start` it; call `note` after each append; `page` lists plans; `close` it after its supervisor."""

    def __init__(self, masters: Masters, keys: Keys, ttl: int) -> None:
        self._masters = masters
        self._keys = keys
        self._ttl = ttl
        self._indexed: OrderedDict[str, int] = OrderedDict()
        self._stale: dict[str, int] = {}
        """Plans that were appended to since the last refresh, and when."""
        self._opened = False
        self._away = False
        """The index could not be written; appends don't wait for it until a refresh has succeeded."""

    def start(self, supervisor: Supervisor) -> None:
        self._opened = True
        supervisor.repeat("Redis: index of plans", self._refresh_if_there, every=BEAT)

    async def close(self) -> None:
        if self._opened:
            self._opened = False
            with suppress(TimeoutError):
                async with asyncio.timeout(PARTING):
                    await self._refresh_if_there()

    # ---- writing

    async def note(self, plan_id: str, active_ms: int, facts: Facts, begun: bool) -> None:
        """Put a plan that was just appended to into the index, unless it is there (then it moves up soon) or the index is
        unavailable. Never raises, because the append is stored."""
        if facts.quiet and not begun and not self._fades(plan_id, active_ms):
            return
        known = plan_id in self._indexed and not begun
        if not known or facts.owner is not None or facts.labels:
            known = await self._put_now(plan_id, active_ms, facts)
        if known:
            self._remember(plan_id, active_ms)
        self._stale[plan_id] = active_ms

    async def _put_now(self, plan_id: str, active_ms: int, facts: Facts) -> bool:
        """Whether it is in the index now. If not, a later refresh puts it in."""
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
        """Remove a deleted plan."""
        self._indexed.pop(plan_id, None)
        self._stale.pop(plan_id, None)
        with suppress(LogError):  # lists remove what is left
            await self._masters.call_each([("ZREM", key, (plan_id,)) for key in self._where(owner, labels)])

    def _where(self, owner: str | None, labels: Iterable[str]) -> set[str]:
        keys = {self._keys.index(), *(self._keys.index(label=label) for label in labels)}
        return keys if owner is None else keys | {self._keys.index(owner=owner)}

    def _fades(self, plan_id: str, now_ms: int) -> bool:
        """Whether a plan of which only signs of life are appended would leave the index, which its expiry trims."""
        return self._ttl > 0 and now_ms - self._indexed.get(plan_id, 0) > self._ttl * 100

    def _remember(self, plan_id: str, active_ms: int) -> None:
        self._indexed[plan_id] = active_ms
        self._indexed.move_to_end(plan_id)
        if len(self._indexed) > MANY:
            self._indexed.popitem(last=False)

    async def _refresh_if_there(self) -> None:
        with suppress(LogError):  # the next beat tries again
            await self._refresh()

    async def _refresh(self) -> None:
        """Move up the plans appended to since the last refresh."""
        stale, self._stale = self._stale, {}
        if not stale:
            return
        try:
            await self._put(await self._scores(stale))
            self._away = False
        except BaseException:
            for plan_id in list(stale)[-MANY:]:
                self._stale.setdefault(plan_id, stale[plan_id])
            raise

    async def _scores(self, active: Mapping[str, int]) -> Mapping[str, Mapping[str, int]]:
        """Where these plans belong: for each index, its plans and when they were last active."""
        fields = ("updated", "owner", "labels")
        asked: list[Command] = [("HMGET", self._keys.plan(plan_id).meta, fields) for plan_id in active]
        scores: dict[str, dict[str, int]] = defaultdict(dict)
        for plan_id, (updated, owner, labels) in zip(active, await self._masters.call_each(asked), strict=True):
            if updated is not None:
                for key in self._where(owner and owner.decode(), labels_from(labels)):
                    scores[key][plan_id] = active[plan_id]
        return scores

    async def _put(self, scores: Mapping[str, Mapping[str, int]]) -> None:
        commands: list[Command] = []
        for key, plans in scores.items():
            pairs: list[Argument] = [value for plan_id, ms in plans.items() for value in (ms, plan_id)]
            commands.append(("ZADD", key, ("GT", *pairs)))
            if self._ttl:
                oldest = max(plans.values()) - self._ttl * 1100  # by the server's clock, not ours
                commands += ("ZREMRANGEBYSCORE", key, ("-inf", oldest)), ("EXPIRE", key, (self._ttl,))
        await self._masters.call_each(commands)

    # ---- lists

    async def page(self, owner: str | None, label: str | None, cursor: str | None, limit: int) -> PlanPage:
        await self._refresh_if_there()
        key = self._keys.index(owner, label)
        last = _Row.of_cursor(cursor) if cursor else None
        found: list[tuple[_Row, PlanEntry]] = []
        while len(found) <= limit and (rows := await self._rows(key, last, limit + 1)):
            rows = rows[: limit + 1 - len(found)]
            found += await self._confirmed(key, rows, owner, label)
            last = rows[-1]
        more = len(found) > limit
        found = found[:limit]
        return PlanPage([entry for _, entry in found], str(found[-1][0]) if more else None)

    async def _rows(self, key: str, last: _Row | None, count: int) -> Sequence[_Row]:
        """Some of the rows that follow this one; none only if there are none."""
        start, offset = "+inf" if last is None else last.active_ms, 0
        while True:
            window = ("BYSCORE", "REV", "LIMIT", offset, count, "WITHSCORES")
            answer: Any = await self._masters.call("ZRANGE", key, start, "-inf", *window)
            rows = [_Row(int(active_ms), plan_id.decode()) for plan_id, active_ms in answer]
            behind = [row for row in rows if last is None or row < last]
            if behind or len(rows) < count:
                return behind
            offset += count

    async def _confirmed(
        self, key: str, rows: Sequence[_Row], owner: str | None, label: str | None
    ) -> Sequence[tuple[_Row, PlanEntry]]:
        """The rows whose plan exists and belongs in this index; the others are removed from it."""
        asked: list[Command] = [("HMGET", self._keys.plan(row.plan_id).meta, LISTED) for row in rows]
        answers = await self._masters.call_each(asked)
        found: list[tuple[_Row, PlanEntry]] = []
        stale: list[str] = []
        for row, values in zip(rows, answers, strict=True):
            entry = entry_from(row.plan_id, values)
            if entry is None or not _belongs(entry, owner, label):
                stale.append(row.plan_id)
            elif label is None or label in entry.labels:
                found.append((row, entry))
        if stale:
            with suppress(LogError):
                await self._masters.call("ZREM", key, *stale)
        return found


def _belongs(entry: PlanEntry, owner: str | None, label: str | None) -> bool:
    """Whether the plan belongs in this index: the owner's, else the label's, else that of all (see `Keys.index`)."""
    return entry.owner == owner if owner is not None else label is None or label in entry.labels
