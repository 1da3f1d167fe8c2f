"""LangGraph's Python client while the hub that it follows a run on is drained."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client

from tests.hub.hubs import Said, say
from tests.hub.protocols.langgraph_client import LangGraphClient as Model
from tests.hub.protocols.langgraph_client import Received
from tests.servers import RedisServer
from tests.servers.hub import HubServer
from tests.servers.proxy import Proxy

PLAN = "plan-1"
MODES: list[Any] = ["values", "messages-tuple", "custom"]


def part(text: str) -> Any:
    return Said.message(text, message_id="m", append=True)


async def follow(url: str, model: Model) -> None:
    """Follows the only run of the plan to its end."""
    async with get_client(url=f"{url}/langgraph", api_key=None) as client:
        [run] = await client.runs.list(PLAN)
        async for one in client.runs.join_stream(PLAN, run["run_id"], stream_mode=MODES):
            model.take([Received(one.event, one.data, one.id)])


async def until(so: Callable[[], bool], following: asyncio.Future[None]) -> None:
    while not so() and not following.done():
        await asyncio.sleep(0.02)
    assert so(), following


@pytest.mark.slow
async def test_two_hubs_on_redis_of_which_one_is_drained() -> None:
    """P-LGR-6: the client finds the run still running, and continues on the other one."""
    with RedisServer() as redis, HubServer(redis.url) as first, HubServer(redis.url) as second:
        async with httpx.AsyncClient(base_url=second.url) as http, Switch(first.port) as proxy:
            await say(http, PLAN, Said.update(status="in_progress"), part("one"))
            model = Model()
            following = asyncio.ensure_future(follow(f"http://127.0.0.1:{proxy.port}", model))
            await until(lambda: len(model.customs) == 2, following)
            proxy.switch(second.port)
            first.signal(signal.SIGTERM)
            await say(http, PLAN, part(" two"), part(" three"))
            await until(lambda: len(model.customs) == 4, following)
            await say(http, PLAN, part(" four"), Said.update(status="completed"))
            await following
        assert first.logged("error") == []
    assert [event["offset"] for event in model.customs] == [1, 2, 3, 4, 5, 6]
    assert model.texts == {f"{PLAN}:2": "one two three four"}
    assert model.values["plan"]["status"] == "completed"


class Switch(Proxy):
    """A proxy whose new connections go to another server from some time on."""

    def switch(self, port: int) -> None:
        self._server_port = port
