"""The tail: forwards what is appended anywhere to the watchers of this process.

A plan's live channel is a sharded one, so only the master that holds the plan carries its messages, and one link to each
master is enough. When a link ends, or a plan moves, `lost` is called on its watchers; the plan's master is looked for
again, with growing pauses, and once a subscription is acknowledged `resumed` is called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Watch, Watcher
from broadcasters.log.redis.link import RedisLink
from broadcasters.log.redis.masters import Masters
from broadcasters.log.redis.opening import open_link
from broadcasters.log.redis.refusals import as_log_error
from broadcasters.log.redis.url import Address
from broadcasters.log.watched import WatchedPlan
from broadcasters.supervision import Supervisor, pauses

__all__ = ["RedisTail"]

_logger = logging.getLogger("plancast.log")

LONGEST_PAUSE: Final = 2.0
QUIET: Final = 10.0
"""Seconds without a fall after which pauses begin short again."""
AT_ONCE: Final = 500
"""Channels subscribed to in one go."""


class RedisTail:
    """`open` it, `watch` plans, `close` it. Links are opened when they are needed."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters
        self._plans: dict[str, _RedisPlan] = {}
        self._subscriptions: dict[Address, _Subscriptions] = {}
        self._unplaced: list[_RedisPlan] = []
        self._fallen: list[_RedisPlan] = []
        self._tasks = Supervisor()
        self._placing: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        self._pauses = pauses(LONGEST_PAUSE)
        self._last_try = 0.0
        self._opened = False

    def open(self) -> None:
        self._opened = True

    async def watch(self, plan_id: str, channel: str, watcher: Watcher) -> Watch:
        """Call the watcher for each message of the channel; returns once the subscription is acknowledged."""
        if not self._opened:
            raise LogUnavailable("the log is not open")
        plan = self._plans.get(channel)
        if plan is None:
            plan = self._plans[channel] = _RedisPlan(plan_id, channel, self._deserted)
            self._place(plan)
        hold = plan.take(watcher)
        try:
            await hold.stands
        except BaseException:
            plan.release(hold)
            raise
        return hold

    async def follow_moves(self) -> None:
        """Move the plans that another master holds by now."""
        watched = [(held, plan) for held in self._subscriptions.values() for plan in held.plans]
        for held, plan in watched:
            with suppress(LogUnavailable):  # no master holds it; then it may as well stay
                if await self._masters.locate(plan.channel) != held.address:
                    held.remove(plan)
                    self._fell([plan], LogUnavailable(f"{plan.channel} has moved"))
        masters = set(await self._masters.addresses())
        for address in [address for address, held in self._subscriptions.items() if not held.plans]:
            if address not in masters:
                await self._subscriptions.pop(address).close()

    async def close(self) -> None:
        self._opened = False
        await self._tasks.close()
        plans, self._plans = list(self._plans.values()), {}
        for plan in plans:
            plan.end(LogUnavailable("the log was closed"))
        for held in self._subscriptions.values():
            await held.close()
        self._subscriptions.clear()

    # ---- placing

    def _place(self, plan: _RedisPlan) -> None:
        self._unplaced.append(plan)
        if self._placing is None or self._placing.done():
            self._placing = self._tasks.run("placing of watched plans", self._place_all())

    async def _place_all(self) -> None:
        while self._unplaced:
            plans, self._unplaced = self._unplaced, []
            for plan in plans:
                try:
                    address = await self._masters.locate(plan.channel)
                    if self._plans.get(plan.channel) is plan:
                        self._at(address).add(plan)
                except Exception as error:
                    self._fell([plan], as_log_error(error, f"watching {plan.channel}"))

    def _at(self, address: Address) -> _Subscriptions:
        if address not in self._subscriptions:
            self._subscriptions[address] = _Subscriptions(address, self._masters, self._fell)
        return self._subscriptions[address]

    def _deserted(self, plan: _RedisPlan) -> None:
        if self._plans.get(plan.channel) is plan:
            del self._plans[plan.channel]
        for held in self._subscriptions.values():
            held.remove(plan)

    # ---- falling, and returning

    def _fell(self, plans: Collection[_RedisPlan], why: LogError) -> None:
        if not self._opened:
            return
        self._masters.doubt()
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
            now = asyncio.get_running_loop().time()
            if now - self._last_try >= QUIET:
                self._pauses = pauses(LONGEST_PAUSE)
            self._last_try = now
            await asyncio.sleep(next(self._pauses))
            plans, self._fallen = self._fallen, []
            for plan in plans:
                if self._plans.get(plan.channel) is plan:
                    self._place(plan)


