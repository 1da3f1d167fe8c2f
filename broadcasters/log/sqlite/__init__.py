"""The embedded log: a SQLite file, without a server."""

from __future__ import annotations

from broadcasters.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
