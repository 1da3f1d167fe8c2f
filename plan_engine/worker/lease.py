"""A worker's lease: while it is renewed in time, the runs it works on are its own.

Renewed by a thread of its own, so that an agent which blocks the event loop doesn't lose the others their runs. A
worker that couldn't renew it in time (it was stopped, or the database was away) says nothing until it could; one that
was taken for dead meanwhile gives its runs up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from plan_engine.worker.store import Store

__all__ = ["Hold", "Lease", "gone", "here"]

logger: Final = logging.getLogger(__name__)
LOOK_AGAIN_S: Final = 0.05


def _now() -> float:
    """Seconds that go on while this machine sleeps, where that can be had."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def here() -> tuple[str, str]:
    """Where this process runs, and which one it is: (place, process). Without a /proc nothing is known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        place = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "", ""
    return place, f"{os.getpid()} {_born(os.getpid())}"


def gone(place: str, process: str) -> bool:
    """Is it certain that this process has ended? Only of those at our own place can it be."""
    if not place or place != here()[0]:
        return False
    pid, _, born = process.partition(" ")
    return _born(int(pid)) != born


def _born(pid: int) -> str | None:
    """When a process began; None when it has ended, though nobody may have noticed yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Lease:
    """Signed on with `open`. `lost` is called, in the event loop, when this worker was taken for dead."""

    def __init__(self, store: Store, worker_id: str, seconds: float, lost: Callable[[], None]) -> None:
        self.worker_id = worker_id
        self.seconds = seconds
        self.term = 0
        """Rises each time it was lost, and the worker signed on anew."""
        self._store, self._lost = store, lost
        self._until = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._place = here()

    async def open(self) -> None:
        asked = _now()
        await self._store.call(self._sign_on)
        self._until = asked + self.seconds
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._beat, args=(loop,), name="plancast-lease", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Sign off. Whatever this worker still has to run is then nobody's."""
        self._closing.set()
        if self._thread is not None:
            await self._store.call(self._thread.join)
        await self._store.call(self._store.sign_off, self.worker_id)

    @property
    def current(self) -> bool:
        return _now() < self._until

    def _sign_on(self) -> None:
        self._store.sign_on(self.worker_id, *self._place, self.seconds)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing.wait(self.seconds / 4):
            asked = _now()
            try:
                if not self._store.renew(self.worker_id, self.seconds):
                    logger.warning("this worker was taken for dead; it gives up what it was working on")
                    self.term += 1
                    loop.call_soon_threadsafe(self._lost)
                    self._sign_on()
            except Exception as error:  # whatever it is, it must not end the renewing
                logger.warning("the lease could not be renewed (%s); trying again", error)
                continue
            self._until = asked + self.seconds


class Hold:
    """A run's share in the lease, for the term in which it was begun: a `Grip`."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._term = lease.term

    @property
    def firm(self) -> bool:
        return self._term == self._lease.term and self._lease.current

    async def regained(self) -> bool:
        while self._term == self._lease.term:
            if self._lease.current:
                return True
            await asyncio.sleep(LOOK_AGAIN_S)
        return False
