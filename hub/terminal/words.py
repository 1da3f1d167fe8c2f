"""Values of events in few words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["ago", "brief", "clock", "joined", "seconds", "words"]

VALUE_CHARS: Final = 400


def words(name: str) -> str:
    """in_progress: in progress."""
    return name.replace("_", " ")


def joined(title: str | None, content: str | None) -> str:
    """A title and what is said under it."""
    return ": ".join(part for part in (title, content) if part)


def brief(value: Any) -> str:
    """A value of any kind on one line, cut when it is long."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"


def clock(timestamp: str) -> str:
    """The local time of day."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%H:%M:%S}"


def seconds(began: str, ended: str) -> str:
    """How long it took."""
    took = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return f"{took:.1f} s" if took < 60 else f"{took // 60:.0f} min {took % 60:.0f} s"


def ago(timestamp: str, now: datetime | None = None) -> str:
    """How long ago it was, roughly."""
    passed = ((now or datetime.now(UTC)) - datetime.fromisoformat(timestamp)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed // size:.0f} {unit} ago"
    return "just now"
