"""The channels of this node: one is opened for a plan's first subscriber and closed a little after the last.

Every few seconds, and at once after a lost watch was resumed, the heads of all open channels are compared with the
log's, so that an event whose notification was lost is found without waiting for the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from broadcasters.errors import LogError
from broadcasters.log.contract import PlanLog
from broadcasters.supervision import Supervisor, log_failure
from hub.config.limits import ChannelLimits
from hub.core.channel import Channel, Traced
from hub.core.counts import HubCounts
from hub.core.subscriber import Client, Since, Standing, Subscriber

__all__ = ["NoRoom", "Pace", "Registry"]

log = logging.getLogger(__name__)

HEADS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals of the registry's work, in seconds."""

    sweep: float = 1.0
    compare: float = 5.0
    in_flight: float = 0.25
    """Events that a channel lacks for less than this may still be on their way; those that it lacks longer were lost."""
    linger: float = 3.0
    """A channel without subscribers is kept open this long, for a page that reloads."""


class NoRoom(Exception):
    """This node follows as many plans as it may."""


class Registry:
    """All channels of this node. `start` it; when its supervisor has closed, `close` it."""

    def __init__(
        self, plan_log: PlanLog, counts: HubCounts, limits: ChannelLimits, pace: Pace, max_channels: int = 4096
    ) -> None:
        self.channels: dict[str, Channel] = {}
        self.traced: Traced | None = None
        self.worked: Callable[[str, Sequence[bytes]], None] | None = None
        """Called with plan id and payloads of each append to a plan that is followed."""
        self._log = plan_log
        self._counts = counts
        self._limits = limits
        self._pace = pace
        self._max_channels = max_channels
        self._reserved = 0
        self._left: dict[Channel, float] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._compare_now = asyncio.Event()
        self._in_flight = pace.in_flight

    def join(self, client: Client, plan_id: str, since: Since | None) -> tuple[Channel, Subscriber]:
        """Add a subscriber to the plan's channel. After `channel.start`, its client is placed or refused.

        Raises `NoRoom` when this node follows as many plans as it may."""
        channel = self.channels.get(plan_id)
        if channel is None:
            self._make_room(1)
            outlets = self._compare_soon, self._failed, self.traced, self.worked
            channel = Channel(plan_id, self._log, self._limits, self._counts, *outlets)
            self.channels[plan_id] = channel
        self._left.pop(channel, None)
        return channel, channel.join(client, since)

    def left(self, channel: Channel) -> None:
        """Note that a subscriber left this channel. Without another one it is closed after a while, or to make room."""
        if not channel.subscribers and self.channels.get(channel.plan_id) is channel:
            self._left.setdefault(channel, asyncio.get_running_loop().time())

    def reserve(self, plans: int) -> None:
        """Count plans that are followed without a channel, or raise `NoRoom`. Undo it with `release`."""
        self._make_room(plans)
        self._reserved += plans

    def release(self, plans: int) -> None:
        self._reserved -= plans

    @property
    def full(self) -> bool:
        """Whether this node follows as many plans as it may."""
        return len(self.channels) - len(self._left) + self._reserved >= self._max_channels

    def _make_room(self, plans: int) -> None:
        """Close enough channels without subscribers for this many plans, those left longest ago first."""
        missing = len(self.channels) + self._reserved + plans - self._max_channels
        if missing > len(self._left):
            self._counts.refused_plans["process"] += 1
            raise NoRoom(
                f"this node follows {self._max_channels:,} plans, its limit; try again later, or raise PLANCAST_MAX_PLANS"
            )
        for channel in list(islice(self._left, max(0, missing))):
            self._drop(channel)

    @property
    def watch_lost(self) -> bool:
        """Whether the log has lost the watch of some channel."""
        return any(channel.watch_lost for channel in self.channels.values())

    def start(self, supervisor: Supervisor) -> None:
        """Sweep the channels and compare their heads until the supervisor closes."""
        supervisor.repeat("sweep of channels", self._sweep, every=self._pace.sweep)
        supervisor.repeat("comparison of heads", self._compare_all, every=self._pace.compare, wake=self._compare_now)

    async def close(self) -> None:
        """Close every channel."""
        for channel in self.channels.values():
            self._close(channel)
        self.channels.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def compare(self, in_flight: float) -> None:
        """Compare every open channel's head with the log's."""
        known = {plan_id: channel.head for plan_id, channel in self.channels.items() if channel.open}
        plan_ids = list(known)
        for at in range(0, len(plan_ids), HEADS_AT_ONCE):
            await self._compare(plan_ids[at : at + HEADS_AT_ONCE], known, in_flight)

    async def _compare(self, plan_ids: Sequence[str], known: Mapping[str, int], in_flight: float) -> None:
        heads = await self._log.heads(plan_ids)
        if any(heads[plan_id].offset > known[plan_id] for plan_id in plan_ids):
            await asyncio.sleep(in_flight)
        for plan_id, head in heads.items():
            if (channel := self.channels.get(plan_id)) is not None:
                channel.compare(head, known[plan_id])

    async def _compare_all(self) -> None:
        in_flight, self._in_flight = self._in_flight, self._pace.in_flight
        try:
            await self.compare(in_flight)
        except LogError as error:
            self._counts.log_errors[type(error).__name__] += 1
            log.warning("the heads of open channels can't be compared now: %s", error)

    def _compare_soon(self) -> None:
        """A watch was resumed: the events it missed are not on their way."""
        self._in_flight = 0.0
        self._compare_now.set()

    def _count(self) -> None:
        counts, standings, lag = self._counts, Counter[Standing](), 0
        for channel in self.channels.values():
            for subscriber in channel.subscribers:
                standings[subscriber.standing] += 1
                if subscriber.standing is Standing.BEHIND:
                    lag = max(lag, channel.head - subscriber.offset)
        counts.channels = len(self.channels)
        counts.tailed_plans = self._reserved
        counts.subscribers_live = standings[Standing.LIVE]
        counts.subscribers_behind = standings[Standing.BEHIND]
        counts.lag_events = lag

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for channel in list(self.channels.values()):
            channel.refuse_waiting()
            if channel.subscribers:
                self._left.pop(channel, None)
            elif now - self._left.setdefault(channel, now) >= self._pace.linger:
                self._drop(channel)
        self._count()

    def _drop(self, channel: Channel) -> None:
        del self.channels[channel.plan_id]
        self._left.pop(channel, None)
        self._close(channel)

    def _failed(self, channel: Channel) -> None:
        """Drop a channel whose tail failed: the plan's next subscriber gets a new channel."""
        if self.channels.get(channel.plan_id) is channel:
            self._drop(channel)

    def _close(self, channel: Channel) -> None:
        name = f"closing of the channel of plan {channel.plan_id}"
        closing = asyncio.get_running_loop().create_task(channel.close(), name=name)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        closing.add_done_callback(log_failure)
