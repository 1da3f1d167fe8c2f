"""The pull outlet: bounded, in order, and it counts what was taken but not yet sent."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config.limits import Limits, OutletLimits
from hub.core.burst import Burst
from hub.core.connections import WaterMarks
from hub.transports.pull_outlet import PullOutlet

HIGH = 20_000


class Told:
    """The connection, as the outlet uses it."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def filled(self) -> None:
        self.words.append("filled")

    def drained(self) -> None:
        self.words.append("drained")


def line() -> tuple[PullOutlet, Told]:
    told = Told()
    made = PullOutlet(WaterMarks(Limits(outlet=OutletLimits(high_water=HIGH, low_water=HIGH // 4))))
    made.connection = cast("Any", told)
    return made, told


def burst(size: int) -> Burst:
    return Burst([b"x" * size], 1, 1)


async def test_items_are_taken_in_their_order() -> None:
    ours, _ = line()
    one, two = burst(10), burst(20)
    ours.write(b"hello")
    ours.deliver(one)
    ours.deliver(two)
    assert await ours.take() == [b"hello", one, two]


async def test_taking_waits_for_an_item() -> None:
    ours, _ = line()
    taking = asyncio.create_task(cast("Any", ours.take()))
    await asyncio.sleep(0)
    assert not taking.done()
    ours.write(b"hello")
    assert await taking == [b"hello"]


async def test_a_cancelled_take_loses_nothing() -> None:
    ours, _ = line()
    taking = asyncio.create_task(cast("Any", ours.take()))
    await asyncio.sleep(0)
    ours.write(b"hello")
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await ours.take() == [b"hello"]


async def test_an_outlet_is_full_above_its_high_water_mark_and_reports_it_once() -> None:
    ours, told = line()
    ours.deliver(burst(HIGH))
    assert (ours.full, told.words) == (False, [])
    ours.deliver(burst(1))
    ours.deliver(burst(1))
    assert (ours.full, told.words) == (True, ["filled"])


async def test_it_drains_once_what_was_taken_is_sent() -> None:
    ours, told = line()
    ours.deliver(burst(HIGH + 1))
    await ours.take()
    assert (ours.full, ours.unread()) == (True, HIGH + 1)  # taken is not yet sent
    ours.write(b"more")
    await ours.take()
    assert (ours.full, told.words) == (False, ["filled", "drained"])


async def test_control_frames_are_written_even_when_full() -> None:
    ours, _ = line()
    full = burst(HIGH + 1)
    ours.deliver(full)
    ours.write(b"going_away")
    assert await ours.take() == [full, b"going_away"]


async def test_a_closed_outlet_returns_what_waits_and_then_nothing() -> None:
    ours, _ = line()
    ours.write(b"last words")
    ours.close(1012, "the hub restarts")
    ours.close(1000, "too late")
    ours.write(b"after the end")
    assert ours.ended.is_set()
    assert await ours.take() == [b"last words"]
    assert await ours.take() == []
    assert ours.ending == (1012, "the hub restarts")


async def test_an_outlet_closed_while_full_does_not_report_that_it_drained() -> None:
    ours, told = line()
    ours.deliver(burst(HIGH + 1))
    ours.close(4408, "nothing was read")
    await ours.take()
    assert await ours.take() == []
    assert told.words == ["filled"]


@given(st.lists(st.tuples(st.sampled_from(["write", "take", "turn"]), st.booleans())))
def test_frames_are_sent_in_their_order_also_those_that_are_written_at_once(steps: list[tuple[str, bool]]) -> None:
    """A frame is written at once only while the transport has nothing to send, and not if the client can't take it."""

    async def run() -> None:
        ours, _ = line()
        sent, written = list[bytes](), list[bytes]()
        accepts = True

        def at_once(frame: bytes) -> bool:
            if accepts:
                sent.append(frame)
            return accepts

        async def transport() -> None:
            while taken := await ours.take():
                for item in taken:
                    await may_go_on.acquire()
                    sent.append(cast("bytes", item))

        ours.at_once, may_go_on = at_once, asyncio.Semaphore(0)
        sending = asyncio.create_task(transport())
        for step, accepts in steps:  # noqa: B007
            if step == "write":
                written.append(b"%d" % len(written))
                ours.write(written[-1])
            elif step == "take":
                may_go_on.release()
            else:
                await asyncio.sleep(0)
        ours.close(1000, "")
        ours.write(b"too late")
        for _ in written:
            may_go_on.release()
        await sending
        assert sent == written

    asyncio.run(run())
