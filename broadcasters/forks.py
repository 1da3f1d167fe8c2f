"""What must not be open while this process forks: it is closed before, whoever forks, and whoever knows of it.

A copied SQLite connection would be poison: the child takes its parent's locks for its own, and waits for them for ever,
or doesn't wait where it should.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["Closable", "close_before_forks"]

PATIENCE: Final = 2.0
"""Seconds that a fork waits for those in use."""


class Closable(Protocol):
    """`in_use` is held by whoever uses it, for a moment; and who finds it closed opens it again."""

    in_use: threading.Lock

    def close(self) -> None: ...


def close_before_forks(closable: Closable) -> None:
    """From now on, as long as it lives."""
    with _no_fork:
        _all.add(closable)


_all: WeakSet[Closable] = WeakSet()
_held: list[Closable] = []
_no_fork = threading.RLock()


def _before_fork() -> None:
    _no_fork.acquire()
    deadline = time.monotonic() + PATIENCE
    for closable in _all:
        if closable.in_use.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _held.append(closable)
            closable.close()


def _in_parent() -> None:
    for closable in _held:
        closable.in_use.release()
    _held.clear()
    _no_fork.release()


def _in_child() -> None:
    _all.clear()  # whoever used them is in the parent only
    _in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
