"""Room for a process's connections among the files that it may have open: a connection is one of them."""

from __future__ import annotations

import resource
from typing import Final

__all__ = ["make_room"]

SPARE: Final = 256
"""For what is no connection: the log, the engine's database, what is read now and then."""


def make_room(connections: int) -> str | None:
    """Let this process, and those it starts, open as many files as so many connections need; when it may not, what to
    tell the operator. Without room the kernel lets nobody in, and nobody is told."""
    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _least(soft, needed) == needed:
        return None
    allowed = _least(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == needed:
        return None
    return (
        f"open files: at most {allowed:,}, too few for {connections:,} connections; "
        f"allow {needed:,} (ulimit -n, LimitNOFILE=) or lower PLANCAST_MAX_CONNECTIONS"
    )


def _least(limit: int, needed: int) -> int:
    return needed if limit == resource.RLIM_INFINITY else min(limit, needed)
