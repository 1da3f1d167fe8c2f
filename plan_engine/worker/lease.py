"""A worker's lease. While it is renewed in time, no other worker takes over the plans it runs.

A thread renews it, so that an agent which blocks the event loop doesn't cost the other plans their worker. A worker that
could not renew it in time (it was suspended, or the database was unavailable) reports nothing until it could; one that was
taken for dead meanwhile gives up its plans.
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

__all__ = ["Lease", "LeaseTerm", "process_ended", "this_process"]

logger: Final = logging.getLogger(__name__)
POLL_S: Final = 0.05


def _now() -> float:
    """Seconds that also count while this machine sleeps, where the system has such a clock."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def this_process() -> tuple[str, str]:
    """This process as (place, process), where a place is one boot of one machine or container; ("", "") without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        place = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "", ""
    return place, f"{os.getpid()} {_started(os.getpid())}"


def process_ended(place: str, process: str) -> bool:
    """Whether it is certain that this process has ended. It can be only for processes at this one's place."""
    if not place or place != this_process()[0]:
        return False
    pid, _, started = process.partition(" ")
    return _started(int(pid)) != started


def _started(pid: int) -> str | None:
    """When a process started; None when it has ended, even if its parent hasn't collected it yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Lease:
    """Held from `open` to `close`. `lost` is called, in the event loop, when this worker was taken for dead."""

    def __init__(self, store: Store, worker_id: str, seconds: float, lost: Callable[[], None]) -> None:
        self.worker_id = worker_id
        self.seconds = seconds
        self.term = 0
        """Rises each time the lease was lost and the worker signed on again."""
        self._store, self._lost = store, lost
        self._until = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = this_process()

    async def open(self) -> None:
        before = _now()
        await self._store.call(self._sign_on)
        self._until = before + self.seconds
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._renew, args=(loop,), name="plancast-lease", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Sign off. The plans this worker still had belong to no worker then."""
        self._closing.set()
        if self._thread is not None:
            await self._store.call(self._thread.join)
        await self._store.call(self._store.sign_off, self.worker_id)

    @property
    def current(self) -> bool:
        return _now() < self._until

    def _sign_on(self) -> None:
        self._store.sign_on(self.worker_id, *self._process, self.seconds)

    def _renew(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing.wait(self.seconds / 4):
            before = _now()
            try:
                if not self._store.renew(self.worker_id, self.seconds):
                    logger.warning("this worker was taken for dead; it gives up the plans it was running")
                    self.term += 1
                    loop.call_soon_threadsafe(self._lost)
                    self._sign_on()
            except Exception as error:  # no error may end the renewing
                logger.warning("the lease could not be renewed (%s); trying again", error)
                continue
            self._until = before + self.seconds


class LeaseTerm:
    """A run's `Ownership`: it lasts for the term of the lease in which the run was begun."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._term = lease.term

    @property
    def held(self) -> bool:
        return self._term == self._lease.term and self._lease.current

    async def regained(self) -> bool:
        while self._term == self._lease.term:
            if self._lease.current:
                return True
            await asyncio.sleep(POLL_S)
        return False
