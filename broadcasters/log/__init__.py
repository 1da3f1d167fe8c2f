"""Where plans are kept: `open_log(url)` gives the log a URL names."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from broadcasters.errors import LogMisconfigured
from broadcasters.log.contract import PlanLog

__all__ = ["default_url", "log_of"]


def default_url() -> str:
    """PLANCAST_LOG, or the one file that all programs of this user share when nothing is configured."""
    return os.environ.get("PLANCAST_LOG") or f"sqlite:///{Path.home() / '.plancast' / 'plans.db'}"


def log_of(url: str | None = None) -> PlanLog:
    """The log that `url` names (or PLANCAST_LOG, or the embedded default), not opened yet."""
    url = url or default_url()
    match urlsplit(url).scheme:
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
