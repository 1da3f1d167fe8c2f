"""Real servers for tests, on free loopback ports; each ends with the test that started it.

with RedisServer(appendonly="yes") as server:             # one redis-server
with RedisCluster() as cluster:                           # three masters, each with a replica
with SentinelSet() as sentinels:                          # a master, a replica, and three Sentinels that watch them
async with Proxy(server.port) as proxy:                   # a connection to it that can stall

The Redis servers can also be started once for many tests: `start()` and `close()` are plain functions.
"""

from __future__ import annotations

from tests.servers.cluster import RedisCluster
from tests.servers.process import RedisServer, eventually
from tests.servers.proxy import Proxy
from tests.servers.sentinel import SentinelSet

__all__ = ["Proxy", "RedisCluster", "RedisServer", "SentinelSet", "eventually"]
