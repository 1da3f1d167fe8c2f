"""One master's share of the tail: the plans that are watched there, over one link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.redis.link import RedisLink, open_link
from broadcasters.log.redis.refusals import as_log_error, meaning
from broadcasters.log.redis.server import meet
from broadcasters.log.redis.url import Address, RedisUrl
from broadcasters.log.redis.watched import RedisPlan

__all__ = ["TailLink"]

AT_ONCE: Final = 500
"""Channels asked for in one go."""

Fallen: TypeAlias = Callable[[Collection[RedisPlan], LogError], None]


class TailLink:
    """Plans are `add`ed and `remove`d. Those that can't be had here, or not any more, are handed to `fallen`."""

    def __init__(self, address: Address, url: RedisUrl, fallen: Fallen) -> None:
        self.address = address
        self._url = url
        self._fallen = fallen
        self._plans: dict[bytes, RedisPlan] = {}
        self._queue: list[RedisPlan] = []
        self._link: RedisLink | None = None
        self._work: asyncio.Task[None] | None = None

    @property
    def plans(self) -> Collection[RedisPlan]:
        return self._plans.values()

    def add(self, plan: RedisPlan) -> None:
        self._plans[plan.channel] = plan
        self._queue.append(plan)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._subscribe_queued())

    def remove(self, plan: RedisPlan) -> None:
        if self._plans.get(plan.channel) is not plan:
            return
        del self._plans[plan.channel]
        if self._link is not None:
            self._link.send_unanswered([("SUNSUBSCRIBE", plan.channel)])

    async def close(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        if self._link is not None:
            await self._link.close()

    # ---- subscribing

    async def _subscribe_queued(self) -> None:
        try:
            while self._queue:
                link = await self._opened()
                asked, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
                await self._subscribe(link, [plan for plan in asked if self._plans.get(plan.channel) is plan])
        except Exception as error:
            self._fall(as_log_error(error, f"a tail of {self.address}"))

    async def _subscribe(self, link: RedisLink, plans: Sequence[RedisPlan]) -> None:
        refusals = await link.send_unanswered([("SSUBSCRIBE", plan.channel) for plan in plans])
        if not refusals:
            return
        missing = [plan for plan in plans if not plan.standing and self._plans.get(plan.channel) is plan]
        for plan in missing:
            del self._plans[plan.channel]
        if missing:
            self._fallen(missing, meaning(refusals[0], missing[0].key))

    async def _opened(self) -> RedisLink:
        if self._link is not None and self._link.alive:
            return self._link
        link = await open_link(self.address, self._url.user, self._url.tls, self._pushed, self._url.db)
        try:
            await meet(link)
        except BaseException:
            await link.close()
            raise
        self._link = link
        link.ended.add_done_callback(lambda ended: self._fall(LogUnavailable(ended.result())))
        return link

    def _fall(self, error: LogError) -> None:
        plans = list(self._plans.values())
        self._plans.clear()
        self._queue.clear()
        if plans:
            self._fallen(plans, error)

    # ---- what comes

    def _pushed(self, push: Sequence[Any]) -> None:
        kind = push[0]
        plan = self._plans.get(push[1])
        if plan is None:
            return
        if kind == b"smessage":
            plan.message(push[2])
        elif kind == b"ssubscribe":
            plan.stand()
        elif kind == b"sunsubscribe" and plan.standing:
            del self._plans[plan.channel]
            self._fallen([plan], LogUnavailable(f"the slot of {plan.key} has moved"))
