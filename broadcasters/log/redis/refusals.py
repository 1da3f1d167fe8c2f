"""What Redis says no with, and what that means to whoever asked."""

from __future__ import annotations

import logging
from typing import Final

from broadcasters.errors import LogError, LogFull, LogMisconfigured, LogUnavailable

__all__ = ["ELSEWHERE", "MISPLACED", "Refused", "as_log_error", "meaning"]

_logger = logging.getLogger("plancast.log")

ELSEWHERE: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"})
"""The plan is, or soon will be, with another node."""
MISPLACED: Final = frozenset({"READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED"})
"""This server is not the master it was (or not yet): what was known of it is void."""

_MEANINGS: Final[dict[str, tuple[type[LogError], str]]] = {
    "OOM": (LogFull, "Redis has no memory left (maxmemory): raise it, or delete plans"),
    "MISCONF": (LogFull, "Redis can't write to its disk and takes no writes: make room there"),
    "NOREPLICAS": (LogUnavailable, "fewer replicas are connected to Redis than its min-replicas-to-write asks for"),
    "BUSY": (LogUnavailable, "Redis is busy with somebody's long script"),
    "NOAUTH": (LogMisconfigured, "Redis wants a password: redis://user:password@host…"),
    "WRONGPASS": (LogMisconfigured, "Redis does not know this user and password"),
    "NOPERM": (LogMisconfigured, "this Redis user lacks a right that the log needs"),
    "WRONGTYPE": (LogMisconfigured, "something else than a plan is stored at one of its keys"),
    "HOLE": (LogMisconfigured, "events are missing from the middle of a plan: its keys were changed by somebody else"),
    "DENIED": (LogMisconfigured, "Redis runs in protected mode and takes no connections from other machines"),
    "READONLY": (LogUnavailable, "this Redis is a replica by now; looking for the master"),
    "LOADING": (LogUnavailable, "Redis is still loading its data"),
    "MASTERDOWN": (LogUnavailable, "this Redis is a replica that has lost its master"),
    "CLUSTERDOWN": (LogUnavailable, "the Redis cluster does not serve this plan's slot at the moment"),
}


class Refused(Exception):
    """An error that Redis answered with."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


def meaning(refused: Refused, about: str) -> LogError:
    """The error that tells whose fault it was; `about` names what was asked for."""
    text = str(refused)
    if refused.code in _MEANINGS:
        kind, said = _MEANINGS[refused.code]
        return kind(f"{said} ({about}: {text})")
    if refused.code in ELSEWHERE:
        return LogUnavailable(f"the Redis cluster is moving this plan's slot ({about}: {text})")
    if "max number of clients" in text:
        return LogUnavailable(f"Redis has no connection left for us: raise maxclients ({about})")
    if "equal or smaller than" in text:
        return LogMisconfigured(f"somebody else has written to this plan's stream ({about}: {text})")
    return LogMisconfigured(f"Redis refused {about}: {text}")


def as_log_error(error: Exception, about: str) -> LogError:
    """The error for those who wait: this one if it is the log's; else that something unexpected failed, which may pass."""
    if isinstance(error, LogError):
        return error
    _logger.error("%s failed: %s", about, error, exc_info=error)
    return LogUnavailable(f"{about} failed: {error!r}")
