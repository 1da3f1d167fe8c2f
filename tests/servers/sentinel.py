"""A master, its replica, and three Sentinels that watch them."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from tests.servers.process import RedisServer, eventually

__all__ = ["SentinelSet"]

SERVICE = "plans"


class SentinelSet:
    """A running set; when the master is killed, the Sentinels promote the replica within seconds."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.servers: list[RedisServer] = []
        self.sentinels: list[RedisServer] = []

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/{SERVICE}"

    @property
    def master(self) -> RedisServer:
        """The master according to the first running Sentinel."""
        sentinel = next(one for one in self.sentinels if one.alive)
        _, port = sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.servers if server.port == int(port))

    def start(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for one in (*self.sentinels, *self.servers):
            one.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        master = RedisServer(**self._options).start()
        self.servers.append(master)
        replica = RedisServer(replicaof=f"127.0.0.1 {master.port}", **self._options).start()
        self.servers.append(replica)
        eventually("the replica is linked", lambda: replica.info("replication")["master_link_status"] == "up")
        for _ in range(3):
            self.sentinels.append(self._sentinel(master))
        for sentinel in self.sentinels:
            eventually("the Sentinels know each other and the replica", partial(self._complete, sentinel))

    def _sentinel(self, master: RedisServer) -> RedisServer:
        sentinel = RedisServer(sentinel=True).start()
        sentinel.call("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", master.port, 2)
        for name, value in (("down-after-milliseconds", 1500), ("failover-timeout", 6000)):
            sentinel.call("SENTINEL", "SET", SERVICE, name, value)
        return sentinel

    def _complete(self, sentinel: RedisServer) -> bool:
        reply = sentinel.call("SENTINEL", "MASTER", SERVICE)
        facts = dict(zip(reply[::2], reply[1::2], strict=True))
        return (facts["num-other-sentinels"], facts["num-slaves"]) == ("2", "1")
