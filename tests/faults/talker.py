"""A program that says things about plans until it is told to stop, and writes down what was acknowledged.

async with Talker(log, ["a", "b"], senders=32) as talker:      # as fast as it can; or rate=200 (events a second, in all)
    …
talker.acks                                                    # a line an event: `plan epoch offset text`
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

__all__ = ["Talker"]

ROOT = Path(__file__).parents[2]


class Talker:
    """Says `<name>-<sender>-<number>`; when `streamed`, fifty in a row are parts of one message."""

    def __init__(
        self,
        log: str,
        plans: Sequence[str],
        directory: Path,
        *,
        name: str = "talker",
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
        """Returns when the first event was acknowledged."""
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*leash, sys.executable, "-m", "tests.faults.talker", json.dumps(self._options)]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        await self.until_acknowledged(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> int:
        """What is under way is finished; how many were acknowledged. Twice is harmless."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(60):
            assert await self._process.wait() == 0, "the talker failed"
        return self.acknowledged

    async def until_acknowledged(self, count: int) -> None:
        """Wait until so many were acknowledged since it began."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while int(await self._process.stdout.readline() or b"0") < count:
                assert not self._process.stdout.at_eof(), "the talker ended"

    @property
    def acknowledged(self) -> int:
        return self.acks.read_bytes().count(b"\n")


# ---- the program


async def _send(broadcaster: Broadcaster, plan_id: str, name: str, acks: IO[str], options: dict[str, Any]) -> None:
    """One sender: one event at a time, each acknowledged before the next."""
    number, pause = 0, options["senders"] / options["rate"] if options["rate"] else 0.0
    due = asyncio.get_running_loop().time()
    while True:
        number += 1
        text = f"{name}-{number}" + "x" * options["size"]
        more = {"append": True, "message_id": f"{name}.{number // 50}"} if options["streamed"] else {}
        event = build(AgentMessage, {"plan_id": plan_id, "agent_name": name, "content": text, **more})
        try:
            place = await asyncio.shield(broadcaster.send(event))
        except (LogFull, LogUnavailable):
            continue  # perhaps it was stored; nobody was told so
        acks.write(f"{plan_id} {place.epoch} {place.offset} {text}\n")
        if pause:
            due += pause
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def _talk(options: dict[str, Any]) -> None:
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
            told = asyncio.create_task(_count(broadcaster))
            await asyncio.wait([asyncio.create_task(stop.wait()), *senders], return_when=asyncio.FIRST_COMPLETED)
            for sender in (*senders, told):
                sender.cancel()
            results = await asyncio.gather(*senders, return_exceptions=True)
    for result in results:
        if not isinstance(result, asyncio.CancelledError):
            raise AssertionError(result)


async def _count(broadcaster: Broadcaster) -> None:
    """Tell how many were acknowledged, now and then."""
    told = -1
    while True:
        if (count := broadcaster.statistics().appended) != told:
            sys.stdout.write(f"{count}\n")
            sys.stdout.flush()
            told = count
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(_talk(json.loads(sys.argv[1])))
