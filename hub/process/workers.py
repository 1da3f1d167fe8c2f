"""Several processes on one address. The parent serves nobody: it starts workers, replaces those that die, and passes
signals on. Workers leave when it does, however it ends.

Each worker has a listening socket of its own, so that the kernel spreads connections over all of them. The parent keeps
every socket open: connections that reach a dead worker's socket wait there for its successor.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

from broadcasters.errors import PlancastError
from hub.config.settings import Settings

__all__ = ["run_workers"]

logger = logging.getLogger(__name__)

LOOK: Final = 0.2
REST: Final = 1.0
"""A worker that died is replaced after this long, so that one that can't start doesn't make a storm."""

CANNOT_OPEN: Final = 78
"""Exit status of a worker whose settings, log or engine need an operator (EX_CONFIG of sysexits.h)."""

Work = Callable[[Settings, socket.socket], None]


def run_workers(work: Work, settings: Settings, listeners: Sequence[socket.socket]) -> int:
    """Run a process of `work` for each of these sockets until a signal ends them; the exit code. Closes the sockets."""
    crew = _Crew(work, settings, listeners)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, crew.leave)
    crew.stay()
    for listener in listeners:
        listener.close()  # as long as one process has it, clients would be let in to wait for nobody
    crew.join()
    return crew.status


class _Crew:
    """`stay` until `leave` is called, from a signal's handler; then `join`."""

    def __init__(self, work: Work, settings: Settings, listeners: Sequence[socket.socket]) -> None:
        self.status = 0
        self._context = multiprocessing.get_context("spawn")
        self._work = work, settings
        self._listeners = listeners
        self._leaving = False
        self._workers: list[SpawnProcess] = []
        for listener in listeners:
            self._workers.append(self._start(listener))
        self._first = frozenset(self._workers)

    def stay(self) -> None:
        died_at = [0.0] * len(self._workers)
        while not self._leaving:
            time.sleep(LOOK)
            now = time.monotonic()
            for at, process in enumerate(self._workers):
                if process.is_alive():
                    died_at[at] = 0.0
                elif process.exitcode == CANNOT_OPEN and process in self._first:
                    self._give_up()
                elif not died_at[at]:
                    died_at[at] = now
                elif now - died_at[at] >= REST and not self._leaving:
                    self._workers[at] = self._start(self._listeners[at])

    def leave(self, number: int, _: FrameType | None) -> None:
        """Pass it on, each time: a second signal ends them at once."""
        if self._leaving:
            self.status = 128 + number
        self._terminate()

    def _give_up(self) -> None:
        """The others have the same settings. A successor that can't open is replaced instead: the others may serve."""
        self.status = 1
        self._terminate()

    def _terminate(self) -> None:
        self._leaving = True
        for process in self._workers:
            if process.is_alive():
                process.terminate()

    def join(self) -> None:
        for process in self._workers:
            process.join()

    def _start(self, listener: socket.socket) -> SpawnProcess:
        process = self._context.Process(target=_serve, args=(*self._work, listener))
        process.start()
        if self._leaving:  # the signal came meanwhile, and did not know of this one
            process.terminate()
        return process


def _serve(work: Work, settings: Settings, listener: socket.socket) -> None:
    """A worker's life. Signals reach it through its parent only: Ctrl-C goes to a whole group, and would come twice."""
    os.setpgid(0, 0)
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    try:
        work(settings, listener)
    except PlancastError as error:
        logger.error("a worker can't start: %s", error)
        sys.exit(CANNOT_OPEN)


def _follow_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
