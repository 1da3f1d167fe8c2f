"""Senders that retry appends as a broadcaster does and keep the position of each acknowledged text.

As a program, it appends on request, and can be paused (SIGSTOP) in between:

async with SenderProcess(log_url, "plan") as sender:
    position = await sender.append(5)
    sender.pause(); …; sender.resume()
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from broadcasters.errors import LogUnavailable
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from tests.contract.clients import Batch, Producer, texts_of

__all__ = [
    "Sender",
    "SenderProcess",
    "check_log",
    "offsets_by_text",
    "until",
    "until_acknowledged",
    "until_each_appended",
]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


async def until(true: Callable[[], bool]) -> None:
    """Waits for a condition that another process brings about."""
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.001)


class Sender:
    """Appends the texts `<name>-1`, `<name>-2` … to a plan, one append at a time."""

    def __init__(self, log: PlanLog, plan_id: str, name: str) -> None:
        self.log = log
        self.plan_id = plan_id
        self.acknowledged: dict[str, Position] = {}
        self.retries = 0
        self._producer = Producer(plan_id, name)
        self._numbers = itertools.count(1)

    async def append(self, *, events: int = 1) -> Position:
        """Appends the next events at once; returns the position of the last when they are acknowledged."""
        texts = [f"{self._producer.name}-{next(self._numbers)}" for _ in range(events)]
        positions = await self._append_with_retries(self._producer.batch(*texts))
        self.acknowledged |= dict(zip(texts, positions, strict=True))
        return positions[-1]

    async def append_until(self, enough: asyncio.Event) -> None:
        """Appends one event after another until the event is set."""
        while not enough.is_set():
            await self.append()

    async def _append_with_retries(self, batch: Batch) -> list[Position]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    appended = await batch.to(self.log)
                except LogUnavailable:
                    self.retries += 1
                    await asyncio.sleep(0.02)
                else:
                    return [Position(appended.epoch, offset) for offset in appended.offsets]


async def until_acknowledged(senders: Sequence[Sender], count: int) -> None:
    """Waits until this many of their events are acknowledged in all."""
    await until(lambda: sum(len(sender.acknowledged) for sender in senders) >= count)


async def until_each_appended(senders: Sequence[Sender]) -> None:
    """Waits until each of them has got another acknowledgement."""
    before = {sender: len(sender.acknowledged) for sender in senders}
    await until(lambda: all(len(sender.acknowledged) > count for sender, count in before.items()))


async def offsets_by_text(log: PlanLog, plan_id: str) -> dict[str, int]:
    """Reads the whole plan: the offset of each text. Fails on a duplicate text or a missing offset."""
    offsets: dict[str, int] = {}
    after = 0
    while True:
        page = await log.read(plan_id, after)
        for offset, text in enumerate(texts_of(page.payloads), page.first):
            assert text not in offsets, f"{text} is stored at {offsets[text]} and again at {offset}"
            offsets[text] = offset
        assert page.first == after + 1
        after += len(page.payloads)
        if after == page.head.offset:
            return offsets
        assert page.payloads


async def check_log(log: PlanLog, senders: Sequence[Sender]) -> None:
    """Checks that each acknowledged text is at its position, nothing is stored twice, and each sender's order is kept."""
    for plan_id in {sender.plan_id for sender in senders}:
        offsets = await offsets_by_text(log, plan_id)
        for sender in senders:
            if sender.plan_id == plan_id:
                acknowledged = {text: position.offset for text, position in sender.acknowledged.items()}
                assert acknowledged.items() <= offsets.items()
                assert list(acknowledged.values()) == sorted(acknowledged.values())


class SenderProcess:
    """A Sender in a process of its own, which can be paused."""

    def __init__(self, log_url: str, plan_id: str) -> None:
        self._arguments = (log_url, plan_id)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._process = await asyncio.create_subprocess_exec(
            *leash,
            *(sys.executable, "-m", "tests.faults.senders", *self._arguments),
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
        """Appends this many events at once; returns the position of the last."""
        self.request(events)
        return await self.position()

    def request(self, events: int) -> None:
        """Requests an append of this many events, which it makes when it runs (again)."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % events)

    async def position(self) -> Position:
        """The answer to a request: the position of its last event."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            epoch, offset = (await self._process.stdout.readline()).decode().split()
        return Position(epoch, int(offset))

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


async def _append_on_request(log_url: str, plan_id: str) -> None:
    log, requests = log_of(log_url), asyncio.StreamReader()
    await log.open()
    sender = Sender(log, plan_id, "remote")
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    while request := await requests.readline():
        position = await sender.append(events=int(request))
        sys.stdout.write(f"{position.epoch} {position.offset}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_append_on_request(*sys.argv[1:]))
