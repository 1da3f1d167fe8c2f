"""The embedded log when its program is killed, when two programs append at once, and when the disk is full."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from broadcasters.errors import LogFull
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from tests.contract.clients import Producer, RecordingWatcher, all_of
from tests.faults.sqlite_appender import PLANS, SENDERS

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
Acknowledged = dict[tuple[str, int], str]


@contextmanager
def appender(path: Path, name: str, *numbers: int) -> Iterator[subprocess.Popen[str]]:
    """Starts sqlite_appender in another process."""
    command = [sys.executable, "-m", "tests.faults.sqlite_appender", f"sqlite:///{path}", name, *map(str, numbers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[str], enough: int | None = None) -> Iterator[str]:
    """The complete lines it printed: this many, or all until it ends."""
    assert process.stdout is not None
    for number, line in enumerate(process.stdout, 1):
        if line.endswith("\n"):
            yield line.removesuffix("\n")
        if number == enough:
            return


def all_lines_of(process: subprocess.Popen[str]) -> list[str]:
    return list(lines_of(process))


def acknowledged(lines: Iterator[str]) -> Acknowledged:
    found = {}
    for line in lines:
        plan_id, offset, text = line.split(" ")
        found[plan_id, int(offset)] = text
    return found


async def check(log: PlanLog, acked: Acknowledged) -> None:
    """Everything acknowledged is at its offset; no gap, no duplicate; each sender's order is kept."""
    for plan_id in {plan_id for plan_id, _ in acked}:
        stored = await all_of(log, plan_id)
        assert (await log.head(plan_id)).offset == len(stored) == len(set(stored))
        for (of, offset), text in acked.items():
            assert of != plan_id or stored[offset - 1] == text
        order: dict[str, int] = {}
        for text in stored:
            sender, number, _ = text.split("/")
            assert int(number) == order.get(sender, -1) + 1
            order[sender] = int(number)


async def kill_and_check(path: Path, rounds: int, acks: int) -> None:
    acked: Acknowledged = {}
    for round_ in range(rounds):
        with appender(path, f"round-{round_}", 1_000_000, 300) as process:
            acked |= acknowledged(lines_of(process, acks + 37 * round_))
            os.kill(process.pid, signal.SIGKILL)
            acked |= acknowledged(lines_of(process))  # what it had printed before it was killed
            assert process.wait() == -signal.SIGKILL
        log = log_of(f"sqlite:///{path}")
        await log.open()
        await check(log, acked)
        await log.close()
    assert len(acked) >= rounds * acks


async def test_l4_a_killed_program_leaves_all_it_acknowledged(tmp_path: Path) -> None:
    await kill_and_check(tmp_path / "plans.db", rounds=3, acks=200)


@pytest.mark.slow
async def test_l4_a_program_killed_many_times_leaves_all_it_acknowledged(tmp_path: Path) -> None:
    await kill_and_check(tmp_path / "plans.db", rounds=25, acks=500)


async def test_l3_an_append_in_flight_when_its_program_was_killed_can_be_retried(tmp_path: Path) -> None:
    path = tmp_path / "plans.db"
    with appender(path, "killed", 1_000_000) as process:
        acked = acknowledged(lines_of(process, 100))
        os.kill(process.pid, signal.SIGKILL)
        acked |= acknowledged(lines_of(process))
        process.wait()
    log = log_of(f"sqlite:///{path}")
    await log.open()
    for number in range(SENDERS):
        plan_id, name = f"plan-{number % PLANS}", f"killed-{number}"
        texts = [text for (of, _), text in acked.items() if of == plan_id and text.startswith(f"{name}/")]
        producer = Producer(plan_id, name)
        producer.seq = len(texts) + 1
        await producer.batch(f"{name}/{len(texts)}/").to(log)
    await check(log, acked)
    await log.close()


async def two_at_once(path: Path, appends: int) -> None:
    log = log_of(f"sqlite:///{path}")
    await log.open()
    watchers = {f"plan-{i}": RecordingWatcher() for i in range(PLANS)}
    for plan_id, watcher in watchers.items():
        await log.watch(plan_id, watcher)
    with appender(path, "first", appends) as first, appender(path, "second", appends) as second:
        outputs = await asyncio.gather(*[asyncio.to_thread(all_lines_of, one) for one in (first, second)])
        assert (first.wait(), second.wait()) == (0, 0)
    acked = acknowledged(iter([line for lines in outputs for line in lines]))
    total = 2 * SENDERS * appends // PLANS
    assert len(acked) == total * PLANS
    await check(log, acked)
    for plan_id, watcher in watchers.items():
        await watcher.until_offset(total)
        assert watcher.offsets == list(range(1, total + 1))
        assert watcher.story == await all_of(log, plan_id)
        assert watcher.words == []
    await log.close()


async def test_l1_l6_two_programs_append_to_the_same_plans_at_once_and_a_third_receives_all(tmp_path: Path) -> None:
    await two_at_once(tmp_path / "plans.db", 20)


@pytest.mark.slow
async def test_l1_l6_two_programs_append_much_at_once_and_a_third_receives_all(tmp_path: Path) -> None:
    await two_at_once(tmp_path / "plans.db", 1000)


def test_l11_at_the_file_size_limit_appends_fail_reads_work_and_appends_resume_when_it_is_raised(
    tmp_path: Path,
) -> None:
    with appender(tmp_path / "plans.db", "fill", 0) as process:
        output = list(lines_of(process))
        assert process.wait() == 0
    assert output[0].startswith("LogFull ")
    full, later = json.loads(output[1]), json.loads(output[2])
    assert full["stored"] == full["read"] > 10
    assert later["again"] == later["read"] == full["stored"] + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill_up(directory: Path) -> Path:
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):  # to the last byte
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return ballast


async def test_l11_on_a_full_disk_appends_fail_reads_work_and_appends_resume_when_there_is_room(
    small_disk: Path,
) -> None:
    log = log_of(f"sqlite:///{small_disk / 'plans.db'}")
    await log.open()
    watcher = RecordingWatcher()
    await log.watch("plan-1", watcher)
    producer = Producer("plan-1")
    await producer.batch("a", "b").to(log)
    ballast = fill_up(small_disk)
    batch = producer.batch(*["x" * 4000] * 100)
    others = [Producer(f"plan-{i}").batch("y" * 5000) for i in range(2, 5)]
    answers = await asyncio.gather(*[one.to(log) for one in (batch, *others)], return_exceptions=True)
    assert [type(answer) for answer in answers] == [LogFull] * 4
    assert await all_of(log, "plan-1") == ["a", "b"]
    assert [plan.plan_id for plan in (await log.plans()).plans] == ["plan-1"]
    ballast.unlink()
    assert list((await batch.to(log)).offsets) == list(range(3, 103))
    await watcher.until_offset(102)
    assert watcher.offsets == list(range(1, 103))
    await log.close()


async def test_opening_a_log_on_a_full_disk_raises_log_full(small_disk: Path) -> None:
    fill_up(small_disk)
    log = log_of(f"sqlite:///{small_disk / 'plans.db'}")
    with pytest.raises(LogFull):
        await log.open()
