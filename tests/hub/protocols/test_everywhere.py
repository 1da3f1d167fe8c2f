"""One plan, watched by clients of every protocol at once: all end with the same text, and any may answer its question."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk import get_client
from mcp_types import TextResourceContents
from websockets.asyncio.client import connect as websocket

from broadcasters.events import EVENTS, build
from broadcasters.fold import fold
from broadcasters.snapshot import Snapshot, empty
from tests.hub.dialects.servers import working_hub
from tests.hub.protocols.ag_ui import AgUiClient, events_in
from tests.hub.protocols.langgraph_client import LangGraphClient, Received
from tests.hub.protocols.mcp_clients import connect, fields
from tests.hub.protocols.ui_messages import UiMessage, chunks_in
from tests.servers.hub import HubServer

TEMPLATE = "business_operations"
MODES: list[Any] = ["values", "messages-tuple"]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with working_hub(pace=0.02) as hub:
        yield hub


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=120) as http:
        yield http


class Watched:
    """The plan, and what its clients must agree on."""

    def __init__(self, hub: HubServer, http: httpx.AsyncClient) -> None:
        self.hub = hub
        self.http = http
        self.id = f"plan-{uuid4().hex[:8]}"
        self.answered = asyncio.Event()

    async def snapshot(self) -> Mapping[str, Any]:
        plan: Mapping[str, Any] = (await self.http.get(f"/api/plans/{self.id}")).json()
        return plan

    async def texts(self) -> list[str]:
        return sorted(message["content"] for message in (await self.snapshot())["messages"])


def folded(plan: Snapshot, frame: Mapping[str, Any]) -> Snapshot:
    """The plan after an event's frame."""
    event = build(EVENTS[frame["type"]], frame["data"])
    return fold(
        plan,
        frame.get("first", frame["offset"]),
        [event, *[None] * (frame["offset"] - frame.get("first", frame["offset"]))],
    )


def written(plan: Snapshot) -> list[str]:
    assert plan.ended_at is not None
    return sorted(message.content for message in plan.messages)


# -- clients: each follows the plan from its start to its end, and returns the texts that it shows


async def by_socket(plan: Watched) -> list[str]:
    state = empty(plan.id)
    async with websocket(plan.hub.ws) as socket:
        await socket.send(json.dumps({"type": "subscribe_plan", "plan_id": plan.id, "since": "start"}))
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] in EVENTS:
                state = folded(state, frame)
                if state.ended_at is not None:
                    break
    return written(state)


async def by_command_line(plan: Watched) -> list[str]:
    command = (sys.executable, "-m", "hub", "tail", plan.id, "--json")
    environment = {**os.environ, "PLANCAST_LOG": plan.hub.log}
    tail = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await tail.communicate()
    state = empty(plan.id)
    for line in out.splitlines():
        state = folded(state, json.loads(line))
    return written(state)


async def by_ag_ui(plan: Watched) -> list[str]:
    client = AgUiClient()
    while True:
        client.begin()
        body = {"threadId": plan.id, "runId": uuid4().hex, "messages": client.posted(), "state": client.state}
        events = [*events_in((await plan.http.post(f"/ag-ui/agent/{TEMPLATE}/connect", json=body)).content)]
        for event in events[1:]:
            client.take_event(event)
        if events[-1]["outcome"]["type"] != "interrupt":
            break
        await plan.answered.wait()
    agents = [one for one in client.messages if one["role"] in ("assistant", "reasoning") and "content" in one]
    return sorted(message["content"] for message in agents)


async def by_ai_sdk(plan: Watched) -> list[str]:
    while True:
        message = UiMessage()
        response = await plan.http.get(f"/ai-sdk/{TEMPLATE}/{plan.id}/stream")
        if response.status_code == 204:  # it has ended, as a page that is loaded again finds
            messages = (await plan.http.get(f"/ai-sdk/{TEMPLATE}/{plan.id}/messages")).json()
            message.parts = messages[-1]["parts"]
            break
        message.apply(chunks_in(response.content))
        if message.finish_reason == "stop":
            break
        await plan.answered.wait()
    return sorted(text for _, text in message.texts.values())


