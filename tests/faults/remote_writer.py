"""A program that appends when it is asked to, and can be stopped (SIGSTOP) in between.

async with RemoteWriter(log_url, "plan") as writer:
    position = await writer.append(5)
    writer.stop(); …; writer.resume()
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Self

from broadcasters.log import log_of
from broadcasters.position import Position
from tests.faults.senders import Sender

__all__ = ["RemoteWriter"]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


class RemoteWriter:
    def __init__(self, log_url: str, plan_id: str) -> None:
        self._words = (log_url, plan_id)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._process = await asyncio.create_subprocess_exec(
            *leash,
            *(sys.executable, "-m", "tests.faults.remote_writer", *self._words),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def append(self, events: int) -> Position:
        """Append so many events at once; the position of the last."""
        self.ask(events)
        return await self.position()

    def ask(self, events: int) -> None:
        """Ask it to append so many events, when it runs (again)."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % events)

    async def position(self) -> Position:
        """The answer to what was asked."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            epoch, offset = (await self._process.stdout.readline()).decode().split()
        return Position(epoch, int(offset))

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


async def _obey(log_url: str, plan_id: str) -> None:
    log, requests = log_of(log_url), asyncio.StreamReader()
    await log.open()
    sender = Sender(log, plan_id, "remote")
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    while request := await requests.readline():
        position = await sender.say(events=int(request))
        sys.stdout.write(f"{position.epoch} {position.offset}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_obey(*sys.argv[1:]))
