"""A link: order of replies, back-pressure, errors, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import ResponseError

from broadcasters.errors import LogUnavailable
from broadcasters.log.redis import link as links
from broadcasters.log.redis.clients import Clients
from broadcasters.log.redis.link import Pushed, RedisLink
from broadcasters.log.redis.opening import open_link
from broadcasters.log.redis.refusals import code_of
from broadcasters.log.redis.url import Address, User
from tests.servers import RedisServer


async def opened(server: RedisServer, pushed: Pushed | None = None) -> RedisLink:
    address = Address("127.0.0.1", server.port)
    one = RedisLink(str(address), pushed)
    await open_link(one, Clients.of_url(User(None, None), None), address)
    return one


@pytest_asyncio.fixture
async def link(server: RedisServer) -> AsyncIterator[RedisLink]:
    one = await opened(server)
    yield one
    await one.close()


async def test_calls_of_one_turn_are_answered_in_order(link: RedisLink) -> None:
    answers = await asyncio.gather(*(link.send("ECHO", f"{i}") for i in range(1000)))
    assert answers == [b"%d" % i for i in range(1000)]


async def test_a_caller_that_gives_up_does_not_shift_the_answers(link: RedisLink) -> None:
    given_up = [asyncio.create_task(link.call("ECHO", f"given up {i}")) for i in range(10)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    assert await link.call("ECHO", "mine") == b"mine"
    assert all(task.cancelled() for task in given_up)


async def test_an_error_goes_to_the_caller_it_answers(link: RedisLink) -> None:
    answers = await asyncio.gather(
        link.send("ECHO", "before"), link.send("NONSENSE"), link.send("ECHO", "after"), return_exceptions=True
    )
    assert answers[0] == b"before"
    assert isinstance(answers[1], ResponseError)
    assert code_of(answers[1]) == "ERR"
    assert answers[2] == b"after"


async def test_errors_of_commands_answered_by_pushes_are_collected(server: RedisServer) -> None:
    pushes: list[Sequence[Any]] = []
    one = await opened(server, pushes.append)
    before = one.send("ECHO", "before")
    refusals = one.send_unanswered([("SSUBSCRIBE", "a"), ("SSUBSCRIBE",), ("SSUBSCRIBE", "b")])
    after = one.send("ECHO", "after")
    assert [await before, await after] == [b"before", b"after"]
    assert [code_of(error) for error in await refusals] == ["ERR"]
    assert [push[:2] for push in pushes] == [[b"ssubscribe", b"a"], [b"ssubscribe", b"b"]]
    await one.close()


async def test_callers_wait_for_room(link: RedisLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_OWED", 10)
    most = 0

    async def call(i: int) -> bytes:
        nonlocal most
        answer: bytes = await link.call("ECHO", f"{i}")
        most = max(most, len(link._owed))
        return answer

    assert await asyncio.gather(*(call(i) for i in range(500))) == [b"%d" % i for i in range(500)]
    assert most <= 10


async def test_a_lost_link_fails_calls_under_way_and_later_ones(server: RedisServer, link: RedisLink) -> None:
    number = await link.call("CLIENT", "ID")
    owed = [link.send("BLPOP", "nothing here", 0), link.send("ECHO", "x"), link.send_unanswered([("SSUBSCRIBE", "a")])]
    await asyncio.sleep(0)
    server.call("CLIENT", "KILL", "ID", number)
    for future in owed:
        with pytest.raises(LogUnavailable, match="lost"):
            await future
    assert not link.alive
    with pytest.raises(LogUnavailable, match="lost"):
        await link.call("PING")
    with pytest.raises(LogUnavailable):
        await link.send_unanswered([("SSUBSCRIBE", "a")])


async def test_waiting_for_room_ends_with_the_link(link: RedisLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_OWED", 1)
    blocked = asyncio.create_task(link.call("BLPOP", "nothing here", 0))
    waiting = asyncio.create_task(link.call("PING"))
    await asyncio.sleep(0)
    link.end("the test is over")
    for task in (blocked, waiting):
        with pytest.raises(LogUnavailable, match="the test is over"):
            await task


async def test_the_beat_ends_a_silent_link(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "BEAT", 0.05)
    one = await opened(server)
    one.beat(("BLPOP", "nothing here", 0), lambda _: None)
    assert "silent" in await asyncio.wait_for(one.ended, 10)
    await one.close()


@pytest.mark.parametrize("answer", ["a reason", None])
async def test_the_beat_ends_a_link_only_for_a_reason(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    monkeypatch.setattr(links, "BEAT", 0.01)
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    def verdict(said: bytes) -> str | None:
        asked.put_nowait(said)
        return answer

    link.beat(("PING",), verdict)
    for _ in range(1 if answer else 5):
        assert await asyncio.wait_for(asked.get(), 10) == b"PONG"
    assert link.alive is (answer is None)


async def test_large_answers_and_large_calls(link: RedisLink) -> None:
    big = b"x" * 5_000_000
    assert await link.call("ECHO", big) == big
