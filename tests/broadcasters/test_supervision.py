"""Long-lived work goes on whatever it raises, and its state can be read."""

from __future__ import annotations

import asyncio
import logging

import pytest

from broadcasters.supervision import LONGEST, Supervisor
from tests.hub.core.virtual_time import in_virtual_time, turns


class Worker:
    """Counts its turns, and raises the given exceptions, one a turn."""

    def __init__(self) -> None:
        self.turns = 0
        self.raises: BaseException | None = None

    async def turn(self) -> None:
        self.turns += 1
        if self.raises is not None:
            raise self.raises


def down(supervisor: Supervisor) -> list[str]:
    return [name for name, part in supervisor.parts.items() if part.down]


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_turn_is_repeated_until_the_supervisor_is_closed() -> None:
    supervisor, worker = Supervisor(), Worker()
    supervisor.repeat("sums", worker.turn, every=5.0)
    await asyncio.sleep(4.9)
    assert worker.turns == 0
    await asyncio.sleep(10.2)
    assert worker.turns == 3
    await supervisor.close()
    await asyncio.sleep(60)
    assert worker.turns == 3
    assert supervisor.parts == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_the_first_turn_has_a_time_of_its_own_and_any_may_be_woken() -> None:
    supervisor, worker, wake = Supervisor(), Worker(), asyncio.Event()
    supervisor.repeat("sums", worker.turn, every=600.0, first=0.0, wake=wake)
    await turns()
    assert worker.turns == 1
    wake.set()
    await turns()
    assert worker.turns == 2
    assert not wake.is_set()
    assert now() < 1
    await supervisor.close()


@in_virtual_time
@pytest.mark.parametrize("error", [ValueError("odd"), asyncio.CancelledError("of something it waited for")])
async def test_a_part_that_fails_is_down_until_a_turn_of_it_returns(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, worker, other = Supervisor(), Worker(), Worker()
    supervisor.repeat("sums", worker.turn, every=60.0)
    supervisor.repeat("other sums", other.turn, every=1.0)
    worker.raises = error
    await asyncio.sleep(59 + 20 * LONGEST)
    part = supervisor.parts["sums"]
    assert down(supervisor) == ["sums"]
    assert part.failures == worker.turns > 10, "after pauses that grow to two seconds, not each minute"
    assert part.problem == f"{type(error).__name__}: {error}"
    [told] = caplog.records
    assert (told.levelno, told.exc_info is not None) == (logging.ERROR, True), "once, however often it fails alike"
    assert other.turns > 90
    worker.raises = None
    await asyncio.sleep(LONGEST)
    assert down(supervisor) == []
    before = worker.turns
    await asyncio.sleep(59)
    assert worker.turns <= before + 1, "in its own time again"
    await supervisor.close()


@in_virtual_time
async def test_another_failure_is_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, worker = Supervisor(), Worker()
    supervisor.repeat("sums", worker.turn, every=1.0)
    worker.raises = ValueError("odd")
    await asyncio.sleep(20)
    worker.raises = LookupError("gone")
    await asyncio.sleep(20)
    assert [record.getMessage() for record in caplog.records] == [
        "sums failed and is tried again: ValueError: odd",
        "sums failed and is tried again: LookupError: gone",
    ]
    await supervisor.close()


@in_virtual_time
async def test_a_turn_that_is_under_way_is_cancelled_and_waited_for() -> None:
    supervisor, ended = Supervisor(), list[str]()

    async def turn() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            ended.append("tidied")

    supervisor.repeat("long", turn, every=0.0)
    await asyncio.sleep(10)
    await supervisor.close()
    assert ended == ["tidied"]


def test_an_interrupt_goes_through() -> None:
    async def program() -> None:
        supervisor, worker = Supervisor(), Worker()
        worker.raises = KeyboardInterrupt()
        supervisor.repeat("sums", worker.turn, every=0.0)
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(program())


@in_virtual_time
async def test_a_task_that_runs_once_is_owned_and_its_failure_logged(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, ended = Supervisor(), list[str]()

    async def fails() -> None:
        raise ValueError("odd")

    async def lasts() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("lasts")

    supervisor.run("an errand", fails())
    lasting = supervisor.run("another", lasts())
    await turns()
    assert [record.getMessage() for record in caplog.records] == ["an errand failed: odd"]
    await supervisor.close()
    assert ended == ["lasts"]
    assert lasting.cancelled()
