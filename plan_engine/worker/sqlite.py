"""What an engine's database requires of SQLite. Imports no DBOS, so that `plancast doctor` can check it quickly."""

from __future__ import annotations

import platform
import sqlite3
import sys
from typing import Final

__all__ = ["sqlite_problem"]

NEWER_PYTHON: Final = 0x030C0000
"""3.12; from there on, DBOS calls `unixepoch('subsec')`."""
REQUIRED: Final = (3, 42)
"""The first SQLite that has it."""


def sqlite_problem() -> str:
    """Return what prevents an engine from using SQLite here, and what to do; an empty string if nothing does."""
    if sys.hexversion < NEWER_PYTHON or sqlite3.sqlite_version_info >= REQUIRED:
        return ""
    return (
        f"Python {platform.python_version()} has SQLite {sqlite3.sqlite_version}, but on Python 3.12 and newer an engine's "
        "database requires SQLite 3.42 or newer; set PLANCAST_ENGINE_DB=postgresql://…, or use a Python with a newer "
        "SQLite, or Python 3.11"
    )
