"""`first_answer` waits for the first answer to an input request, whatever happens to the log meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from broadcasters import Broadcaster, LogUnavailable, Position
from broadcasters.checkpointing import take_checkpoint
from broadcasters.events import InputResponse
from broadcasters.log import answers, log_of
from broadcasters.log.answers import first_answer
from broadcasters.log.contract import PlanLog

PLAN = "plan-1"


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[PlanLog]:
    log = log_of(f"sqlite:///{tmp_path / 'plans.db'}")
    await log.open()
    yield log
    await log.close()


@pytest_asyncio.fixture
async def b(log: PlanLog) -> AsyncIterator[Broadcaster]:
    async with Broadcaster(log=log) as broadcaster:
        yield broadcaster


async def request(b: Broadcaster) -> Position:
    return await b.send_input_request(PLAN, "go", "approval", "Go?")


async def answer_after(b: Broadcaster, after: Position) -> InputResponse:
    async with asyncio.timeout(20):
        return await first_answer(b.reading, PLAN, "go", after, lambda: request(b))


async def test_the_first_answer_counts(b: Broadcaster) -> None:
    after = await request(b)
    await b.send_agent_message(PLAN, "A", '{"type":"input_response","data":{"request_id":"go"}}')
    await b.send_input_response(PLAN, "another", "no")
    await b.send_input_response(PLAN, "go", {"yes": 1}, by="maria")
    await b.send_input_response(PLAN, "go", "too late", by="jo")
    answer = await answer_after(b, after)
    assert (answer.answer, answer.by) == ({"yes": 1}, "maria")


async def test_it_waits_until_there_is_an_answer(b: Broadcaster) -> None:
    waiting = asyncio.create_task(answer_after(b, await request(b)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await b.send_input_response(PLAN, "go", None, by="maria")
    assert (await waiting).by == "maria"


async def test_an_answer_that_was_trimmed_is_found_in_the_checkpoint(log: PlanLog, b: Broadcaster) -> None:
    after = await request(b)
    await b.send_input_response(PLAN, "go", "yes", by="maria", at="2026-01-31T12:00:00.000Z")
    await take_checkpoint(log, PLAN, window=0)
    answer = await answer_after(b, after)
    assert (answer.answer, answer.by, answer.at) == ("yes", "maria", "2026-01-31T12:00:00.000Z")


async def test_a_request_that_is_pending_in_the_checkpoint_is_not_sent_again(log: PlanLog, b: Broadcaster) -> None:
    after = await request(b)
    await b.send_agent_message(PLAN, "A", "meanwhile")
    await take_checkpoint(log, PLAN, window=0)
    waiting = asyncio.create_task(answer_after(b, after))
    await asyncio.sleep(0.05)
    assert (await log.head(PLAN)).offset == 2
    await b.send_input_response(PLAN, "go", "yes")
    assert (await waiting).answer == "yes"


async def test_a_request_that_was_lost_with_its_log_is_sent_again(log: PlanLog, b: Broadcaster) -> None:
    after = await request(b)
    await log.delete(PLAN)
    waiting = asyncio.create_task(answer_after(b, after))
    async with asyncio.timeout(20):
        while not (await log.head(PLAN)).offset:
            await asyncio.sleep(0.002)
    await b.send_input_response(PLAN, "go", "yes")
    assert (await waiting).answer == "yes"


async def test_it_reads_again_when_the_log_is_available_again(
    log: PlanLog, b: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LONGEST_PAUSE_S", 0.01)
    after = await request(b)
    await b.send_input_response(PLAN, "go", "yes")
    failures = 3

    @asynccontextmanager
    async def reading() -> AsyncGenerator[PlanLog]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise LogUnavailable("out of reach")
        yield log

    answer = await first_answer(reading, PLAN, "go", after, lambda: request(b))
    assert (answer.answer, failures) == ("yes", -1)
