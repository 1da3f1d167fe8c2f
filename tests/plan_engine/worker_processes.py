"""Worker processes that start quickly: a process that has imported everything forks one for each line it reads.

As a program: `python -m tests.plan_engine.worker_processes WORDS…`, the words being those of `plancast worker`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Self

__all__ = ["WorkerProcesses"]


class WorkerProcesses:
    """`with WorkerProcesses([...]) as workers: pid = workers.start()`. Kills all of them on leaving."""

    def __init__(self, words: Sequence[str], errors: IO[bytes]) -> None:
        command = [sys.executable, "-m", "tests.plan_engine.worker_processes", *words]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors)
        self._alive: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*self._alive]:
            self.kill(pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def start(self) -> int:
        """Start a worker; returns its process id. It may take a moment until it works."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self._alive.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        """Kill with SIGKILL."""
        os.kill(pid, signal.SIGKILL)
        self._alive.discard(pid)

    def pause(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)

    def resume(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)


def _main(words: list[str]) -> None:
    import plan_engine.engine  # noqa: F401 - imported once, before forking
    import tests.plan_engine.plans  # noqa: F401
    from hub.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os._exit(main(["worker", *words]))
        print(pid, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
