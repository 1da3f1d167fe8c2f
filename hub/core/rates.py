"""Rate limits of each principal and each address, over HTTP and on sockets.

A request costs one unit, or one of the costs below (docs/OPERATIONS.md lists them). A client without units is refused
with the time after which it may retry.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

from broadcasters.errors import PlancastError
from hub.config.limits import RequestLimits
from hub.core.shares import Holder, Kind

__all__ = ["ANSWER", "CARRIED_BYTES", "LIGHT", "ONE", "SNAPSHOT", "START", "Rates", "TokenBucket", "TooManyRequests"]

ONE: Final = 1.0
LIGHT: Final = 0.05
"""For frequent requests of agents and readers: appending, reading events, waiting for one."""
START: Final = 5.0
"""Starting a plan costs the engine several writes to its database."""
ANSWER: Final = 5.0
"""An answer is checked against a schema, and the plan is read twice for it."""
SNAPSHOT: Final = 0.25
"""For each plan that is folded for one request."""
CARRIED_BYTES: Final = 256 * 1024
"""Bytes of a body, or of a page of events, that cost one more unit."""
LEAST_BURST: Final = 20.0
"""More than the highest cost that is charged in advance."""
MAX_BUCKETS: Final = 16_384
"""Buckets kept at once; beyond it the least recently used is evicted."""


class TokenBucket:
    """Token bucket: up to `burst` at once, and `rate` a second. Callers pass the time, in seconds that never go back."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Take the amount if the bucket holds it, otherwise nothing; returns whether it did."""
        level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now
        self._level = level - amount if (enough := level >= amount) else level
        return enough

    def owe(self, amount: float, now: float) -> None:
        """Take the amount even if the bucket holds less: the debt must be refilled before anything can be taken."""
        self._level = min(self.burst, self._level + (now - self._at) * self.rate) - amount
        self._at = now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; infinite if it never can."""
        if amount > self.burst:
            return float("inf")
        missing = amount - min(self.burst, self._level + (now - self._at) * self.rate)
        return max(0.0, missing / self.rate) if self.rate else (0.0 if missing <= 0 else float("inf"))


class TooManyRequests(PlancastError):
    """This address or this principal has made too many requests; it may retry after `wait` seconds."""

    def __init__(self, kind: Kind, rate: float, wait: float) -> None:
        setting = f"PLANCAST_REQUESTS_PER_SECOND_PER_{kind.upper()}"
        self.kind = kind
        self.wait = ceil(wait)
        super().__init__(
            f"more requests than the {rate:g} a second of this {kind}; wait {self.wait} s, or raise {setting}"
        )


class Rates:
    """A token bucket for each address and each principal."""

    def __init__(
        self, limits: RequestLimits, refused: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate: dict[Kind, float] = {"address": limits.per_address, "principal": limits.per_principal}
        self._burst_seconds = limits.burst_seconds
        self._refused = refused
        self._clock = clock
        self._buckets: OrderedDict[tuple[Kind, str], TokenBucket] = OrderedDict()

    def charge(self, holder: Holder, cost: float) -> None:
        """Take `cost` units, or raise `TooManyRequests` and take nothing."""
        if (refusal := self._take(holder, cost)) is not None:
            self._refused[refusal.kind] += 1
            raise refusal

    def affords(self, holder: Holder, cost: float) -> bool:
        """Take `cost` units if there are enough; returns whether there were."""
        return self._take(holder, cost) is None

    def owe(self, holder: Holder, cost: float) -> None:
        """Take what a request turned out to cost, even if that leaves less than nothing for the requests after it."""
        now = self._clock()
        for key in holder.counted:
            self._bucket(key, now).owe(cost, now)

    def __len__(self) -> int:
        return len(self._buckets)

    def _take(self, holder: Holder, cost: float) -> TooManyRequests | None:
        now = self._clock()
        self._drop_full_buckets(now)
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
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket

    def _drop_full_buckets(self, now: float) -> None:
        """Drop buckets that are full again: a new bucket is the same."""
        while self._buckets and (oldest := next(iter(self._buckets.values()))).wait(oldest.burst, now) <= 0:
            self._buckets.popitem(last=False)
