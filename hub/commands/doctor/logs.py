"""Checks of a log: that it can be opened and written, and its disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broadcasters.errors import LogError, LogFull
from broadcasters.log import log_of
from broadcasters.log.contract import Durability
from broadcasters.log.http.link import HubUrl
from broadcasters.log.redis.url import RedisUrl
from broadcasters.log.sqlite.file import SqliteFile
from hub.commands.doctor.finding import Check, Finding, Status
from hub.commands.doctor.redis import master_findings, sentinel_findings
from hub.commands.doctor.tokens import may_publish
from hub.config.suggestions import did_you_mean

__all__ = ["checks_of_log"]

RIGHTS: Final = "redis-cli ACL SETUSER NAME '~plancast:*' '&plancast:*' +@all -@admin -@dangerous +info"
GIB: Final = 1024**3
LITTLE: Final = 1 * GIB
TOO_LITTLE: Final = GIB // 8
"""Less than twice the size to which SQLite's write-ahead log may grow."""
DURABILITY: Final[dict[Durability, str]] = {
    "disk": "an acknowledged event is on disk",
    "replicated": "an acknowledged event is on its replicas",
    "second": "an acknowledged event is on disk within a second",
    "memory": "an acknowledged event is in memory only",
}


def checks_of_log(url: str) -> list[Check]:
    """The checks of the log that this URL names; for a hub's URL, those of the way to its log."""
    scheme = url.partition(":")[0]
    match scheme:
        case "sqlite":
            return [Check("file", asyncio.to_thread(_file, url)), Check("disk", asyncio.to_thread(_disk, url))]
        case "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster":
            parsed = RedisUrl.parse(url)
            checks = [Check("reachable", _masters(url, parsed))]
            return [*checks, Check("sentinels", sentinel_findings(parsed))] if parsed.kind == "sentinel" else checks
        case "http" | "https":
            return [Check("publishing", _behind_hub(url))]
        case _:
            return [Check("url", _unknown(url))]


async def _unknown(url: str) -> Sequence[Finding]:
    kinds = ("sqlite", "redis", "redis+sentinel", "redis+cluster", "http", "https")
    scheme = url.partition(":")[0]
    hint = did_you_mean(scheme, kinds)
    found = f"there is no log of the kind {scheme!r:.30}; expected {', '.join(kinds)}{hint}"
    return [Finding("url", "failed", found, "export PLANCAST_LOG=sqlite:///plans.db")]


def _file(url: str) -> Sequence[Finding]:
    file = SqliteFile.at(url)
    if not file.path.exists():
        return [_new_file(file.path)]
    began = time.perf_counter()
    try:
        file.check()
    except LogError as error:
        return [Finding("file", "failed", str(error), _fix_of(error, file.path))]
    took = (time.perf_counter() - began) * 1000
    return [Finding("file", "ok", f"can be written ({took:.0f} ms)")]


def _new_file(path: Path) -> Finding:
    parent = next(parent for parent in path.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        fix = f"sudo install -d -o $(id -un) {path.parent}"
        return Finding("file", "failed", f"{path} does not exist, and {parent} can't be written", fix)
    return Finding("file", "ok", f"{path} does not exist yet; the first event creates it")


def _fix_of(error: LogError, path: Path) -> str:
    name = getattr(error.__cause__, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"fuser -v {path}"
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")):
        return f"sudo chown $(id -un) {path.parent} {path}*"
    if isinstance(error, LogFull):
        return f"df -h {path.parent}"
    return f"export PLANCAST_LOG=sqlite:///{path.with_name('new-plans.db')}"


def _disk(url: str) -> Sequence[Finding]:
    path = SqliteFile.at(url).path
    parent = next(parent for parent in path.parents if parent.exists())
    free = shutil.disk_usage(parent).free
    found = f"{free / GIB:.1f} GiB free"
    if free >= LITTLE:
        return [Finding("disk", "ok", found)]
    status: Status = "failed" if free < TOO_LITTLE else "warning"
    return [Finding("disk", status, f"only {found}: free space on the disk of {parent}", f"du -sh {parent}/*")]


async def _masters(url: str, parsed: RedisUrl) -> Sequence[Finding]:
    findings = await master_findings(parsed)
    if any(finding.status == "failed" for finding in findings):
        return findings  # opening would fail for the same reason
    try:
        return [*findings, Finding("rights", "ok", DURABILITY[await _opened(url)])]
    except LogError as error:
        return [*findings, Finding("rights", "failed", str(error), RIGHTS)]


async def _behind_hub(url: str) -> Sequence[Finding]:
    token = HubUrl.parse(url).token()
    try:
        durability = await _opened(url)
    except LogError:
        return [Finding("publishing", "skipped", "not possible now; see the hub below")]
    if token and not may_publish(token):
        fix = "plancast token NAME --plan 'PLANS=publish'"
        return [Finding("publishing", "warning", "the token has the right to publish in no plan", fix)]
    return [Finding("publishing", "ok", DURABILITY[durability])]


async def _opened(url: str) -> Durability:
    """Open the log as an agent does, which checks the rights to each command."""
    log = log_of(url)
    try:
        await log.open()
        return log.durability
    finally:
        await log.close()
