"""From end to end: a person answers on a real hub's socket, and the real graph goes on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from websockets.asyncio.client import ClientConnection, connect

from broadcasters import Broadcaster
from plan_engine.adapters.langgraph import run_langgraph
from tests.plan_engine.adapters.graphs import shop
from tests.servers.hub import HubServer
from tests.servers.process import RedisServer

DEADLINE_S = 60.0


async def told(socket: ClientConnection, kind: str, **expected: Any) -> dict[str, Any]:
    """The next frame of this type with these fields in its data."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame["type"] == kind and expected.items() <= frame.get("data", {}).items():
                return frame


@pytest.mark.parametrize("where", ["sqlite", "redis"])
async def test_an_interrupt_answered_on_the_hubs_socket_resumes_the_graph(
    where: str, log_url: str, redis: RedisServer
) -> None:
    log = redis.url if where == "redis" else log_url
    async with HubServer(log) as hub, Broadcaster(log) as broadcaster, connect(hub.ws) as socket:
        await socket.send(json.dumps({"type": "subscribe_plan", "plan_id": "shop-7", "since": "start"}))
        await told(socket, "subscription_confirmed")
        graph = shop(InMemorySaver())
        running = asyncio.create_task(run_langgraph("shop-7", graph, {}, broadcaster=broadcaster))
        asked = await told(socket, "input_request")
        assert asked["data"]["prompt"] == "Send the offer?"
        await told(socket, "plan_update", status="waiting")

        answer = {"type": "plan_input", "plan_id": "shop-7", "request_id": asked["data"]["request_id"]}
        await socket.send(json.dumps({**answer, "answer": "perhaps"}))
        assert (await told(socket, "error"))["code"] == "invalid_answer"
        await socket.send(json.dumps({**answer, "answer": "yes"}))
        await told(socket, "input_accepted")
        ended = await told(socket, "plan_update", status="completed")
        assert ended["data"]["data"] == {"result": {"notes": ["sent: yes"]}}
        assert (await running)["notes"] == ["sent: yes"]
