"""Reads for subscribers that the ring can't serve: one read for all who need the same."""

from __future__ import annotations

import asyncio
import json

import pytest

from broadcasters.errors import LogUnavailable
from hub.core.history import PAGE_EVENTS, PAGES_KEPT, History, SharedCall
from tests.hub.core.scripted_log import ScriptedLog, part, step
from tests.hub.core.virtual_time import in_virtual_time, turns


def story(count: int, page_bytes: int = 100_000) -> tuple[ScriptedLog, History]:
    log = ScriptedLog()
    log.story().append([part(number) for number in range(1, count + 1)])
    return log, History("p", log, page_bytes)


async def frames(history: History, offset: int, upto: int, *, merged: bool = False) -> list[tuple[int, int]]:
    """First and last offset of each frame."""
    _, burst = await history.after(offset, upto, merged=merged)
    assert burst is not None
    told = [json.loads(frame) for frame in burst.frames]
    return [(one.get("first", one["offset"]), one["offset"]) for one in told]


@in_virtual_time
async def test_a_read_gives_the_events_between_two_offsets() -> None:
    _, history = story(9)
    assert await frames(history, 3, 7) == [(4, 4), (5, 5), (6, 6), (7, 7)]
    assert await frames(history, 3, 7, merged=True) == [(4, 7)]


@in_virtual_time
async def test_frames_have_the_present_epoch_of_the_log() -> None:
    log, history = story(2)
    log.story().restart()
    log.story().append([step(3)])
    head, burst = await history.after(0, 3, merged=False)
    assert head == log.story().head
    assert burst is not None
    assert [json.loads(frame)["epoch"] for frame in burst.frames] == ["e2", "e2", "e2"]


@in_virtual_time
async def test_a_read_of_trimmed_events_has_no_burst() -> None:
    log, history = story(9)
    log.story().trim(window=2)
    head, burst = await history.after(3, 9, merged=False)
    assert (head.floor, burst) == (7, None)


@in_virtual_time
async def test_many_callers_share_one_read() -> None:
    log, history = story(9)
    told = await asyncio.gather(*(history.after(2, 9, merged=False) for _ in range(50)))
    assert all(one.burst is told[0].burst for one in told)
    await history.after(2, 9, merged=False)
    assert log.count("read") == 1
    await history.after(2, 9, merged=True)
    assert log.count("read") == 2


@in_virtual_time
async def test_the_pages_used_last_are_kept() -> None:
    log, history = story(20)
    for offset in range(PAGES_KEPT):
        await history.after(offset, 20, merged=False)
    await history.after(0, 20, merged=False)
    await history.after(PAGES_KEPT, 20, merged=False)  # drops the page after 1
    assert len(history._kept) == PAGES_KEPT
    log.asked.clear()
    await history.after(0, 20, merged=False)
    assert log.count("read") == 0
    await history.after(1, 20, merged=False)
    assert log.count("read") == 1


@in_virtual_time
async def test_pages_are_bounded_in_bytes_and_in_number() -> None:
    log, history = story(PAGE_EVENTS * 5, page_bytes=100_000_000)
    assert len(await frames(history, 0, PAGE_EVENTS * 5)) == PAGE_EVENTS
    assert await frames(history, 0, PAGE_EVENTS * 5, merged=True) == [(1, PAGE_EVENTS * 4)]
    small = History("p", log, page_bytes=500)
    assert 1 <= len(await frames(small, 0, PAGE_EVENTS)) <= 4


@in_virtual_time
async def test_kept_pages_are_bounded_in_bytes() -> None:
    _, history = story(40, page_bytes=1_000)
    for offset in range(6):
        await history.after(offset, 40, merged=False)
        assert 0 < history._kept_bytes <= 4_000
    assert len(history._kept) < PAGES_KEPT


@in_virtual_time
async def test_a_page_too_large_to_keep_is_still_returned() -> None:
    log = ScriptedLog()
    log.story().append([part(1, content="x" * 5_000)])
    history = History("p", log, page_bytes=1_000)
    assert await frames(history, 0, 1) == [(1, 1)]
    assert not history._kept


@in_virtual_time
async def test_dropped_pages_are_read_again() -> None:
    log, history = story(5)
    await history.after(0, 5, merged=False)
    await history.snapshot(0)
    history.forget()
    log.asked.clear()
    await history.after(0, 5, merged=False)
    await history.snapshot(0)
    assert log.count("read", "p", 0, 5) == 1
    assert log.count("checkpoint") == 1


