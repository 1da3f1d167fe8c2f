"""Who a server is, and whether the log can keep its promises on it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.contract import Durability
from broadcasters.log.redis.link import RedisLink
from broadcasters.log.redis.refusals import Refused, meaning

__all__ = ["meet"]

OLDEST_VERSION: Final = 7
PATIENCE: Final = 4.0
_FSYNC: Final[Mapping[str, Durability]] = {"always": "disk", "everysec": "second"}
_QUESTION: Final = ("INFO", "replication")


async def meet(link: RedisLink) -> Durability:
    """Make sure that this is a master that serves, and begin the link's beat, which ends it when it is so no more. Answers
    how safely the server stores what it acknowledges.

    `LogMisconfigured` says what has to be changed; `LogUnavailable`: not this one, or not now.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            info = _facts(await link.call("INFO", "server", "replication", "memory", "persistence"))
            _check(link, info)
            durability = await _durability(link, info)
    except Refused as refused:
        raise meaning(refused, f"asking the server at {link.address} who it is") from None
    except TimeoutError:
        raise LogUnavailable(f"Redis at {link.address} did not say who it is within {PATIENCE:g} s") from None
    replid = info["master_replid"]
    link.beat(_QUESTION, lambda answer: _verdict(_facts(answer), replid))
    return durability


def _facts(info: bytes | str) -> Mapping[str, str]:
    text = info.decode() if isinstance(info, bytes) else info
    pairs = (line.partition(":") for line in text.splitlines())
    return defaultdict(str, {name: value for name, _, value in pairs if value})


def _check(link: RedisLink, info: Mapping[str, str]) -> None:
    version = info["redis_version"]
    if int(version.partition(".")[0] or 0) < OLDEST_VERSION:
        raise LogMisconfigured(f"Redis at {link.address} is version {version}; {OLDEST_VERSION}.0 or newer is needed")
    if info["loading"] == "1":
        raise LogUnavailable(f"Redis at {link.address} is still loading its data")
    if info["role"] != "master":
        raise LogUnavailable(f"Redis at {link.address} is a replica of {info['master_host']}, not the master")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise LogMisconfigured(
            f"Redis at {link.address} has maxmemory-policy {policy}: it would silently drop plans when memory is short;"
            " set it to noeviction"
        )


async def _durability(link: RedisLink, info: Mapping[str, str]) -> Durability:
    if info["aof_enabled"] != "1":
        return "memory"
    try:
        answer: Any = await link.call("CONFIG", "GET", "appendfsync")
    except Refused:
        return "second"  # the server's default, when we may not ask
    return _FSYNC.get(answer[b"appendfsync"].decode(), "memory")


def _verdict(info: Mapping[str, str], replid: str) -> str | None:
    """Why a link to this server is of no use any more, if so."""
    if info["role"] != "master":
        return "it is a replica by now"
    if info["master_replid"] != replid:
        return "its replication history began anew"
    return None
