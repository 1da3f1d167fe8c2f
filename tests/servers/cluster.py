"""A Redis Cluster: three masters, each with a replica."""

from __future__ import annotations

from binascii import crc_hqx
from functools import partial
from typing import Any, Self

from tests.servers.process import RedisServer, eventually

__all__ = ["RedisCluster", "slot_of"]

SLOTS = 16_384


def slot_of(plan_id: str) -> int:
    return crc_hqx(plan_id.encode(), 0) % SLOTS


class RedisCluster:
    """A running cluster; `replicas[i]` replicates `masters[i]` until a failover."""

    def __init__(self, shards: int = 3, *, replicas: bool = True, node_timeout_ms: int = 3000, **options: Any) -> None:
        self._shards = shards
        self._replicated = replicas
        self._options = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": node_timeout_ms,
            "cluster_allow_replica_migration": "no",
            **options,
        }
        self.masters: list[RedisServer] = []
        self.replicas: list[RedisServer] = []

    @property
    def nodes(self) -> list[RedisServer]:
        return [*self.masters, *self.replicas]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def start(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def holder(self, plan_id: str) -> RedisServer:
        """The node that is the master of this plan now, according to the running nodes."""
        slot = slot_of(plan_id)
        for node in self.nodes:
            if node.alive and node.info("replication")["role"] == "master" and self._serves(node, slot):
                return node
        raise AssertionError(f"no node serves {plan_id}")

    def replica_of(self, master: RedisServer) -> RedisServer:
        return next(
            node
            for node in self.nodes
            if node.alive and node is not master and node.info("replication").get("master_port") == str(master.port)
        )

    def move_slot(self, plan_id: str, source: RedisServer, target: RedisServer) -> None:
        """Moves the plan's slot with all its keys from one master to another, as a reshard does."""
        self.begin_move(plan_id, source, target)
        while self.move_key(plan_id, source, target):
            pass
        self.end_move(plan_id, source, target)

    def begin_move(self, plan_id: str, source: RedisServer, target: RedisServer) -> None:
        slot = slot_of(plan_id)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.call("CLUSTER", "MYID"))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.call("CLUSTER", "MYID"))

    def move_key(self, plan_id: str, source: RedisServer, target: RedisServer) -> str | None:
        """Moves one key of the slot; returns its name, or None when none is left."""
        for key in source.call("CLUSTER", "GETKEYSINSLOT", slot_of(plan_id), 1):
            source.call("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            return str(key)
        return None

    def end_move(self, plan_id: str, source: RedisServer, target: RedisServer) -> None:
        for node in (target, source):
            node.call("CLUSTER", "SETSLOT", slot_of(plan_id), "NODE", target.call("CLUSTER", "MYID"))

    def wait_until_ok(self) -> None:
        """Waits until every running node reports that all slots are served."""
        for node in self.nodes:
            if node.alive:
                eventually("the cluster state is ok", partial(self._is_ok, node))

    def _serves(self, node: RedisServer, slot: int) -> bool:
        ranges = node.call("CLUSTER", "SLOTS")
        return any(first <= slot <= last and master[1] == node.port for first, last, master, *_ in ranges)

    def _begin(self) -> None:
        for _ in range(self._shards):
            self.masters.append(self._node())
        for _ in range(self._shards if self._replicated else 0):
            self.replicas.append(self._node())
        size = SLOTS // self._shards
        for index, master in enumerate(self.masters):
            last = SLOTS - 1 if index == self._shards - 1 else (index + 1) * size - 1
            master.call("CLUSTER", "ADDSLOTSRANGE", index * size, last)
        for index, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    other.call("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for node in self.nodes:
            eventually("all nodes know each other", partial(self._knows_all, node))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.call("CLUSTER", "REPLICATE", master.call("CLUSTER", "MYID"))
        for replica in self.replicas:
            eventually("the replica is linked", partial(self._replicates, replica))
        self.wait_until_ok()

    def _is_ok(self, node: RedisServer) -> bool:
        return "cluster_state:ok" in node.call("CLUSTER", "INFO")

    def _replicates(self, node: RedisServer) -> bool:
        return node.info("replication").get("master_link_status") == "up"

    def _knows_all(self, node: RedisServer) -> bool:
        known = str(node.call("CLUSTER", "NODES")).splitlines()
        return len(known) == len(self.nodes) and not any("handshake" in line for line in known)

    def _node(self) -> RedisServer:
        return RedisServer(**self._options).start()
