from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broadcasters import Broadcaster, BroadcasterClosed, InvalidEvent, LogFull, LogUnavailable, Message
from broadcasters.checkpointing import snapshot_of
from broadcasters.streamed_message import MAX_PART
from tests.broadcasters.faults import FaultyLog, until

PLAN = "plan-1"


async def parts(log: FaultyLog) -> list[dict[str, Any]]:
    return [event["data"] for event in await log.events(PLAN)]


async def fail(b: Broadcaster, text: str, error: Exception) -> None:
    """An agent that fails after this text."""
    async with b.message(PLAN, "A") as m:
        await m.write(text)
        raise error


async def babble(m: Message) -> None:
    """Write until it fails."""
    async with asyncio.timeout(20):
        while True:
            await m.write("x")
            await asyncio.sleep(0.002)


async def whole(log: FaultyLog) -> str:
    return "".join(part["content"] for part in await parts(log))


async def leaving_amid_a_part(log: FaultyLog, b: Broadcaster, under_way: str, rest: str) -> asyncio.Task[None]:
    """Leave the block of a message while a part of it waits for the log's answer, and the rest after it."""
    log.gate.clear()
    m = b.message(PLAN, "A")
    await m.__aenter__()
    await m.write(under_way)
    await until(lambda: log.calls)
    await m.write(rest)
    leaving = asyncio.create_task(m.__aexit__(None, None, None))
    await asyncio.sleep(0)
    return leaving


async def test_many_pieces_become_few_events_and_one_message(log: FaultyLog, b: Broadcaster) -> None:
    said = [f"{n} " for n in range(500)]
    async with b.message(PLAN, "Data Analyst", "result", step_id="s") as m:
        for piece in said:
            await m.write(piece)
            await asyncio.sleep(0)
    told = await parts(log)
    assert len(told) < 50
    assert {(part["message_id"], part["agent_name"], part["message_type"], part["step_id"]) for part in told} == {
        (m.message_id, "Data Analyst", "result", "s")
    }
    assert [part.get("final") for part in told] == [None] * (len(told) - 1) + [True]
    snapshot, _ = await snapshot_of(log, PLAN)
    (message,) = snapshot.messages
    assert (message.content, message.streaming, message.error) == ("".join(said), False, None)


async def test_the_first_piece_does_not_wait_for_the_second(log: FaultyLog, b: Broadcaster) -> None:
    async with b.message(PLAN, "A") as m:
        await m.write("first")
        await log.until_text(PLAN, "first")


