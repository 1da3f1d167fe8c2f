"""Several processes behind one socket. The parent serves nobody: it starts workers, replaces those that die, and passes
signals on."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

from hub.settings import Settings

__all__ = ["run_workers"]

LOOK: Final = 0.2
REST: Final = 1.0
"""A worker that died is replaced after this long, so that one that can't start doesn't make a storm."""

Work = Callable[[Settings, socket.socket], None]


def run_workers(work: Work, settings: Settings, bound: socket.socket) -> int:
    """Run `settings.workers` processes of `work` until a signal ends them; the exit code."""
    context = multiprocessing.get_context("spawn")
    leaving = False

    def start() -> SpawnProcess:
        process = context.Process(target=work, args=(settings, bound))
        process.start()
        return process

    def leave(number: int, _: FrameType | None) -> None:
        nonlocal leaving
        leaving = True
        for process in workers:
            if process.is_alive() and process.pid is not None:
                process.terminate() if number == signal.SIGTERM else None  # Ctrl-C reaches the whole group by itself

    workers = [start() for _ in range(settings.workers)]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    while not leaving:
        time.sleep(LOOK)
        for at, process in enumerate(workers):
            if not process.is_alive() and not leaving:
                time.sleep(REST)
                workers[at] = start()
    for process in workers:
        process.join()
    return 0
