"""How much each principal and each address may ask for in the long run, over HTTP and on sockets.

A request costs one unit, or what is said below (and in docs/OPERATIONS.md). Whoever has none left is told when to ask
again.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

from broadcasters.errors import PlancastError
from hub.config.limits import RequestLimits, TokenBucket
from hub.core.shares import Holder, Kind

__all__ = ["ANSWER", "CARRIED_BYTES", "LIGHT", "ONE", "SNAPSHOT", "START", "Rates", "TooManyRequests"]

ONE: Final = 1.0
LIGHT: Final = 0.05
"""What agents and readers ask for all day long: appending, reading events, waiting for one."""
START: Final = 5.0
"""A plan costs the engine several writes to its database before it says anything."""
ANSWER: Final = 5.0
"""An answer may be checked against a schema, and reads the plan twice."""
SNAPSHOT: Final = 0.25
"""For each plan that is folded to answer one request."""
CARRIED_BYTES: Final = 256 * 1024
"""So many bytes of a body, or of a page of events, cost one unit more."""
LEAST_BURST: Final = 20.0
"""More than anything costs that is taken beforehand."""
REMEMBERED: Final = 16_384
"""Principals and addresses at most. Beyond it the one that asked for nothing for the longest time is forgotten."""


class TooManyRequests(PlancastError):
    """This address or this principal has asked for too much lately. `wait` says for how many seconds it has to wait."""

    def __init__(self, kind: Kind, rate: float, wait: float) -> None:
        setting = f"PLANCAST_REQUESTS_PER_SECOND_PER_{kind.upper()}"
        self.kind = kind
        self.wait = ceil(wait)
        super().__init__(
            f"more requests than the {rate:g} a second of this {kind}; wait {self.wait} s, or raise {setting}"
        )


class Rates:
    """What each address and each principal may still ask for."""

    def __init__(
        self, limits: RequestLimits, refused: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate: dict[Kind, float] = {"address": limits.per_address, "principal": limits.per_principal}
        self._burst_seconds = limits.burst_seconds
        self._refused = refused
        self._clock = clock
        self._buckets: OrderedDict[tuple[Kind, str], TokenBucket] = OrderedDict()

    def charge(self, holder: Holder, cost: float) -> None:
        """Take so many units, or raise `TooManyRequests` and take nothing."""
        if (refusal := self._take(holder, cost)) is not None:
            self._refused[refusal.kind] += 1
            raise refusal

    def affords(self, holder: Holder, cost: float) -> bool:
        """Take so many units if there are as many."""
        return self._take(holder, cost) is None

    def owe(self, holder: Holder, cost: float) -> None:
        """Take what a request turned out to cost; what is missing is missing to those that follow."""
        now = self._clock()
        for key in holder.counted:
            self._bucket(key, now).owe(cost, now)

    def __len__(self) -> int:
        return len(self._buckets)

    def _take(self, holder: Holder, cost: float) -> TooManyRequests | None:
        now = self._clock()
        self._forget_who_is_idle(now)
        buckets: list[tuple[Kind, TokenBucket]] = [(key[0], self._bucket(key, now)) for key in holder.counted]
        for kind, bucket in buckets:
            if (wait := bucket.wait(cost, now)) > 0:
                return TooManyRequests(kind, bucket.rate, wait)
        for _, bucket in buckets:
            bucket.take(cost, now)
        return None

    def _bucket(self, key: tuple[Kind, str], now: float) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            rate = self._rate[key[0]]
            burst = max(LEAST_BURST, rate * self._burst_seconds)
            bucket = self._buckets[key] = TokenBucket(rate, burst, now)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket

    def _forget_who_is_idle(self, now: float) -> None:
        """A bucket that is full again says what a new one says."""
        while self._buckets and (oldest := next(iter(self._buckets.values()))).wait(oldest.burst, now) <= 0:
            self._buckets.popitem(last=False)
