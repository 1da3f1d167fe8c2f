"""Where plans are kept: `log_of` makes the log that a URL, or a client of `redis.asyncio`, names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broadcasters.errors import LogMisconfigured
from broadcasters.log.contract import PlanLog

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["default_url", "log_of"]


def default_url() -> str:
    """PLANCAST_LOG, or the one file that all programs of this user share when nothing is configured."""
    return os.environ.get("PLANCAST_LOG", "").strip() or f"sqlite:///{_home() / '.plancast' / 'plans.db'}"


def log_of(url: str | Redis | RedisCluster | None = None) -> PlanLog:
    """Make the log that a URL names. It is not open yet.

    Args:
        url: `sqlite:///…`, `redis://…`, `redis+sentinel://…`, `redis+cluster://…` (or `rediss…`) or `http://…`; by default
            PLANCAST_LOG, or a file of this user's. Or a configured client: `redis.asyncio.Redis`, also one made by
            `Sentinel.master_for`, or `RedisCluster`. The log connects as the client does (TLS, credential provider,
            database …), over connections of its own; the client stays its owner's to use and to close.

    Raises:
        LogMisconfigured: the URL can't be read, or names no kind of log.
    """
    if url is not None and not isinstance(url, str):
        from broadcasters.log.redis import RedisLog

        return RedisLog(url)
    url = url.strip() if url else default_url()
    match _scheme(url):
        case "sqlite":
            from broadcasters.log.sqlite import SqliteLog

            return SqliteLog(url)
        case "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster":
            from broadcasters.log.redis import RedisLog

            return RedisLog(url)
        case "http" | "https":
            from broadcasters.log.http import HttpLog

            return HttpLog(url)
        case scheme:
            known = "sqlite:///…, redis://…, redis+sentinel://…, redis+cluster://… or http://…"
            raise LogMisconfigured(f"no log is called {scheme or url!r}; PLANCAST_LOG is one of {known}")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise LogMisconfigured("this user has no home directory to keep plans in; say in PLANCAST_LOG where") from None


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # it may hold a password, so it is not shown
        raise LogMisconfigured(
            "the log's URL (PLANCAST_LOG) can't be read; in a password, [ and ] are written %5B and %5D"
        ) from None