class _RedisPlan(WatchedPlan):
    """Stands while the subscription to its channel is acknowledged."""

    __slots__ = ("_epoch", "channel", "wire")

    def __init__(self, plan_id: str, channel: str, deserted: Callable[[_RedisPlan], None]) -> None:
        super().__init__(plan_id, deserted)
        self.channel = channel
        self.wire = channel.encode()
        self._epoch = (b"", "")

    def message(self, message: bytes) -> None:
        """`<epoch> <first offset> <count>` and, on lines of their own, the payloads; or `deleted`."""
        if message == b"deleted":
            self.deleted()
            return
        try:
            epoch, first, payloads = self._parsed(message)
        except ValueError:
            _logger.warning("ignored a third-party message on %s: %.60r", self.channel, message)
            return
        self.arrived(epoch, first, payloads)

    def _parsed(self, message: bytes) -> tuple[str, int, list[bytes]]:
        header, _, body = message.partition(b"\n")
        epoch, offset, count = header.split(b" ")
        payloads = [body] if count == b"1" else body.split(b"\n")
        if len(payloads) != int(count):
            raise ValueError
        if epoch != self._epoch[0]:
            self._epoch = (epoch, epoch.decode())
        return self._epoch[1], int(offset), payloads


_Fallen: TypeAlias = Callable[[Collection[_RedisPlan], LogError], None]


class _Subscriptions:
    """The plans watched at one master, over one link at a time. Those that can't be, or no longer, go to `fallen`."""

    def __init__(self, address: Address, masters: Masters, fallen: _Fallen) -> None:
        self.address = address
        self._masters = masters
        self._fallen = fallen
        self._plans: dict[bytes, _RedisPlan] = {}
        self._queue: list[_RedisPlan] = []
        self._link: RedisLink | None = None
        self._work: asyncio.Task[None] | None = None

    @property
    def plans(self) -> Collection[_RedisPlan]:
        return self._plans.values()

    def add(self, plan: _RedisPlan) -> None:
        self._plans[plan.wire] = plan
        self._queue.append(plan)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._subscribe_queued())

    def remove(self, plan: _RedisPlan) -> None:
        if self._plans.get(plan.wire) is not plan:
            return
        del self._plans[plan.wire]
        if self._link is not None:
            self._link.send_unanswered([("SUNSUBSCRIBE", plan.wire)])

    async def close(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        if self._link is not None:
            await self._link.close()

    async def _subscribe_queued(self) -> None:
        try:
            while self._queue:
                link = await self._opened()
                asked, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
                await self._subscribe(link, [plan for plan in asked if self._plans.get(plan.wire) is plan])
        except Exception as error:
            self._fall(as_log_error(error, f"a tail of {self.address}"))

    async def _subscribe(self, link: RedisLink, plans: Sequence[_RedisPlan]) -> None:
        errors = await link.send_unanswered([("SSUBSCRIBE", plan.wire) for plan in plans])
        if not errors:
            return
        missing = [plan for plan in plans if not plan.standing and self._plans.get(plan.wire) is plan]
        for plan in missing:
            del self._plans[plan.wire]
        if missing:
            rotating = self._masters.clients.rotating
            self._fallen(missing, as_log_error(errors[0], missing[0].channel, rotating=rotating))

    async def _opened(self) -> RedisLink:
        if self._link is not None and self._link.alive:
            return self._link
        link = RedisLink(str(self.address), self._pushed)
        await open_link(link, self._masters.clients, self.address)
        self._link = link
        link.ended.add_done_callback(lambda ended: self._fall(LogUnavailable(ended.result())))
        return link

    def _fall(self, error: LogError) -> None:
        plans = list(self._plans.values())
        self._plans.clear()
        self._queue.clear()
        if plans:
            self._fallen(plans, error)

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
            del self._plans[plan.wire]
            self._fallen([plan], LogUnavailable(f"the slot of {plan.channel} has moved"))
