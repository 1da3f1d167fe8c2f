"""The log in real Redis servers: a single one, one with Sentinels, and a Cluster. Each test has a prefix of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from tests.contract.backends import Backend
from tests.servers import RedisCluster, RedisServer, SentinelSet

Servers = RedisServer | SentinelSet | RedisCluster


class Redis(Backend):
    def __init__(self, name: str, servers: Callable[[], Servers]) -> None:
        self.name = name  # type: ignore[misc]
        self._make = servers
        self._numbers = itertools.count(1)

    def start(self) -> None:
        self._servers = self._make().start()

    def url(self) -> str:
        return f"{self._servers.url}?prefix=test{next(self._numbers)}"

    def stop(self) -> None:
        self._servers.close()


BACKENDS = [
    Redis("redis", RedisServer),
    Redis("redis-sentinel", SentinelSet),
    Redis("redis-cluster", RedisCluster),
]
