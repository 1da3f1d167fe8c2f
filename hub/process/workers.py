"""Several worker processes on one address, and the limit on open files that they inherit.

The parent serves no clients: it starts workers, replaces those that die, and passes signals on. Workers stop when the
parent ends for any reason. Each worker has its own listening socket, so that the kernel spreads connections over all of
them. The parent keeps every socket open: connections to a dead worker's socket wait there for its successor.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import resource
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

__all__ = ["files_allowed", "files_needed", "raise_file_limit", "run_workers"]

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
RESTART_DELAY_S: Final = 1.0
"""Seconds before a dead worker is replaced, so that one that can't start is not restarted in a tight loop."""
SPARE_FILES: Final = 256
"""Open files that are not connections: the log, the engine's database, files read now and then."""

CANNOT_OPEN: Final = 78
"""Exit status of a worker whose settings, log or engine need an operator (EX_CONFIG of sysexits.h)."""

Work = Callable[[Settings, socket.socket], None]


def raise_file_limit(connections: int) -> str | None:
    """Let this process and its children open enough files for so many connections; returns a warning if it can't.

    Without enough files the kernel accepts no connections and reports nothing."""
    needed = files_needed(connections)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _at_most(soft, needed) == needed:
        return None
    allowed = _at_most(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == needed:
        return None
    return (
        f"the limit of {allowed:,} open files is too low for {connections:,} connections; "
        f"raise it to {needed:,} (ulimit -n, LimitNOFILE=) or lower PLANCAST_MAX_CONNECTIONS"
    )


def files_needed(connections: int) -> int:
    """The files that a process with so many connections has open at most."""
    return connections + SPARE_FILES


def files_allowed() -> float:
    """The files that this process may have open, after `raise_file_limit`; may be infinite."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if hard == resource.RLIM_INFINITY else hard


def _at_most(limit: int, needed: int) -> int:
    return needed if limit == resource.RLIM_INFINITY else min(limit, needed)


def run_workers(work: Work, settings: Settings, listeners: Sequence[socket.socket]) -> int:
    """Run a process of `work` for each socket until a signal ends them; returns the exit code. Closes the sockets."""
    workers = _Workers(work, settings, listeners)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, workers.leave)
    workers.stay()
    for listener in listeners:
        listener.close()  # while any process holds it, the kernel accepts clients that nothing serves
    workers.join()
    return workers.status


class _Workers:
    """The worker processes. `stay` returns after a signal handler called `leave`; then `join`."""

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
            time.sleep(POLL_S)
            now = time.monotonic()
            for at, process in enumerate(self._workers):
                if process.is_alive():
                    died_at[at] = 0.0
                elif process.exitcode == CANNOT_OPEN and process in self._first:
                    self._give_up()
                elif not died_at[at]:
                    died_at[at] = now
                elif now - died_at[at] >= RESTART_DELAY_S and not self._leaving:
                    self._workers[at] = self._start(self._listeners[at])

    def leave(self, number: int, _: FrameType | None) -> None:
        """Pass each signal on: a second one ends the workers at once."""
        if self._leaving:
            self.status = 128 + number
        self._terminate()

    def _give_up(self) -> None:
        """A worker's settings are wrong, and the others have the same. (A successor that can't open is restarted.)"""
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
        if self._leaving:  # the signal arrived before this process was in the list
            process.terminate()
        return process


def _serve(work: Work, settings: Settings, listener: socket.socket) -> None:
    """Runs in the worker. Its own process group keeps Ctrl-C, which the parent passes on, from arriving twice."""
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