async def by_langgraph(plan: Watched) -> list[str]:
    model = LangGraphClient()
    async with get_client(url=f"{plan.hub.url}/langgraph", api_key=None) as client:
        while True:
            run, *_ = await client.runs.list(plan.id)
            async for part in client.runs.join_stream(plan.id, run["run_id"], last_event_id="-1", stream_mode=MODES):
                model.take([Received(part.event, part.data, part.id)])
            status = (await client.threads.get(plan.id))["status"]
            if status == "interrupted":
                await plan.answered.wait()
            elif status != "busy":  # an answer may be given between the end of a run and this
                break
    agents = [one for one in model.values["messages"] if one["type"] == "ai" and not one.get("tool_calls")]
    return sorted(message["content"] for message in agents)


async def by_durable_streams(plan: Watched) -> list[str]:
    state = empty(plan.id)
    async with plan.http.stream("GET", f"/streams/{plan.id}?offset=-1&live=sse") as response:
        kind = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data:") and kind == "data":
                for frame in json.loads(line.removeprefix("data:")):
                    state = folded(state, frame)
    return written(state)


async def by_mcp(plan: Watched) -> list[str]:
    async with connect(plan.hub.url, "modern") as client:
        after, ended = 0, False
        while not ended:
            result = fields(await client.call_tool("watch_plan", {"plan_id": plan.id, "after": after}))
            after, ended = result["offset"], result["ended"]
        [content] = (await client.read_resource(f"plancast://plans/{plan.id}")).contents
    assert isinstance(content, TextResourceContents)
    return sorted(message["content"] for message in json.loads(content.text)["messages"])


CLIENTS = (by_socket, by_command_line, by_ag_ui, by_ai_sdk, by_langgraph, by_durable_streams, by_mcp)


# -- answers


async def from_the_plans_page(plan: Watched, request_id: str) -> None:
    response = await plan.http.post(f"/api/plans/{plan.id}/inputs/{request_id}", json={"answer": "yes"})
    assert response.status_code == 200, response.text


async def from_ag_ui(plan: Watched, request_id: str) -> None:
    answer = {"interruptId": request_id, "status": "resolved", "payload": "yes"}
    body = {"threadId": plan.id, "runId": "r9", "messages": [], "state": {}, "resume": [answer]}
    assert (await plan.http.post(f"/ag-ui/{TEMPLATE}", json=body)).status_code == 200


async def from_langgraph(plan: Watched, request_id: str) -> None:
    async with get_client(url=f"{plan.hub.url}/langgraph", api_key=None) as client:
        await client.runs.create(plan.id, TEMPLATE, command={"resume": {request_id: "yes"}})


async def from_mcp(plan: Watched, request_id: str) -> None:
    async with connect(plan.hub.url, "modern") as client:
        given = {"plan_id": plan.id, "request_id": request_id, "answer": "yes"}
        assert fields(await client.call_tool("answer_question", given))["taken"]


@pytest.mark.parametrize("answer", [from_the_plans_page, from_ag_ui, from_langgraph, from_mcp])
async def test_all_clients_end_with_the_same_text(hub: HubServer, http: httpx.AsyncClient, answer: Any) -> None:
    plan = Watched(hub, http)
    start = {"template": TEMPLATE, "input": {"request": "Sales by region are uneven"}, "plan_id": plan.id}
    assert (await http.post("/api/plans", json=start)).status_code == 202
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        clients = {client: group.create_task(client(plan), name=client.__name__) for client in CLIENTS}
        while (asked := await plan.snapshot())["status"] != "waiting":
            await asyncio.sleep(0.05)
        await answer(plan, asked["inputs"][0]["request_id"])
        while (await plan.snapshot())["status"] == "waiting":
            await asyncio.sleep(0.05)
        plan.answered.set()
    expected = await plan.texts()
    assert expected
    for client in clients.values():
        assert client.result() == expected, client.get_name()
