"""What each address and each principal uses of this process: connections, and followed plans.

Counting costs a few dictionary operations when a client connects or subscribes, and nothing per event. An entry is
dropped when its count is 0, so no table is larger than what is in use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, NamedTuple

from broadcasters.errors import PlancastError
from hub.config.limits import ConnectionLimits, PlanLimits

__all__ = [
    "ConnectionCounts",
    "HeldBytes",
    "Holder",
    "Kind",
    "PlanShares",
    "TooManyBytes",
    "TooManyConnections",
    "TooManyPlans",
    "network",
]

Kind = Literal["address", "principal"]


class Holder(NamedTuple):
    """The address and the principal that a client's usage is counted for."""

    address: str
    """As `network` returns it; empty when there is none (a Unix socket)."""
    principal: str | None
    """The `sub` of its token; None on a hub without authentication."""

    @property
    def counted(self) -> Iterator[tuple[Kind, str]]:
        if self.address:
            yield "address", self.address
        if self.principal is not None:
            yield "principal", self.principal


class TooManyConnections(PlancastError):
    """The connection limit of an address, a principal or the process is reached; `kind` is which of them."""

    def __init__(self, kind: str, limit: int, setting: str) -> None:
        super().__init__(f"already {limit:,} connections of this {kind}; close some, or raise {setting}")
        self.kind = kind


class TooManyPlans(PlancastError):
    """The plan limit of an address or a principal is reached; `kind` is which of them."""

    def __init__(self, kind: Kind, limit: int) -> None:
        setting = f"PLANCAST_MAX_PLANS_PER_{kind.upper()}"
        super().__init__(f"this {kind} follows {limit:,} plans, its limit; unsubscribe from some, or raise {setting}")
        self.kind = kind


class TooManyBytes(PlancastError):
    """The large requests of an address, or of the process, have the bytes that they may have at once."""

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"the large requests of this {kind} have {limit:,} bytes already, the most at once; try again")


class HeldBytes:
    """Counts the bytes of the large requests that a process holds, from each address and in all, while it receives them and
    until it has answered."""

    def __init__(self, per_address: int, total: int) -> None:
        self._most = per_address
        self._most_in_all = total
        self._addresses: Counter[str] = Counter()
        self.total = 0

    def take(self, origin: str, size: int) -> None:
        """Count this many more bytes of `network(address)`, or raise `TooManyBytes`. Undo it with `give_back`."""
        if self.total + size > self._most_in_all:
            raise TooManyBytes("process", self._most_in_all)
        if origin and self._addresses[origin] + size > self._most:
            raise TooManyBytes("address", self._most)
        self._addresses[origin] += size
        self.total += size

    def give_back(self, origin: str, size: int) -> None:
        self.total -= size
        self._addresses[origin] -= size
        if not self._addresses[origin]:
            del self._addresses[origin]

    def __len__(self) -> int:
        return len(self._addresses)


class ConnectionCounts:
    """Counts the connections of each address and each principal in this process."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._addresses: dict[str, int] = {}
        self._principals: dict[str, int] = {}
        self.total = 0

    @property
    def full(self) -> bool:
        """Whether the process has reached its connection limit."""
        return self.total >= self._limits.total

    def enter(self, address: str | None) -> str:
        """Count a connection from this address before it costs anything, or raise `TooManyConnections`.

        Pass the result to `leave`, exactly once. Without an address (a Unix socket) only the total is counted.
        """
        if self.full:
            raise TooManyConnections("process", self._limits.total, "PLANCAST_MAX_CONNECTIONS")
        origin = network(address)
        if origin:
            _count(self._addresses, origin, "address", self._limits.per_address)
        self.total += 1
        return origin

    def leave(self, origin: str) -> None:
        self.total -= 1
        if origin:
            _uncount(self._addresses, origin)

    def claim(self, subject: str) -> None:
        """Count a connection for its principal, or raise `TooManyConnections`. Undo it with `release`, exactly once."""
        _count(self._principals, subject, "principal", self._limits.per_principal)

    def release(self, subject: str) -> None:
        _uncount(self._principals, subject)

    def __len__(self) -> int:
        return len(self._addresses) + len(self._principals)


_SETTING: Final = {
    "address": "PLANCAST_MAX_CONNECTIONS_PER_ADDRESS",
    "principal": "PLANCAST_MAX_CONNECTIONS_PER_PRINCIPAL",
}


def _count(counts: dict[str, int], key: str, kind: str, limit: int) -> None:
    if (held := counts.get(key, 0)) >= limit:
        raise TooManyConnections(kind, limit, _SETTING[kind])
    counts[key] = held + 1


def _uncount(counts: dict[str, int], key: str) -> None:
    if counts[key] == 1:
        del counts[key]
    else:
        counts[key] -= 1


@dataclass(slots=True)
class _Share:
    """What one address or one principal follows: plans with their numbers of subscriptions, and the plans of its tails."""

    plans: dict[str, int] = field(default_factory=dict[str, int])
    tailed: int = 0

    @property
    def size(self) -> int:
        return len(self.plans) + self.tailed


class PlanShares:
    """Counts the plans that each address and each principal follows in this process.

    A plan followed on several connections counts once, because the process follows it once. A tail has its own watch for
    each of its plans, so each of them counts.
    """

    def __init__(self, limits: PlanLimits, refused: Counter[str]) -> None:
        self._refused = refused
        self._most: dict[Kind, int] = {"address": limits.per_address, "principal": limits.per_principal}
        self._shares: dict[tuple[Kind, str], _Share] = {}

    def follow(self, holder: Holder, plan_id: str) -> None:
        """Count a subscription, or raise `TooManyPlans`. Undo it with `unfollow`, exactly once."""
        for key in holder.counted:
            share = self._shares.get(key)
            if share is None or plan_id not in share.plans:
                self._require_room(key, 1)
        for key in holder.counted:
            plans = self._shares.setdefault(key, _Share()).plans
            plans[plan_id] = plans.get(plan_id, 0) + 1

    def unfollow(self, holder: Holder, plan_id: str) -> None:
        for key in holder.counted:
            _uncount(self._shares[key].plans, plan_id)
            self._forget_if_empty(key)

    @contextmanager
    def following(self, holder: Holder, plan_id: str) -> Generator[None]:
        """Count a subscription within the `with` block."""
        self.follow(holder, plan_id)
        try:
            yield
        finally:
            self.unfollow(holder, plan_id)

    def tail(self, holder: Holder, plans: int) -> None:
        """Count the plans of a tail, or raise `TooManyPlans`. Undo it with `untail`, exactly once."""
        for key in holder.counted:
            self._require_room(key, plans)
        for key in holder.counted:
            self._shares.setdefault(key, _Share()).tailed += plans

    def untail(self, holder: Holder, plans: int) -> None:
        for key in holder.counted:
            self._shares[key].tailed -= plans
            self._forget_if_empty(key)

    def __len__(self) -> int:
        return len(self._shares)

    def _require_room(self, key: tuple[Kind, str], plans: int) -> None:
        share, most = self._shares.get(key), self._most[key[0]]
        if (share.size if share else 0) + plans > most:
            self._refused[key[0]] += 1
            raise TooManyPlans(key[0], most)

    def _forget_if_empty(self, key: tuple[Kind, str]) -> None:
        if self._shares[key].size == 0:
            del self._shares[key]


def network(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which a household or a server has."""
    if not address:
        return ""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else f"{IPv6Address(int(ip) >> 64 << 64)}/64"
    return str(ip)
