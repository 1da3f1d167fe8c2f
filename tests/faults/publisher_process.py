"""A process that publishes events until it is stopped, and writes each acknowledged one to a file.

async with PublisherProcess(log, ["a", "b"], directory, senders=32) as publisher:   # at full speed, or rate=200 (events/s)
    …
publisher.acks                                                    # a line per event: `plan epoch offset text`
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

from broadcasters import Broadcaster
from broadcasters.errors import LogFull, LogUnavailable
from broadcasters.events import AgentMessage, build

__all__ = ["PublisherProcess"]

ROOT = Path(__file__).parents[2]


class PublisherProcess:
    """Publishes the texts `<name>-<sender>-<number>`; when `streamed`, fifty in a row are parts of one message."""

    def __init__(
        self,
        log: str,
        plans: Sequence[str],
        directory: Path,
        *,
        name: str = "publisher",
        senders: int = 8,
        rate: float = 0,
        size: int = 0,
        streamed: bool = False,
    ) -> None:
        self.acks = directory / f"{name}.acks"
        self._options = {
            "log": log,
            "plans": list(plans),
            "acks": str(self.acks),
            "name": name,
            "senders": senders,
            "rate": rate,
            "size": size,
            "streamed": streamed,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Returns once the first event is acknowledged."""
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*leash, sys.executable, "-m", "tests.faults.publisher_process", json.dumps(self._options)]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        await self.until_acknowledged(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> int:
        """Finishes pending appends and ends the process; returns how many were acknowledged. Harmless when repeated."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(60):
            assert await self._process.wait() == 0, "the publisher failed"
        return self.acknowledged

    async def until_acknowledged(self, count: int) -> None:
        """Waits for this many acknowledgements since the start."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while int(await self._process.stdout.readline() or b"0") < count:
                assert not self._process.stdout.at_eof(), "the publisher ended"

    @property
    def acknowledged(self) -> int:
        return self.acks.read_bytes().count(b"\n")


# ---- the program


async def _send(broadcaster: Broadcaster, plan_id: str, name: str, acks: IO[str], options: dict[str, Any]) -> None:
    """One sender: sends the next event after the previous one is acknowledged."""
    number, pause = 0, options["senders"] / options["rate"] if options["rate"] else 0.0
    due = asyncio.get_running_loop().time()
    while True:
        number += 1
        text = f"{name}-{number}" + "x" * options["size"]
        more = {"append": True, "message_id": f"{name}.{number // 50}"} if options["streamed"] else {}
        event = build(AgentMessage, {"plan_id": plan_id, "agent_name": name, "content": text, **more})
        try:
            position = await asyncio.shield(broadcaster.send(event))
        except (LogFull, LogUnavailable):
            continue  # it may be stored, but was not acknowledged
        acks.write(f"{plan_id} {position.epoch} {position.offset} {text}\n")
        if pause:
            due += pause
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def _publish(options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with Path(options["acks"]).open("w") as acks:
        async with Broadcaster(options["log"], deadline=60.0) as broadcaster:
            plans = options["plans"]
            senders = [
                asyncio.create_task(_send(broadcaster, plans[i % len(plans)], f"{options['name']}-{i}", acks, options))
                for i in range(options["senders"])
            ]
            counter = asyncio.create_task(_print_count(broadcaster))
            await asyncio.wait([asyncio.create_task(stop.wait()), *senders], return_when=asyncio.FIRST_COMPLETED)
            for task in (*senders, counter):
                task.cancel()
            results = await asyncio.gather(*senders, return_exceptions=True)
    for result in results:
        if not isinstance(result, asyncio.CancelledError):
            raise AssertionError(result)


async def _print_count(broadcaster: Broadcaster) -> None:
    """Prints the number of acknowledged events whenever it has changed."""
    printed = -1
    while True:
        if (count := broadcaster.statistics().appended) != printed:
            sys.stdout.write(f"{count}\n")
            sys.stdout.flush()
            printed = count
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(_publish(json.loads(sys.argv[1])))
