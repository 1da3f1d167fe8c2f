"""Pub/sub messages between Redis and the hub are lost silently: no client misses an event."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import hiredis
import pytest

from broadcasters import Broadcaster
from tests.faults.event_recorder import EventRecorder
from tests.faults.publisher_process import PublisherProcess
from tests.faults.readers import Reader, verify_received
from tests.servers import RedisServer
from tests.servers.hub import HubServer
from tests.servers.proxy import LossyProxy, message_end

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(4)]


def test_message_end_finds_the_end_of_every_resp_message() -> None:
    """For all types that hiredis reads; a truncated message has no end."""
    answers = [
        b"+OK\r\n", b":12\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$0\r\n\r\n",
        b"$4\r\na\r\nb\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", b"%1\r\n$1\r\na\r\n~2\r\n:1\r\n:2\r\n",
        b">3\r\n$8\r\nsmessage\r\n$4\r\n{p}:\r\n$6\r\n>1\r\n:1\r\n", b"-ERR no\r\n",
    ]  # fmt: skip
    stream = b"".join(answers)
    at = 0
    for answer in answers:
        end = message_end(stream, at)
        assert end is not None
        assert stream[at:end] == answer
        assert [message_end(answer[:cut], 0) for cut in range(1, len(answer))] == [None] * (len(answer) - 1)
        reader = hiredis.Reader()
        reader.feed(answer)
        assert reader.gets() is not False
        at = end
    assert at == len(stream)


async def survive_losses(
    recorder: EventRecorder, directory: Path, *, clients: int, seconds: float, share: float, rate: float
) -> None:
    dice = random.Random(7)

    def drops(_: bytes, payload: bytes) -> bool:
        return dice.random() < share

    with RedisServer() as redis:
        async with LossyProxy(redis.port, drops) as proxy, HubServer(proxy.url) as hub:
            readers = [Reader(recorder, hub.ws, f"reader-{i}") for i in range(clients)]
            for number, reader in enumerate(readers):
                await reader.connect()
                for plan_id in PLANS[: 1 + number % len(PLANS)]:
                    reader.subscribe(plan_id, "start" if number % 2 else None)
            async with PublisherProcess(redis.url, PLANS, directory, senders=8, rate=rate) as publisher:
                await asyncio.sleep(seconds)  # the duration of the losses, not a wait
            tally = await verify_received(readers, redis.url, publisher.acks)
            holes = await asyncio.to_thread(hub.metric, "plancast_holes_total")
            assert [reader.close_codes for reader in readers] == [[]] * clients
    print(f"\n{clients} clients, lost {proxy.lost} of {proxy.lost + proxy.passed}, holes {holes}: {tally}")
    assert proxy.lost > 0
    assert holes > 0


async def test_one_message_in_a_hundred_is_lost(tmp_path: Path, recorder: EventRecorder) -> None:
    await survive_losses(recorder, tmp_path, clients=20, seconds=3.0, share=0.01, rate=600)


@pytest.mark.slow
async def test_one_message_in_a_hundred_is_lost_for_half_a_minute(tmp_path: Path, recorder: EventRecorder) -> None:
    await survive_losses(recorder, tmp_path, clients=100, seconds=30.0, share=0.01, rate=1000)


@pytest.mark.slow
async def test_every_other_message_is_lost(tmp_path: Path, recorder: EventRecorder) -> None:
    await survive_losses(recorder, tmp_path, clients=20, seconds=10.0, share=0.5, rate=500)


async def test_the_last_event_of_a_plan_is_lost_and_found(recorder: EventRecorder) -> None:
    """No event follows that would reveal the gap: the slow head check finds it."""
    last = b"the last event"
    with RedisServer() as redis:
        async with LossyProxy(redis.port, lambda _, payload: last in payload) as proxy, HubServer(proxy.url) as hub:
            reader = Reader(recorder, hub.ws)
            await reader.connect()
            reader.subscribe("plan")
            await reader.until(lambda one: one.subscriptions["plan"].confirmed)
            async with Broadcaster(redis.url) as agent:
                await agent.send_agent_message("plan", "Agent", "the first event")
                await reader.until_at("plan", 1)
                position = await agent.send_agent_message("plan", "Agent", last.decode())
            await reader.until_at("plan", position.offset)
            assert proxy.lost == 1
            assert reader.close_codes == []
            assert await asyncio.to_thread(hub.metric, "plancast_holes_total") == 1
