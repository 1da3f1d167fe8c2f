"""Checks of Redis: version, eviction, memory, persistence, replication, clock, and those of Sentinels or a Cluster."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from broadcasters.errors import LogError, LogMisconfigured
from broadcasters.log.redis.clients import Clients
from broadcasters.log.redis.topology import masters_of
from broadcasters.log.redis.url import Address, RedisUrl
from hub.commands.doctor.finding import Finding, Status, clock_finding, worst

__all__ = ["master_findings", "sentinel_findings"]

OLDEST: Final = 7
SLOTS: Final = 16_384
FULL: Final = 0.95
NEARLY_FULL: Final = 0.8
_replica = re.compile(r"slave\d+")
CALLS: Final = (("INFO",), ("TIME",), ("CONFIG", "GET", "appendfsync"), ("CLUSTER", "INFO"))


@dataclass(frozen=True, slots=True)
class _MasterReply:
    """What a master replied."""

    address: Address
    info: Mapping[str, str]
    redis_time: float
    local_time: float
    took_s: float
    fsync: str
    """`appendfsync`; empty if the user may not read it."""
    cluster: Mapping[str, str]

    def command(self, *words: str) -> str:
        """A command line for this server. Its password belongs in REDISCLI_AUTH."""
        where = f"-s {self.address.host}" if not self.address.port else f"-h {self.address.host} -p {self.address.port}"
        return f"redis-cli {where} {' '.join(words)}"

    def number(self, name: str) -> int:
        text = self.info.get(name, "")
        return int(text) if text.isdecimal() else 0


async def master_findings(url: RedisUrl) -> list[Finding]:
    """Ask each master, and say what is wrong with the worst of them."""
    masters = masters_of(url, url.options.prefix)
    try:
        addresses = await masters.addresses()
        servers = await asyncio.gather(*(_server(masters.clients, address) for address in addresses))
    except LogError as error:
        return [Finding("reachable", "failed", str(error), _fix_of(error, url))]
    finally:
        await masters.close()
    return [_summed_up(alike) for alike in zip(*(_of_server(url, server) for server in servers), strict=True)]


def _summed_up(findings: Sequence[Finding]) -> Finding:
    """The worst of the findings of one check, with how many masters are like it."""
    shown = worst(findings)
    if len(findings) == 1:
        return shown
    like = sum(finding.status == shown.status for finding in findings)
    return replace(shown, found=f"{like} of {len(findings)} masters: {shown.found}")


def _fix_of(error: LogError, url: RedisUrl) -> str:
    first = url.addresses[0]
    if isinstance(error, LogMisconfigured):
        return f"export PLANCAST_LOG=redis://USER:PASSWORD@{first}"
    return f"redis-cli -h {first.host} -p {first.port} PING"


async def _server(clients: Clients, address: Address) -> _MasterReply:
    await clients.ask(address, [("PING",)])  # connects, so that the next trip shows the latency
    began, started = time.time(), time.perf_counter()
    info, at, fsync, cluster = await clients.ask(address, CALLS)
    took = time.perf_counter() - started
    for reply in (info, at):
        if isinstance(reply, Exception):
            raise LogError(f"Redis at {address} refused INFO or TIME: {reply}")
    redis_time = int(at[0]) + int(at[1]) / 1e6
    return _MasterReply(address, _facts(info), redis_time, began + took / 2, took, _setting(fsync), _facts(cluster))


def _facts(reply: Any) -> Mapping[str, str]:
    if hasattr(reply, "items"):  # the client has parsed it
        return {_text(name): _text(value) for name, value in reply.items()}
    pairs = (line.partition(":") for line in _text(reply).splitlines())
    return {name: value for name, _, value in pairs if value}


def _setting(reply: Any) -> str:
    """The value that CONFIG GET replies; empty if Redis refuses it."""
    return next(iter(_facts(reply).values()), "")


def _text(value: object) -> str:
    return (
        value.decode(errors="replace")
        if isinstance(value, bytes)
        else ""
        if isinstance(value, Exception)
        else str(value)
    )


def _of_server(url: RedisUrl, server: _MasterReply) -> Sequence[Finding]:
    findings = [_reachable(server), _eviction(server), _memory(server), _persistence(server)]
    findings.append(_replication(url, server))
    if url.kind == "cluster":
        findings.append(_cluster(server))
    return [*findings, clock_finding(server.redis_time - server.local_time, server.took_s / 2, "Redis")]


def _reachable(server: _MasterReply) -> Finding:
    version, fail = server.info.get("redis_version", "?"), partial(Finding, "reachable", "failed")
    if not version.partition(".")[0].isdecimal() or int(version.partition(".")[0]) < OLDEST:
        return fail(f"Redis is version {version}; {OLDEST}.0 or newer is required", "upgrade the Redis server")
    if server.info.get("loading") == "1":
        left = server.info.get("loading_eta_seconds", "?")
        return fail(f"Redis is loading its data, for {left} more seconds", server.command("INFO", "persistence"))
    if server.info.get("role") != "master":
        host, port = server.info.get("master_host", "?"), server.info.get("master_port", "?")
        return fail(f"{server.address} is a replica of {host}:{port}", f"export PLANCAST_LOG=redis://{host}:{port}")
    return Finding("reachable", "ok", f"Redis {version} answers in {server.took_s * 1000:.1f} ms")


def _eviction(server: _MasterReply) -> Finding:
    policy = server.info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Finding("eviction", "ok", "maxmemory-policy noeviction")
    found = f"maxmemory-policy is {policy}: plans are dropped when memory is short"
    return Finding("eviction", "failed", found, server.command("CONFIG SET maxmemory-policy noeviction"))


def _memory(server: _MasterReply) -> Finding:
    used, limit = server.number("used_memory"), server.number("maxmemory")
    shown = f"{used / 2**20:,.0f} MiB used"
    if not limit:
        return Finding("memory", "ok", f"{shown}, no maxmemory")
    share = used / limit
    found = f"{shown}, {share:.0%} of maxmemory"
    if share < NEARLY_FULL:
        return Finding("memory", "ok", found)
    status: Status = "failed" if share >= FULL else "warning"
    return Finding("memory", status, found, server.command(f"CONFIG SET maxmemory {max(2 * limit, 2 * used)}"))


def _persistence(server: _MasterReply) -> Finding:
    info, fail = server.info, partial(Finding, "persistence", "failed")
    where = server.command("CONFIG GET dir")
    if info.get("aof_enabled") == "1":
        if info.get("aof_last_write_status", "ok") != "ok":
            return fail(
                "Redis can't write its append-only file, and refuses events; free space in its directory", where
            )
        fsync = f", fsync {server.fsync}" if server.fsync else ""
        if server.fsync == "no":
            found = "append-only file without fsync: a crash of the machine loses half a minute of events"
            return Finding("persistence", "warning", found, server.command("CONFIG SET appendfsync everysec"))
        return Finding("persistence", "ok", f"append-only file{fsync}")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return fail("Redis can't write its snapshot (RDB), and may refuse events; free space in its directory", where)
    found = "no append-only file: a restart of Redis loses the latest events"
    return Finding("persistence", "warning", found, server.command("CONFIG SET appendonly yes"))


def _replication(url: RedisUrl, server: _MasterReply) -> Finding:
    replicas = [value for name, value in server.info.items() if _replica.fullmatch(name)]
    online = sum("online" in one for one in replicas)
    needed = url.options.replicas
    host, port = server.address
    start = f"redis-cli -h REPLICA REPLICAOF {host} {port}"
    if online < needed:
        found = f"replicas={needed} in the log's URL, but {online} connected: each append fails after a second"
        return Finding("replication", "failed", found, start)
    if online < len(replicas):
        found = f"{len(replicas) - online} of {len(replicas)} replicas are not in sync"
        return Finding("replication", "warning", found, server.command("INFO replication"))
    if url.kind != "single" and not online:
        return Finding("replication", "warning", "no replica: there is nothing to fail over to", start)
    return Finding("replication", "ok", {0: "no replica", 1: "1 replica"}.get(online, f"{online} replicas"))


def _cluster(server: _MasterReply) -> Finding:
    state, slots = server.cluster.get("cluster_state", "?"), server.cluster.get("cluster_slots_ok", "0")
    if state == "ok" and int(slots) == SLOTS:
        return Finding("cluster", "ok", f"all slots are served by {server.cluster.get('cluster_size')} masters")
    found = f"cluster_state {state}, {int(slots):,} of {SLOTS:,} slots are served"
    fix = f"redis-cli --cluster fix {server.address}"
    return Finding("cluster", "failed", found, fix)


async def sentinel_findings(url: RedisUrl) -> list[Finding]:
    """Ask each Sentinel whether a failover would find a majority."""
    clients = Clients.of_url(url.sentinel_user, url.tls)
    try:
        replies = await asyncio.gather(*(_quorum(clients, one, url.service) for one in url.addresses))
    finally:
        await clients.close()
    return [_verdict(url, dict(zip(url.addresses, replies, strict=True)))]


async def _quorum(clients: Clients, address: Address, service: str) -> Any:
    """The Sentinel's answer to whether a failover would find a majority; an exception if there is none."""
    try:
        [reply] = await clients.ask(address, [("SENTINEL", "CKQUORUM", service)])
    except LogError as error:
        return error
    return reply


def _verdict(url: RedisUrl, replies: Mapping[Address, Any]) -> Finding:
    silent = [address for address, reply in replies.items() if isinstance(reply, LogError)]
    doubts = [reply for reply in replies.values() if isinstance(reply, Exception) and not isinstance(reply, LogError)]
    answering = f"{len(replies) - len(silent)} of {len(replies)} Sentinels answer"
    if doubts or 2 * len(silent) >= len(replies):
        reason = f": {doubts[0]}" if doubts else ""
        return Finding("sentinels", "failed", f"{answering}{reason}", _sentinel_fix(url, url.addresses[0]))
    if silent:
        missing = ", ".join(map(str, silent))
        return Finding("sentinels", "warning", f"{answering}; not {missing}", _sentinel_fix(url, silent[0]))
    if len(replies) == 1:
        found = "the log's URL names one Sentinel: without it, no client finds the master"
        return Finding("sentinels", "warning", found, "redis+sentinel://A:26379,B:26379,C:26379/" + url.service)
    return Finding("sentinels", "ok", f"{answering}, and agree on a quorum")


def _sentinel_fix(url: RedisUrl, address: Address) -> str:
    return f"redis-cli -h {address.host} -p {address.port} SENTINEL CKQUORUM {url.service}"
