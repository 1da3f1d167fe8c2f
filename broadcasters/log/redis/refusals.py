"""The contract's error for each error of `redis`: whose fault it is, and what to do about it."""

from __future__ import annotations

import logging
import os
import ssl
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from broadcasters.errors import LogError, LogFull, LogMisconfigured, LogUnavailable

__all__ = ["ELSEWHERE", "MISPLACED", "as_log_error", "code_of", "text_of"]

_logger = logging.getLogger("plancast.log")

ELSEWHERE: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"})
"""Another node has the plan's slot, or will have it soon."""
MISPLACED: Final = frozenset({"READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED", "NOAUTH"})
"""The connection to this server has become useless: the server is no longer (or not yet) a master, or logged us out."""
_CREDENTIALS: Final = frozenset({"NOAUTH", "WRONGPASS"})

_MEANINGS: Final[dict[str, tuple[type[LogError], str]]] = {
    "OOM": (LogFull, "Redis has no memory left (maxmemory): raise it, or delete plans"),
    "MISCONF": (LogFull, "Redis can't write to its disk and takes no writes: free disk space there"),
    "NOREPLICAS": (LogUnavailable, "fewer replicas are connected to Redis than its min-replicas-to-write requires"),
    "BUSY": (LogUnavailable, "Redis is busy with a long-running script"),
    "NOAUTH": (LogMisconfigured, "Redis requires a password: redis://user:password@host…"),
    "WRONGPASS": (LogMisconfigured, "Redis rejected this user and password"),
    "NOPERM": (LogMisconfigured, "this Redis user lacks a right that the log needs"),
    "WRONGTYPE": (LogMisconfigured, "one of the plan's keys holds something that is not a plan"),
    "HOLE": (LogMisconfigured, "events are missing from the middle of a plan: another program changed its keys"),
    "DENIED": (LogMisconfigured, "Redis runs in protected mode and accepts no connections from other machines"),
    "READONLY": (LogUnavailable, "this Redis has become a replica; looking for the master"),
    "LOADING": (LogUnavailable, "Redis is still loading its data"),
    "MASTERDOWN": (LogUnavailable, "this Redis is a replica that has lost its master"),
    "CLUSTERDOWN": (LogUnavailable, "the Redis cluster does not serve this plan's slot at the moment"),
}


def code_of(error: BaseException) -> str:
    """The code that Redis' reply began with; empty if the error is no reply."""
    if isinstance(error, RedisError) and error.status_code:
        return error.status_code
    return str(error).partition(" ")[0] if isinstance(error, ResponseError) else ""


def text_of(error: BaseException) -> str:
    """The reply as Redis sent it. (`redis` strips the codes that it knows.)"""
    known = error.status_code if isinstance(error, RedisError) else None
    return f"{known} {error}" if known else str(error)


def as_log_error(error: BaseException, about: str, *, rotating: bool = False) -> LogError:
    """The error to raise for this one; `about` names what was tried.

    `rotating`: a credential provider supplies the password, so one that was rejected may be replaced soon.
    """
    if isinstance(error, LogError):
        return error
    if code := code_of(error):
        if rotating and code in _CREDENTIALS:
            return LogUnavailable(f"Redis rejected the credential provider's password ({about}: {text_of(error)})")
        return _meaning(code, text_of(error), about)
    if isinstance(error, RedisError | OSError):
        return _unreachable(error, about)
    _logger.error("%s failed: %s", about, error, exc_info=error)
    return LogUnavailable(f"{about} failed: {error!r}")


def _meaning(code: str, text: str, about: str) -> LogError:
    if code in _MEANINGS:
        kind, meaning = _MEANINGS[code]
        return kind(f"{meaning} ({about}: {text})")
    if code in ELSEWHERE:
        return LogUnavailable(f"the Redis cluster is moving this plan's slot ({about}: {text})")
    if "max number of clients" in text:
        return LogUnavailable(f"Redis accepts no more connections: raise maxclients ({about})")
    if ("unknown command" in text and "HELLO" in text) or code == "NOPROTO":
        return LogMisconfigured(f"Redis refused HELLO 3; version 7 or newer is required ({about}: {text})")
    if "equal or smaller than" in text:
        return LogMisconfigured(f"another program has written to this plan's stream ({about}: {text})")
    return LogMisconfigured(f"Redis refused {about}: {text}")


def _unreachable(error: BaseException, about: str) -> LogError:
    """For an error of the connection. `redis` wraps the operating system's errors, whose texts are better."""
    cause = error.__cause__ or error.__context__
    match cause if isinstance(cause, OSError) and isinstance(error, RedisConnectionError) else error:
        case ssl.SSLCertVerificationError() as untrusted:
            return LogMisconfigured(f"{about}: its certificate is not trusted: {untrusted.verify_message}")
        case ssl.SSLError() as failed:
            return LogUnavailable(f"{about}: TLS failed: {failed.reason or failed}")
        case InvalidResponse():
            return LogUnavailable(f"{about}: what answers there does not speak the Redis protocol: {error}")
        case RedisTimeoutError() | TimeoutError():
            return LogUnavailable(f"{about}: no answer in time")
        case OSError(errno=int(number)) if number > 0:
            return LogUnavailable(f"{about}: it can't be reached: {os.strerror(number)}")
        case _:
            return LogUnavailable(f"{about}: {error}")
