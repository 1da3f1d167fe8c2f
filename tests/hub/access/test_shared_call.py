"""One call for many who ask."""

from __future__ import annotations

import asyncio

import pytest

from hub.access.shared_call import SharedCall
from tests.hub.core.virtual_time import in_virtual_time, turns


class Call:
    """Counts how often it is made, and answers when told."""

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
async def test_one_call_answers_all_who_ask_meanwhile() -> None:
    shared, call = SharedCall[str, str](), Call()
    asking = [asyncio.create_task(shared.ask("key", call)) for _ in range(5)]
    await turns()
    assert call.made == 1
    call.answer.set_result("here")
    assert await asyncio.gather(*asking) == ["here"] * 5
    assert await shared.ask("key", call) == "here"
    assert call.made == 2, "an answer that was given is not kept"


@in_virtual_time
async def test_other_keys_are_other_calls() -> None:
    shared, one, other = SharedCall[int, str](), Call(), Call()
    asking = [asyncio.create_task(shared.ask(1, one)), asyncio.create_task(shared.ask(2, other))]
    one.answer.set_result("one")
    other.answer.set_result("other")
    assert await asyncio.gather(*asking) == ["one", "other"]


@in_virtual_time
async def test_one_who_is_cancelled_takes_nothing_from_the_others() -> None:
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
async def test_what_goes_wrong_goes_wrong_for_all() -> None:
    shared, call = SharedCall[str, str](), Call()
    asking = [asyncio.create_task(shared.ask("key", call)) for _ in range(3)]
    call.answer.set_exception(OSError("gone"))
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(error) for error in told] == ["gone"] * 3


@in_virtual_time
async def test_what_goes_wrong_when_nobody_waits_any_more_is_nobodys_business() -> None:
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
async def test_who_asks_after_a_cancel_is_not_cancelled_with_the_call_before() -> None:
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
async def test_closed_it_has_no_task_left() -> None:
    shared, call = SharedCall[str, str](), Call()
    asking = asyncio.create_task(shared.ask("key", call))
    await turns()
    await shared.close()
    assert call.ended == 1
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert asyncio.all_tasks() == {asyncio.current_task()}
