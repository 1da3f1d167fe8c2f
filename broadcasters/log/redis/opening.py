"""How a link is opened: `redis` connects and logs in, the link takes over, and the server is checked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.redis.clients import Clients
from broadcasters.log.redis.link import RedisLink, retrieved
from broadcasters.log.redis.refusals import as_log_error
from broadcasters.log.redis.url import Address

__all__ = ["open_link"]

OPEN_PATIENCE: Final = 4.0
"""Seconds for connecting and logging in, and again for checking the server."""
OLDEST_VERSION: Final = 7
_PROBE: Final = ("INFO", "replication")


async def open_link(link: RedisLink, clients: Clients, address: Address) -> Mapping[str, str]:
    """Connect the link to a master that can keep the log's promises, and start its watchdog, which ends it when that
    changes. Returns what INFO says about the server.

    `LogMisconfigured` says what has to be changed; `LogUnavailable`: not this server, or not now.
    """
    connection = clients.connection(address)
    try:
        async with asyncio.timeout(OPEN_PATIENCE):
            await connection.connect()  # type: ignore[no-untyped-call]
            link.take_over(connection)
        if not connection.client_name:
            link.send("CLIENT", "SETNAME", "plancast").add_done_callback(retrieved)
        async with asyncio.timeout(OPEN_PATIENCE):
            info = _parsed(await link.call("INFO", "server", "replication", "memory", "persistence"))
        _check(link.name, info)
    except BaseException as error:
        await _abort(connection)
        await link.close()
        if not isinstance(error, Exception):
            raise
        raise as_log_error(error, f"Redis at {address}", rotating=clients.rotating) from None
    replid = info["master_replid"]
    link.beat(_PROBE, lambda reply: _verdict(_parsed(reply), replid))
    clients.links.add(link)
    return info


async def _abort(connection: AbstractConnection) -> None:
    """Close it without waiting for the other side, which TLS would do."""
    writer = connection._writer  # pyright: ignore[reportPrivateUsage]
    if writer is not None:
        writer.transport.abort()
    with suppress(RedisError):
        await connection.disconnect()


def _parsed(info: bytes | str) -> Mapping[str, str]:
    text = info.decode() if isinstance(info, bytes) else info
    pairs = (line.partition(":") for line in text.splitlines())
    return defaultdict(str, {name: value for name, _, value in pairs if value})


def _check(name: str, info: Mapping[str, str]) -> None:
    version = info["redis_version"]
    if int(version.partition(".")[0] or 0) < OLDEST_VERSION:
        raise LogMisconfigured(f"Redis at {name} is version {version}; version {OLDEST_VERSION}.0 or newer is required")
    if info["loading"] == "1":
        raise LogUnavailable(f"Redis at {name} is still loading its data")
    if info["role"] != "master":
        raise LogUnavailable(f"Redis at {name} is a replica of {info['master_host']}, not the master")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise LogMisconfigured(
            f"Redis at {name} has maxmemory-policy {policy}, which silently drops plans when memory is short;"
            " set it to noeviction"
        )


def _verdict(info: Mapping[str, str], replid: str) -> str | None:
    """Why a link to this server must end, if it must."""
    if info["role"] != "master":
        return "it has become a replica"
    if info["master_replid"] != replid:
        return "it has a new replication history"
    return None