@in_virtual_time
async def test_a_snapshot_is_folded_once_and_again_when_it_is_too_old() -> None:
    log, history = story(5)
    told = await asyncio.gather(*(history.snapshot(0) for _ in range(20)))
    assert {one.head for one in told} == {log.story().head}
    assert log.count("checkpoint") == 1
    log.story().append([step(6)])
    assert (await history.snapshot(5)).head.offset == 5, "the old fold is late enough"
    assert (await history.snapshot(6)).head.offset == 6
    assert log.count("checkpoint") == 2


@in_virtual_time
async def test_a_failed_read_fails_for_its_callers_and_not_for_later_ones() -> None:
    log, history = story(5)
    log.down = True
    told = await asyncio.gather(*(history.after(0, 5, merged=False) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in told] == [LogUnavailable] * 3
    assert log.count("read") == 1
    log.down = False
    assert len(await frames(history, 0, 5)) == 5


@in_virtual_time
async def test_closed_it_has_no_task_left() -> None:
    log, history = story(5)
    log.hanging = True
    asking = [asyncio.create_task(history.after(0, 5, merged=False)), asyncio.create_task(history.snapshot(0))]
    await turns()
    await history.close()
    for one in asking:
        with pytest.raises(asyncio.CancelledError):
            await one
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Call:
    """A call that counts how often it is made, and returns when the test sets its result."""

    def __init__(self) -> None:
        self.made = 0
        self.ended = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.made += 1
        try:
            return await asyncio.shield(self.answer)
        finally:
            self.ended += 1


@in_virtual_time
async def test_concurrent_callers_share_one_call() -> None:
    shared, call = SharedCall[str, str](), Call()
    asking = [asyncio.create_task(shared.ask("key", call)) for _ in range(5)]
    await turns()
    assert call.made == 1
    call.answer.set_result("here")
    assert await asyncio.gather(*asking) == ["here"] * 5
    assert await shared.ask("key", call) == "here"
    assert call.made == 2, "a result is not kept"


@in_virtual_time
async def test_each_key_has_its_own_call() -> None:
    shared, one, other = SharedCall[int, str](), Call(), Call()
    asking = [asyncio.create_task(shared.ask(1, one)), asyncio.create_task(shared.ask(2, other))]
    one.answer.set_result("one")
    other.answer.set_result("other")
    assert await asyncio.gather(*asking) == ["one", "other"]


@in_virtual_time
async def test_a_cancelled_caller_does_not_cancel_the_call() -> None:
    shared, call = SharedCall[str, str](), Call()
    first, second = (asyncio.create_task(shared.ask("key", call)) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    assert first.cancelled()
    assert call.ended == 0
    call.answer.set_result("here")
    assert await second == "here"


@in_virtual_time
async def test_an_error_is_raised_to_all_callers() -> None:
    shared, call = SharedCall[str, str](), Call()
    asking = [asyncio.create_task(shared.ask("key", call)) for _ in range(3)]
    call.answer.set_exception(OSError("gone"))
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(error) for error in told] == ["gone"] * 3


@in_virtual_time
async def test_an_error_without_callers_is_not_logged() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    shared, call = SharedCall[str, str](), Call()
    asking = asyncio.create_task(shared.ask("key", call))
    await turns()
    asking.cancel()
    call.answer.set_exception(OSError("gone"))
    await turns()
    assert call.ended == 1
    del call
    assert complaints == []


@in_virtual_time
async def test_a_caller_after_a_cancel_gets_a_new_call() -> None:
    shared, call = SharedCall[str, str](), Call()
    before = asyncio.create_task(shared.ask("key", call))
    await turns()
    shared.cancel()
    after = asyncio.create_task(shared.ask("key", call))
    await turns()
    assert before.cancelled()
    call.answer.set_result("here")
    assert await after == "here"
    assert call.made == 2


@in_virtual_time
async def test_a_closed_shared_call_has_no_task_left() -> None:
    shared, call = SharedCall[str, str](), Call()
    asking = asyncio.create_task(shared.ask("key", call))
    await turns()
    await shared.close()
    assert call.ended == 1
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert asyncio.all_tasks() == {asyncio.current_task()}
