"""Several processes behind one socket. The parent serves nobody: it starts workers, replaces those that die, and passes
signals on. Workers leave when it does, however it ends."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

from broadcasters.errors import PlancastError
from hub.settings import Settings

__all__ = ["run_workers"]

logger = logging.getLogger(__name__)

LOOK: Final = 0.2
REST: Final = 1.0
"""A worker that died is replaced after this long, so that one that can't start doesn't make a storm."""

Work = Callable[[Settings, socket.socket], None]


def run_workers(work: Work, settings: Settings, bound: socket.socket) -> int:
    """Run `settings.workers` processes of `work` until a signal ends them; the exit code. Closes the socket."""
    crew = _Crew(work, settings, bound)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, crew.leave)
    crew.stay()
    bound.close()  # as long as one process has it, clients would be let in to wait for nobody
    crew.join()
    return 0


class _Crew:
    """`stay` until `leave` is called, from a signal's handler; then `join`."""

    def __init__(self, work: Work, settings: Settings, bound: socket.socket) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._task = work, settings, bound
        self._workers: list[SpawnProcess] = []
        self._leaving = False
        for _ in range(settings.workers):
            self._workers.append(self._start())

    def stay(self) -> None:
        died_at = [0.0] * len(self._workers)
        while not self._leaving:
            time.sleep(LOOK)
            now = time.monotonic()
            for at, process in enumerate(self._workers):
                if process.is_alive():
                    died_at[at] = 0.0
                elif not died_at[at]:
                    died_at[at] = now
                elif now - died_at[at] >= REST and not self._leaving:
                    self._workers[at] = self._start()

    def leave(self, _: int, __: FrameType | None) -> None:
        """Pass it on, each time: a second signal ends them at once."""
        self._leaving = True
        for process in self._workers:
            if process.is_alive():
                process.terminate()

    def join(self) -> None:
        for process in self._workers:
            process.join()

    def _start(self) -> SpawnProcess:
        process = self._context.Process(target=_serve, args=self._task)
        process.start()
        if self._leaving:  # the signal came meanwhile, and did not know of this one
            process.terminate()
        return process


def _serve(work: Work, settings: Settings, bound: socket.socket) -> None:
    """A worker's life. Signals reach it through its parent only: Ctrl-C goes to a whole group, and would come twice."""
    os.setpgid(0, 0)
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    try:
        work(settings, bound)
    except PlancastError as error:
        logger.error("a worker can't start, and another will try: %s", error)
        sys.exit(1)


def _follow_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
