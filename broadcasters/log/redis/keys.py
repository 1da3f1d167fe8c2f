"""What things are called in Redis."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

__all__ = ["Keys", "PlanKeys"]


class PlanKeys(NamedTuple):
    """The keys of one plan. Its id is the hash tag: all of them, and its channel, are in one slot."""

    log: str
    meta: str
    keys: str
    checkpoint: str
    live: str


class Keys:
    """All names begin with the prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def plan(self, plan_id: str) -> PlanKeys:
        stem = f"{self.prefix}:{{{plan_id}}}:"
        return PlanKeys(stem + "log", stem + "meta", stem + "keys", stem + "checkpoint", stem + "live")

    def index(self, owner: str | None = None, label: str | None = None) -> str:
        """The index of an owner, or of a label, or of all."""
        if owner is not None:
            return f"{self.prefix}:index:owner:{quote(owner, safe='')}"
        return f"{self.prefix}:index:all" if label is None else f"{self.prefix}:index:label:{quote(label, safe='')}"
