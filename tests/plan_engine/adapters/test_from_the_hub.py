"""End to end: a person answers on a hub's socket, and the graph continues."""

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


class Frames:
    """The frames that a socket receives. An answer and its effects may arrive in either order, so no frame is skipped."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._skipped: list[dict[str, Any]] = []

    async def events_of(self, kind: str, **expected: Any) -> dict[str, Any]:
        """The first frame of this type with these fields in its data that was not returned before."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for frame in self._skipped:
                    if frame["type"] == kind and expected.items() <= frame.get("data", {}).items():
                        self._skipped.remove(frame)
                        return frame
                self._skipped.append(json.loads(await self._socket.recv()))


@pytest.mark.parametrize("where", ["sqlite", "redis"])
async def test_an_interrupt_answered_on_the_hubs_socket_resumes_the_graph(
    where: str, log_url: str, redis: RedisServer
) -> None:
    log = redis.url if where == "redis" else log_url
    async with HubServer(log) as hub, Broadcaster(log) as broadcaster, connect(hub.ws) as socket:
        frames = Frames(socket)
        await socket.send(json.dumps({"type": "subscribe_plan", "plan_id": "shop-7", "since": "start"}))
        await frames.events_of("subscription_confirmed")
        graph = shop(InMemorySaver())
        running = asyncio.create_task(run_langgraph("shop-7", graph, {}, broadcaster=broadcaster))
        asked = await frames.events_of("input_request")
        assert asked["data"]["prompt"] == "Send the offer?"
        await frames.events_of("plan_update", status="waiting")

        answer = {"type": "plan_input", "plan_id": "shop-7", "request_id": asked["data"]["request_id"]}
        await socket.send(json.dumps({**answer, "answer": "perhaps"}))
        assert (await frames.events_of("error"))["code"] == "invalid_answer"
        await socket.send(json.dumps({**answer, "answer": "yes"}))
        await frames.events_of("input_accepted")
        ended = await frames.events_of("plan_update", status="completed")
        assert ended["data"]["data"] == {"result": {"notes": ["sent: yes"]}}
        assert (await running)["notes"] == ["sent: yes"]
