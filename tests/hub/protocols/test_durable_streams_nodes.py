"""Durable Streams on two hubs with one log, of which one is drained (P-DST-3, P-DST-7)."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest

from tests.hub.hubs import Said, say, until
from tests.hub.protocols.test_durable_streams import append, follow, offsets, read
from tests.servers import RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.slow
PLAN = "plan-1"


async def test_two_hubs_on_redis_of_which_one_is_drained() -> None:
    with RedisServer() as redis, HubServer(redis.url) as first, HubServer(redis.url) as second:
        async with httpx.AsyncClient(base_url=first.url) as one, httpx.AsyncClient(base_url=second.url) as other:

            async def send(client: httpx.AsyncClient, seq: int) -> int:
                about = {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": str(seq)}
                return (await append(client, PLAN, [Said.message(str(seq))], **about)).status_code

            # Batches of one producer on either hub, each sent twice: the second one knows what the first one stored.
            sent = [
                await send(client, seq) for seq in range(4) for client in ((one, other) if seq % 2 else (other, one))
            ]
            assert sent == [200, 204] * 4
            assert [await send(client, 5) for client in (one, other)] == [409, 409]
            pages = [await read(client, PLAN) for client in (one, other)]
            assert pages[0].content == pages[1].content
            assert offsets(pages[0]) == [1, 2, 3, 4]
            tail = pages[0].headers["stream-next-offset"]
            poll = asyncio.ensure_future(read(one, PLAN, offset=tail, live="long-poll"))
            async with follow(one, PLAN, tail) as events:
                assert (await anext(events))[1] == {"streamNextOffset": tail, "upToDate": True}
                await until(lambda: first.metric("plancast_connections", transport="poll") == 1)
                first.signal(signal.SIGTERM)
                assert [event async for event in events] == [], "the stream ends, and its client continues elsewhere"
            left = await poll
            assert (left.status_code, left.headers["stream-next-offset"]) == (204, tail)
            await say(other, PLAN, Said.update(status="completed"))
            rest = await read(other, PLAN, offset=tail, live="long-poll")
            assert (offsets(rest), rest.headers["stream-closed"]) == ([5], "true")