async def test_text_that_waits_goes_out_without_another_write(log: FaultyLog, b: Broadcaster) -> None:
    async with b.message(PLAN, "A") as m:
        await m.write("first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await m.write(" second")
        await log.until_text(PLAN, "first second")


async def test_on_leaving_all_of_it_is_durable(log: FaultyLog, b: Broadcaster) -> None:
    async with b.message(PLAN, "A") as m:
        await m.write("all of it")
    (only,) = await parts(log)
    assert (only["content"], only["final"]) == ("all of it", True)


async def test_a_message_without_text_is_closed(log: FaultyLog, b: Broadcaster) -> None:
    async with b.message(PLAN, "A") as m:
        await m.write("")
    (only,) = await parts(log)
    assert (only["content"], only["final"]) == ("", True)


async def test_two_agents_at_once_stay_apart(log: FaultyLog, b: Broadcaster) -> None:
    async with b.message(PLAN, "A") as one, b.message(PLAN, "B", message_id="mine") as other:
        for n in range(20):
            await one.write(f"a{n}")
            await other.write(f"b{n}")
            await asyncio.sleep(0.005)
    snapshot, _ = await snapshot_of(log, PLAN)
    assert {message.message_id: message.content for message in snapshot.messages} == {
        one.message_id: "".join(f"a{n}" for n in range(20)),
        "mine": "".join(f"b{n}" for n in range(20)),
    }


async def test_when_the_agent_fails_the_message_has_the_error_and_the_exception_is_raised(
    log: FaultyLog, b: Broadcaster
) -> None:
    with pytest.raises(ZeroDivisionError, match="secret"):
        await fail(b, "so far", ZeroDivisionError("a secret"))
    (only,) = await parts(log)
    assert (only["content"], only["final"], only["error"]) == ("so far", True, "the agent failed: ZeroDivisionError")


async def test_when_the_agent_is_cancelled_too(log: FaultyLog, b: Broadcaster) -> None:
    async def agent() -> None:
        async with b.message(PLAN, "A") as m:
            await m.write("so far")
            await asyncio.Event().wait()

    task = asyncio.create_task(agent())
    await log.until_text(PLAN, "so far")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [part.get("error") for part in await parts(log)] == [None, "cancelled"]
    assert await whole(log) == "so far"


async def test_cancelled_in_a_long_write_it_keeps_what_was_written(log: FaultyLog, b: Broadcaster) -> None:
    log.gate.clear()
    text = "".join(f"{n:07} " for n in range(MAX_PART // 2))
    m = b.message(PLAN, "A")
    await m.__aenter__()
    await m.write("begun ")
    await until(lambda: log.calls)
    writing = asyncio.create_task(m.write(text))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    log.gate.set()
    await m.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)
    assert await whole(log) == "begun " + text
    assert [part.get("error") for part in await parts(log)] == [None] * 4 + ["cancelled"]


async def test_cancelled_while_it_is_being_closed_it_is_closed_all_the_same(log: FaultyLog) -> None:
    async with Broadcaster(log=log) as b:
        message = b.message(PLAN, "A")
        await message.__aenter__()
        await message.write("all of it")
        log.gate.clear()
        closing = asyncio.create_task(message.__aexit__(None, None, None))
        await until(lambda: log.calls)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        log.gate.set()
    assert (await parts(log))[-1]["final"]
    assert await whole(log) == "all of it"


async def test_an_agent_that_fails_while_the_log_is_away_is_not_kept_waiting(
    log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcasters.streamed_message.PATIENCE", 0.05)
    async with Broadcaster(log=log) as b:
        log.error = LogUnavailable("away")
        with pytest.raises(ZeroDivisionError):
            await fail(b, "so far", ZeroDivisionError())
        assert b.statistics().queued_events == 1
        log.error = None
    (only,) = await parts(log)
    assert only["error"]


async def test_writing_returns_at_once_until_much_is_waiting(log: FaultyLog, b: Broadcaster) -> None:
    log.gate.clear()
    async with b.message(PLAN, "A") as m:
        async with asyncio.timeout(20):
            await m.write("begun")
            await until(lambda: log.calls)
            for _ in range(7):
                await m.write("x" * (MAX_PART // 8))
        writing = asyncio.create_task(m.write("x" * (MAX_PART // 8)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        log.gate.set()
        await writing
    assert len(await whole(log)) == len("begun") + MAX_PART


async def test_a_long_text_is_cut_into_parts_that_fit(log: FaultyLog, b: Broadcaster) -> None:
    text = "\x01é😀" * 60_000
    async with b.message(PLAN, "A") as m:
        await m.write(text)
        await m.write("end")
    assert await whole(log) == text + "end"


async def test_what_failed_is_raised_by_the_next_write(log: FaultyLog, b: Broadcaster) -> None:
    log.error = LogFull("no room")
    m = b.message(PLAN, "A")
    await m.__aenter__()
    with pytest.raises(LogFull):
        await babble(m)


async def test_or_on_leaving(log: FaultyLog, b: Broadcaster) -> None:
    m = b.message(PLAN, "A")
    await m.__aenter__()
    await m.write("x")
    log.error = LogFull("no room")
    with pytest.raises(LogFull):
        await m.__aexit__(None, None, None)


async def test_a_part_that_failed_is_raised_even_if_the_last_one_is_stored(log: FaultyLog, b: Broadcaster) -> None:
    log.error = LogFull("no room")
    m = b.message(PLAN, "A")
    await m.__aenter__()
    await m.write("lost")
    await until(lambda: log.calls and not b.statistics().queued_events)
    log.error = None
    with pytest.raises(LogFull):
        await m.__aexit__(None, None, None)
    (last,) = await parts(log)
    assert last["final"]
    assert last["error"]


async def test_what_follows_a_part_that_is_lost_meanwhile_does_not_pass_for_the_whole(
    log: FaultyLog, b: Broadcaster
) -> None:
    leaving = await leaving_amid_a_part(log, b, "lost", ", and this is not")
    log.error = LogFull("no room")
    log.gate.set()
    while log.under_way[PLAN]:
        await asyncio.sleep(0)
    log.error = None
    with pytest.raises(LogFull):
        await leaving
    (last,) = await parts(log)
    assert last["content"] == ", and this is not"
    assert last["final"]
    assert last["error"]


async def test_cancelled_while_the_last_part_is_under_way_it_is_closed_too(log: FaultyLog, b: Broadcaster) -> None:
    leaving = await leaving_amid_a_part(log, b, "all ", "of it")
    leaving.cancel()
    await asyncio.sleep(0)
    log.gate.set()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    await log.until_text(PLAN, "all of it")
    assert (await parts(log))[-1]["final"]


async def test_if_the_broadcaster_is_closed_the_agents_own_exception_goes_on(log: FaultyLog) -> None:
    b = Broadcaster(log=log)
    m = b.message(PLAN, "A")
    await m.__aenter__()
    await b.close()
    with pytest.raises(BroadcasterClosed):
        await babble(m)
    await m.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert await parts(log) == []


async def test_bad_fields_are_found_before_anything_is_sent(log: FaultyLog, b: Broadcaster) -> None:
    with pytest.raises(InvalidEvent, match="agent_name"):
        b.message(PLAN, "")
    with pytest.raises(InvalidEvent, match="message_id"):
        b.message(PLAN, "A", message_id="")
    assert log.calls == []


@pytest.mark.parametrize("text", ["\ud800", b"bytes", None])
async def test_bad_text_is_refused_and_the_message_may_go_on(log: FaultyLog, b: Broadcaster, text: Any) -> None:
    async with b.message(PLAN, "A") as m:
        await m.write("good")
        with pytest.raises(InvalidEvent, match="content"):
            await m.write(text)
    assert await whole(log) == "good"


async def test_outside_its_block_nothing_can_be_written(log: FaultyLog, b: Broadcaster) -> None:
    m = b.message(PLAN, "A")
    with pytest.raises(BroadcasterClosed):
        await m.write("too early")
    async with m:
        pass
    with pytest.raises(BroadcasterClosed):
        await m.write("too late")
