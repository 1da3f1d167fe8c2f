"""Where masters are found: at a fixed address, as most Sentinels name them, or in a Cluster's map.

Every question goes through clients of `redis`; whom to believe is decided here, because the library believes the first
server that answers, which may be cut off from the others.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.crc import key_slot

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.redis.clients import Call, Clients
from broadcasters.log.redis.masters import Masters
from broadcasters.log.redis.refusals import as_log_error
from broadcasters.log.redis.url import Address, RedisUrl

__all__ = ["ClusterMasters", "SentinelMasters", "SingleMaster", "masters_of"]

SLOTS: Final = 16_384
ANSWER_PATIENCE: Final = 2.0
VIEWS: Final = 3
"""Nodes of a Cluster that are asked for its map at a time: a single one may be cut off and not know it."""


def masters_of(source: object, prefix: str) -> Masters:
    """As a URL or a configured client describes them. A client is only read: the log opens connections of its own."""
    match source:
        case RedisUrl():
            return _of_url(source, prefix)
        case RedisCluster():
            return _of_cluster(source, prefix)
        case Redis():
            return _of_client(source, prefix)
        case _:
            kind = f"{type(source).__module__}.{type(source).__qualname__}"
            raise LogMisconfigured(
                f"a log is named by a URL or by a client of redis.asyncio (Redis or RedisCluster), not by a {kind}"
            )


def _of_url(source: RedisUrl, prefix: str) -> Masters:
    clients = Clients.of_url(source.user, source.tls, source.db)
    match source.kind:
        case "single":
            return SingleMaster(clients, prefix, source.addresses[0])
        case "sentinel":
            sentinels = Clients.of_url(source.sentinel_user, source.tls)
            return SentinelMasters(clients, prefix, source.service, [(sentinels, one) for one in source.addresses])
        case "cluster":
            return ClusterMasters(clients, prefix, source.addresses)


def _of_client(client: Redis, prefix: str) -> Masters:
    pool: Any = client.connection_pool
    options: dict[str, Any] = pool.connection_kwargs
    if not isinstance(pool, SentinelConnectionPool):
        return SingleMaster(Clients(pool.connection_class, options), prefix, _address(options))
    return _of_sentinel(pool, options, prefix)


def _of_sentinel(pool: Any, options: dict[str, Any], prefix: str) -> Masters:
    if not pool.is_master:
        raise LogMisconfigured("this Sentinel client reads from replicas; expected one from Sentinel.master_for(…)")
    clients = Clients(SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection, options)
    pools: list[Any] = [sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels]
    sentinels = [
        (Clients(one.connection_class, one.connection_kwargs), _address(one.connection_kwargs)) for one in pools
    ]
    return SentinelMasters(clients, prefix, pool.service_name, sentinels)


def _of_cluster(cluster: RedisCluster, prefix: str) -> Masters:
    options = {name: value for name, value in cluster.connection_kwargs.items() if name != "redis_connect_func"}
    seeds = [Address(node.host, int(node.port)) for node in cluster.startup_nodes]
    clients = Clients(options.get("connection_class", Connection), options)
    return ClusterMasters(clients, prefix, seeds, cluster.nodes_manager.remap_host_port)


def _address(options: Mapping[str, Any]) -> Address:
    if path := options.get("path"):
        return Address(path, 0)
    return Address(options.get("host", "localhost"), int(options.get("port", 6379)))


class SingleMaster(Masters):
    """One server."""

    fixed = True

    def __init__(self, clients: Clients, prefix: str, address: Address) -> None:
        super().__init__(clients, prefix)
        self._address = address
        self._doubted = False

    async def _ask(self) -> None:
        return

    def _holder(self, key: str) -> Address:  # noqa: ARG002 - it holds all keys
        return self._address

    def _addresses(self) -> Collection[Address]:
        return (self._address,)


class SentinelMasters(Masters):
    """One master at a time: the one that most Sentinels name. (One that is cut off may still name the old master.)"""

    def __init__(
        self, clients: Clients, prefix: str, service: str, sentinels: Sequence[tuple[Clients, Address]]
    ) -> None:
        super().__init__(clients, prefix)
        self._service = service
        self._sentinels = sentinels
        self._address: Address | None = None

    async def close(self) -> None:
        await super().close()
        for clients, _ in self._sentinels:
            await clients.close()

    async def _ask(self) -> None:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        replies = await _ask_all(self._sentinels, question)
        named = Counter(Address(pair[0].decode(), int(pair[1])) for (pair,) in replies.values() if pair)
        if not named:
            raise LogMisconfigured(f"no Sentinel knows a master called {self._service!r}")
        self._address = named.most_common(1)[0][0]

    def _holder(self, key: str) -> Address:  # noqa: ARG002 - it holds all keys
        assert self._address is not None  # noqa: S101 - asked before
        return self._address

    def _addresses(self) -> Collection[Address]:
        return () if self._address is None else (self._address,)


class ClusterMasters(Masters):
    """Each slot's master, by the map of the node that knows of the latest election."""

    def __init__(
        self,
        clients: Clients,
        prefix: str,
        seeds: Sequence[Address],
        remap: Callable[[str, int], tuple[str, int]] | None = None,
    ) -> None:
        super().__init__(clients, prefix)
        self._seeds = seeds
        self._remap = remap
        self._slots: list[Address | None] = []
        self._nodes: frozenset[Address] = frozenset()

    def remapped(self, address: Address) -> Address:
        return Address(*self._remap(*address)) if self._remap else address

    async def _ask(self) -> None:
        known = [*self._nodes]
        random.shuffle(known)
        try:
            views = await self._views(known[:VIEWS] or self._seeds)
        except LogUnavailable:
            views = await self._views({*known, *self._seeds})
        asked, (_, _, ranges) = max(views.items(), key=lambda view: view[1][:2])
        self._learn(asked, ranges)
        await self.clients.keep_only({*self._nodes, *self._seeds})

    async def _views(self, addresses: Collection[Address]) -> Mapping[Address, tuple[bool, int, Any]]:
        nodes = [(self.clients, address) for address in addresses]
        replies = await _ask_all(nodes, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        return {address: (*_state(info), ranges) for address, (info, ranges) in replies.items()}

    def _learn(self, asked: Address, ranges: Any) -> None:
        slots: list[Address | None] = [None] * SLOTS
        nodes: set[Address] = set()
        for first, last, *servers in ranges:
            at = [self.remapped(Address(_host(server[0]) or asked.host, int(server[1]))) for server in servers]
            slots[first : last + 1] = [at[0]] * (last + 1 - first)
            nodes.update(at)
        self._slots, self._nodes = slots, frozenset(nodes)

    def _holder(self, key: str) -> Address:
        slot = key_slot(key.encode())
        address = self._slots[slot]
        if address is None:
            self.doubt()
            raise LogUnavailable(f"no node of the Redis cluster serves slot {slot} at the moment")
        return address

    def _addresses(self) -> Collection[Address]:
        return {address for address in self._slots if address is not None}


def _state(info: bytes) -> tuple[bool, int]:
    facts = {name: value for name, _, value in (line.partition(b":") for line in info.split(b"\r\n"))}
    return facts.get(b"cluster_state") == b"ok", int(facts.get(b"cluster_current_epoch", 0))


def _host(name: bytes | None) -> str:
    return "" if name in (None, b"?") else name.decode()


async def _ask_all(servers: Collection[tuple[Clients, Address]], *calls: Call) -> Mapping[Address, Sequence[Any]]:
    """The replies of those servers that answered. Raises the first one's error if none did."""
    asked = await asyncio.gather(*(_ask(*server, calls) for server in servers), return_exceptions=True)
    replies = {address: reply for (_, address), reply in zip(servers, asked, strict=True) if isinstance(reply, list)}
    if not replies:
        for reply in asked:
            if isinstance(reply, BaseException):
                raise reply
    return replies


async def _ask(clients: Clients, address: Address, calls: Sequence[Call]) -> list[Any]:
    about = f"asking {address} where plans are held"
    try:
        async with asyncio.timeout(ANSWER_PATIENCE):
            replies = await clients.ask(address, calls)
    except TimeoutError as error:
        raise as_log_error(error, about) from None
    for reply in replies:
        if isinstance(reply, Exception):
            raise as_log_error(reply, about, rotating=clients.rotating)
    return replies
