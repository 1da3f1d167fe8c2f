"""Says what a command waits for when it takes longer than a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["PATIENCE_S", "waiting_for"]

PATIENCE_S: Final = 1.0
"""How long a command may wait in silence."""


@contextmanager
def waiting_for(what: str) -> Generator[None]:
    """Print what is being waited for ("connecting to …") if the block takes longer than a second and standard error is a
    terminal."""
    if not sys.stderr.isatty():
        yield
        return
    # A thread, because the block may block the event loop.
    timer = threading.Timer(PATIENCE_S, _say, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(what: str) -> None:
    sys.stderr.write(f"plancast: {what} …\n")
    sys.stderr.flush()
