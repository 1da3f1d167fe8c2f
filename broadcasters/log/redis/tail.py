"""The tail: what is appended anywhere, told to whoever watches here.

A plan's live channel is a sharded one, so only the master that holds the plan carries its messages, and one link to
each master is enough. When a link ends, or a plan moves, its watchers are told `lost`; the plan is looked for again,
with growing pauses, and once its channel is acknowledged they are told `resumed`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Watch, Watcher
from broadcasters.log.redis.refusals import as_log_error
from broadcasters.log.redis.tail_link import TailLink
from broadcasters.log.redis.topology import Topology
from broadcasters.log.redis.url import Address, RedisUrl
from broadcasters.log.redis.watched import RedisPlan
from broadcasters.supervision import Supervisor

__all__ = ["RedisTail"]

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
QUIET: Final = 10.0
"""After so long without a fall, pauses begin short again."""


class RedisTail:
    """`open` it, `watch` plans, `close` it."""

    def __init__(self, url: RedisUrl, topology: Topology) -> None:
        self._url = url
        self._topology = topology
        self._plans: dict[str, RedisPlan] = {}
        self._links: dict[Address, TailLink] = {}
        self._unplaced: list[RedisPlan] = []
        self._fallen: list[RedisPlan] = []
        self._tasks = Supervisor()
        self._placing: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        self._tries = 0
        self._last_try = 0.0
        self._opened = False

    def open(self) -> None:
        """Links are opened when they are needed."""
        self._opened = True

    async def watch(self, plan_id: str, key: str, watcher: Watcher) -> Watch:
        """Tell the watcher what comes on the channel `key`; returns once that is acknowledged."""
        if not self._opened:
            raise LogUnavailable("the log is not open")
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = RedisPlan(plan_id, key, self._deserted)
            self._place(plan)
        hold = plan.take(watcher)
        try:
            await hold.stands
        except BaseException:
            plan.release(hold)
            raise
        return hold

    async def follow_moves(self) -> None:
        """Look whether plans are held elsewhere by now, and go there."""
        watched = [(link, plan) for link in self._links.values() for plan in link.plans]
        for link, plan in watched:
            with suppress(LogUnavailable):  # nobody holds it; then it may as well stay
                if await self._topology.locate(plan.key) != link.address:
                    link.remove(plan)
                    self._fell([plan], LogUnavailable(f"{plan.key} has moved"))
        masters = set(await self._topology.masters())
        for address in [address for address, link in self._links.items() if not link.plans]:
            if address not in masters:
                await self._links.pop(address).close()

    async def close(self) -> None:
        self._opened = False
        await self._tasks.close()
        plans, self._plans = list(self._plans.values()), {}
        for plan in plans:
            plan.end(LogUnavailable("the log was closed"))
        for link in self._links.values():
            await link.close()
        self._links.clear()

    # ---- placing

    def _place(self, plan: RedisPlan) -> None:
        self._unplaced.append(plan)
        if self._placing is None or self._placing.done():
            self._placing = self._tasks.run("placing of watched plans", self._place_all())

    async def _place_all(self) -> None:
        while self._unplaced:
            plans, self._unplaced = self._unplaced, []
            for plan in plans:
                try:
                    address = await self._topology.locate(plan.key)
                    if self._plans.get(plan.key) is plan:
                        self._link(address).add(plan)
                except Exception as error:
                    self._fell([plan], as_log_error(error, f"watching {plan.key}"))

    def _link(self, address: Address) -> TailLink:
        if address not in self._links:
            self._links[address] = TailLink(address, self._url, self._fell)
        return self._links[address]

    def _deserted(self, plan: RedisPlan) -> None:
        if self._plans.get(plan.key) is plan:
            del self._plans[plan.key]
        for link in self._links.values():
            link.remove(plan)

    # ---- falling, and coming back

    def _fell(self, plans: Collection[RedisPlan], why: LogError) -> None:
        if not self._opened:
            return
        self._topology.doubt()
        for plan in plans:
            plan.fall()
            plan.fail(why)
            if not plan.held:
                self._deserted(plan)
        self._fallen += [plan for plan in plans if plan.held]
        if self._fallen and (self._returning is None or self._returning.done()):
            self._returning = self._tasks.run("return of watched plans", self._return())

    async def _return(self) -> None:
        while self._fallen:
            await asyncio.sleep(self._pause())
            plans, self._fallen = self._fallen, []
            for plan in plans:
                if self._plans.get(plan.key) is plan:
                    self._place(plan)

    def _pause(self) -> float:
        now = asyncio.get_running_loop().time()
        self._tries = self._tries + 1 if now - self._last_try < QUIET else 0
        self._last_try = now
        longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._tries, 10))
        return random.uniform(longest / 2, longest)
