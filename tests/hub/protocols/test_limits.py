"""Limits of other protocols' clients: their streams and sockets count like the hub's own, and what they send is bounded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.api import route
from hub.config.limits import MIB
from hub.core.shares import HeldBytes, TooManyBytes
from hub.node import Hub
from hub.protocols.ai_sdk import sockets
from hub.protocols.ai_sdk.turns import Chats
from hub.wire.codes import CloseCode
from tests.hub.protocols.protected import served
from tests.hub.transports.serving import say, until

RUN: dict[str, Any] = {
    "threadId": "p",
    "runId": "r",
    "messages": [],
    "tools": [],
    "context": [],
    "state": {},
    "forwardedProps": {},
}
WATCH = {"name": "watch_plan", "arguments": {"plan_id": "p"}}
MCP: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": WATCH}
MCP_HEADERS = {"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2025-06-18"}


async def streams(hub: Hub, client: httpx.AsyncClient) -> dict[str, httpx.Request]:
    """A request of each protocol for a stream of a plan that runs."""
    await say(hub, "p", 1)
    [run] = (await client.get("/langgraph/threads/p/runs")).json()
    return {
        "ag-ui": client.build_request("POST", "/ag-ui/agent/any/connect", json=RUN),
        "ai-sdk": client.build_request("GET", "/ai-sdk/any/p/stream"),
        "langgraph": client.build_request("GET", f"/langgraph/threads/p/runs/{run['run_id']}/stream"),
        "langgraph join": client.build_request("GET", f"/langgraph/threads/p/runs/{run['run_id']}/join"),
        "streams": client.build_request("GET", "/streams/p?offset=-1&live=sse"),
        "streams poll": client.build_request("GET", "/streams/p?offset=now&live=long-poll"),
        "mcp": client.build_request("POST", "/mcp", json=MCP, headers=MCP_HEADERS),
    }


def detail(protocol: str, response: httpx.Response) -> str:
    """What the protocol's client shows."""
    if protocol.startswith("langgraph"):
        return str(response.json()["detail"])
    return response.text


class TestConnections:
    async def test_streams_count_as_the_hubs_own(self, tmp_path: Path) -> None:
        async with served(tmp_path, max_connections_per_principal=1) as (hub, _, client):
            requests = await streams(hub, client)
            async with client.stream("GET", "/api/plans/p/stream") as own:
                assert own.status_code == 200
                for protocol, request in requests.items():
                    refused = await client.send(request)
                    text = detail(protocol, refused)
                    assert "already 1 connections of this principal" in text, protocol
                    if protocol != "mcp":  # the result of a tool
                        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True), protocol

    @pytest.mark.parametrize("protocol", ["ag-ui", "ai-sdk", "langgraph", "streams"])
    async def test_each_stream_takes_a_place(self, tmp_path: Path, protocol: str) -> None:
        async with served(tmp_path, max_connections_per_principal=1) as (hub, _, client):
            request = (await streams(hub, client))[protocol]
            response = await client.send(request, stream=True)
            assert response.status_code == 200
            assert (await client.get("/api/plans/p/stream")).status_code == 429
            await response.aclose()

    async def test_a_hub_that_is_drained_refuses_them(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (hub, _, client):
            requests = await streams(hub, client)
            hub.roster.draining = True
            assert '"restarting":true' in (await client.send(requests.pop("mcp"))).text
            for protocol, request in requests.items():
                refused = await client.send(request)
                assert "the hub restarts" in detail(protocol, refused), protocol
                assert refused.status_code == 503, protocol
            hub.roster.draining = False

    async def test_a_chats_socket_and_its_responses_count(self, tmp_path: Path) -> None:
        async with served(tmp_path, max_connections_per_principal=1) as (hub, base, client):
            await say(hub, "p", 1)
            url, token = base.replace("http://", "ws://"), {"Authorization": client.headers["authorization"]}
            async with connect(f"{url}/ai-sdk/any/ws", additional_headers=token) as socket:
                await socket.send(json.dumps({"type": "resume", "requestId": "r", "chatId": "p", "id": "p"}))
                answered = json.loads(await socket.recv())
                assert (answered["type"], answered["requestId"]) == ("error", "r")
                assert "already 1 connections" in json.dumps(answered)
                async with connect(f"{url}/ai-sdk/any/ws", additional_headers=token) as other:
                    with pytest.raises(ConnectionClosed) as closed:
                        await other.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == CloseCode.TOO_MANY_REQUESTS


class TestLargeRequests:
    @pytest.fixture(autouse=True)
    def held(self, monkeypatch: pytest.MonkeyPatch) -> HeldBytes:
        held = HeldBytes(per_address=2 * MIB, total=3 * MIB)
        monkeypatch.setattr(route, "LARGE_BODIES", held)
        monkeypatch.setattr(sockets, "LARGE_BODIES", held)
        return held

    def test_each_address_has_a_share(self, held: HeldBytes) -> None:
        held.take("a", 2 * MIB)
        with pytest.raises(TooManyBytes, match="address"):
            held.take("a", 1)
        held.take("b", MIB)
        with pytest.raises(TooManyBytes, match="process"):
            held.take("c", 1)
        held.give_back("a", 2 * MIB)
        held.give_back("b", MIB)
        assert (len(held), held.total) == (0, 0)

    async def test_bodies_without_a_token_are_bounded_in_all(self, tmp_path: Path, held: HeldBytes) -> None:
        """They are received before the sender is known, and a body may take its time."""
        async with served(tmp_path) as (hub, base, client):
            await say(hub, "p", 1)
            port = urlsplit(base).port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "POST /ag-ui/any HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {8 * MIB}\r\n\r\n".encode() + b" " * (5 * MIB // 2))
            await until(lambda: held.total > MIB)
            refused = await client.post(
                "/ai-sdk/any", content=b" " * (3 * MIB), headers={"Content-Type": "application/json"}
            )
            assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
            assert "large requests of this address" in refused.text
            assert (await client.post("/ag-ui/agent/any/stop/p")).status_code == 200, "small ones are served"
            writer.close()
            await until(lambda: held.total == 0)
            del reader

    async def test_a_socket_can_not_abort_and_send_without_end(
        self, tmp_path: Path, held: HeldBytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An aborted request is carried out nevertheless, so it counts until that is done."""
        carried_out = asyncio.Event()

        async def turn(*_: Any) -> None:
            await carried_out.wait()

        monkeypatch.setattr(Chats, "turn", turn)
        async with served(tmp_path) as (_, base, client):
            url, token = base.replace("http://", "ws://"), {"Authorization": client.headers["authorization"]}
            async with connect(f"{url}/ai-sdk/any/ws", additional_headers=token) as socket:
                said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x" * (MIB // 2)}]}
                chat = {"type": "send", "chatId": "c", "id": "c", "trigger": "submit-message", "messages": [said]}
                for number in range(4):
                    await socket.send(json.dumps(chat | {"requestId": f"r{number}"}))
                    await socket.send(json.dumps({"type": "abort", "requestId": f"r{number}"}))
                answered = json.loads(await socket.recv())
                assert (answered["type"], answered["requestId"]) == ("error", "r3")
                assert "large requests of this address" in json.dumps(answered)
                carried_out.set()
                await until(lambda: held.total == 0)
