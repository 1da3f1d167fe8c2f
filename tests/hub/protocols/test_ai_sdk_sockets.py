"""The AI SDK's WebSocket on a hub with an engine: send, resume, abort, several requests, errors, rights, and drains."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.protocols.ai_sdk.sockets import MAX_REQUESTS, MESSAGE_BYTES
from tests.faults.credentials import token
from tests.hub.dialects.servers import working_hub
from tests.hub.protocols.trimming import trim
from tests.hub.protocols.ui_messages import UiMessage
from tests.servers.hub import HubServer

TEMPLATE = "/ai-sdk/business_operations"
TEXT = "Sales by region are uneven"


@pytest.fixture
def chat_id() -> str:
    return f"chat-{uuid4().hex[:8]}"


def said(text: str = TEXT) -> dict[str, Any]:
    return {"id": uuid4().hex, "role": "user", "parts": [{"type": "text", "text": text}]}


class Socket:
    """A client's socket. Checks what the real one does: types, request ids, and the order of chunks."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.received: dict[str, list[dict[str, Any]]] = {}
        self.ends: dict[str, dict[str, Any]] = {}

    async def send(self, kind: str, chat_id: str, request_id: str = "", **fields: Any) -> str:
        request_id = request_id or uuid4().hex
        frame: dict[str, Any] = {
            "type": kind,
            "requestId": request_id,
            "id": chat_id,
            "headers": {},
            "body": {},
            **fields,
        }
        self.received[request_id] = []
        await self.connection.send(json.dumps(frame))
        return request_id

    async def read(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.connection.recv())
        kind, request_id = frame["type"], frame["requestId"]
        assert request_id not in self.ends
        if kind == "chunk":
            assert frame["sequence"] == len(self.received[request_id])
            self.received[request_id].append(frame["chunk"])
        elif kind != "start":
            assert kind in ("end", "no-active", "error")
            self.ends[request_id] = frame
        return frame

    async def ending(self, request_id: str) -> dict[str, Any]:
        while request_id not in self.ends:
            await self.read()
        return self.ends[request_id]

    async def response(self, request_id: str, before: UiMessage | None = None) -> UiMessage:
        assert (end := await self.ending(request_id))["type"] == "end", end
        return (before.continued() if before else UiMessage()).apply(self.received[request_id])

    async def refusal(self, request_id: str) -> str:
        end = await self.ending(request_id)
        assert self.received[request_id] == []
        return str(end.get("errorText", end["type"]))

    async def until_closed(self) -> int:
        try:
            while True:
                await self.read()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


@asynccontextmanager
async def chatting(hub: HubServer, path: str = f"{TEMPLATE}/ws", **headers: str) -> AsyncGenerator[Socket]:
    address = f"ws://127.0.0.1:{hub.port}{path}"
    # Without a limit to what it holds: otherwise it reads nothing more, not even the server's close frame.
    async with connect(address, additional_headers=headers, proxy=None, max_queue=None) as connection:
        yield Socket(connection)


@pytest.fixture
async def socket(hub: HubServer) -> AsyncIterator[Socket]:
    async with chatting(hub) as socket:
        yield socket


def question_of(message: UiMessage) -> dict[str, Any]:
    [part] = [part for part in message.parts if part.get("toolName") == "ask_person"]
    return part


def answered(message: UiMessage, **answer: Any) -> dict[str, Any]:
    parts = [{**part, **answer} if part.get("toolName") == "ask_person" else part for part in message.parts]
    return {"id": message.id, "role": "assistant", "parts": parts, "metadata": message.metadata}


def approved(message: UiMessage) -> dict[str, Any]:
    approval = {"id": question_of(message)["toolCallId"], "approved": True}
    return answered(message, state="approval-responded", approval=approval)


async def test_a_chat_from_its_start_to_its_end(socket: Socket, chat_id: str) -> None:
    """P-AIS-11, P-AIS-12: on one connection, with a resume at the open question and after the end."""
    first = said()
    asked = await socket.response(await socket.send("send", chat_id, messages=[first]))
    assert question_of(asked)["state"] == "approval-requested"
    resumed = await socket.response(await socket.send("resume", chat_id))
    assert resumed.parts == asked.parts
    answer = await socket.send("send", chat_id, messages=[first, approved(asked)], messageId=asked.id)
    ended = await socket.response(answer, asked)
    assert (ended.finish_reason, question_of(ended)["state"]) == ("stop", "output-available")
    assert await socket.refusal(await socket.send("resume", chat_id)) == "no-active"
    replayed = await socket.response(await socket.send("resume", chat_id, body={"ended": "replay"}))
    assert replayed.texts == ended.texts
    assert await socket.refusal(await socket.send("resume", f"{chat_id}-other")) == "no-active"


async def test_abort_ends_the_response_only(socket: Socket, chat_id: str) -> None:
    """P-AIS-13: the plan goes on, even if it had not been started yet."""
    aborted = await socket.send("send", chat_id, messages=[said()])
    await socket.send("abort", chat_id, aborted)
    await socket.send("abort", chat_id, "another")
    while (await socket.ending(resumed := await socket.send("resume", chat_id)))["type"] == "no-active":
        await asyncio.sleep(0.02)
    asked = await socket.response(resumed)
    assert question_of(asked)["state"] == "approval-requested"
    assert aborted not in socket.ends


async def test_requests_about_other_plans_and_the_same(socket: Socket, chat_id: str) -> None:
    """P-AIS-13: each has a stream of its own."""
    other = f"{chat_id}-other"
    sent = await socket.send("send", chat_id, messages=[message := said()])
    same = await socket.send("send", chat_id, messages=[message])
    elsewhere = await socket.send("send", other, messages=[said("Costs are too high")])
    shown = [await socket.response(request_id) for request_id in (sent, same, elsewhere)]
    assert [message.id for message in shown] == [f"{chat_id}-answer"] * 2 + [f"{other}-answer"]
    assert shown[0].texts == shown[1].texts


async def test_errors_of_one_request(socket: Socket, chat_id: str) -> None:
    """P-AIS-12: the connection stays open."""
    bad: Mapping[str, Mapping[str, Any]] = {
        "no text": {"messages": [said(" ")]},
        "messages": {"messages": []},
        "no plan of this chat": {"messages": [{"id": "m", "role": "assistant", "parts": []}]},
    }
    for expected, fields in bad.items():
        assert expected in await socket.refusal(await socket.send("send", chat_id, **fields))
    assert "unknown frame type" in await socket.refusal(await socket.send("ping", chat_id))
    assert await socket.refusal(await socket.send("resume", chat_id)) == "no-active"


async def test_an_unknown_template(hub: HubServer, chat_id: str) -> None:
    async with chatting(hub, "/ai-sdk/nothing/ws") as socket:
        text = await socket.refusal(await socket.send("send", chat_id, messages=[said()]))
    assert text.startswith("there is no template 'nothing'; the templates are ")


@pytest.mark.parametrize("frame", ["{", "[]", '{"type": "resume", "id": "c"}', '{"type": "abort", "requestId": 1}'])
async def test_frames_that_belong_to_no_request_close_the_connection(socket: Socket, frame: str) -> None:
    """P-AIS-12."""
    await socket.connection.send(frame)
    assert await socket.until_closed() == 4500


async def test_a_chat_that_is_larger_than_other_frames(hub: HubServer, socket: Socket, chat_id: str) -> None:
    """P-AIS-11: up to 1 MiB; the hub's other sockets accept no more than before."""
    long = {"id": "m", "role": "assistant", "parts": [{"type": "text", "text": "x" * (MESSAGE_BYTES - 2048)}]}
    asked = await socket.response(await socket.send("send", chat_id, messages=[said(), long, said()]))
    assert question_of(asked)["state"] == "approval-requested"
    await socket.send("send", chat_id, messages=[said("x" * MESSAGE_BYTES)])
    assert await socket.until_closed() == 1009
    async with chatting(hub, "/ws/streaming") as other:
        await other.connection.send(json.dumps({"type": "ping", "nonce": "x" * 70_000}))
        await other.connection.wait_closed()
    assert other.connection.close_code == 1009


async def test_too_many_requests_at_once(hub: HubServer, socket: Socket, chat_id: str) -> None:
    """P-AIS-13."""
    async with httpx.AsyncClient(base_url=f"{hub.url}/api/plans/{chat_id}") as plan:
        await plan.post("/events", json={"type": "plan_update", "data": {"status": "in_progress"}})
        requests = [await socket.send("resume", chat_id) for _ in range(MAX_REQUESTS + 1)]
        assert "wait for the end" in await socket.refusal(requests[-1])
        while not all(socket.received[request_id] for request_id in requests[:-1]):
            await socket.read()
        await plan.post("/events", json={"type": "plan_update", "data": {"status": "completed"}})
        for request_id in requests[:-1]:
            assert (await socket.response(request_id)).finish_reason == "stop"


async def test_a_clarification_is_answered_by_text_or_by_the_tool(hub: HubServer, chat_id: str) -> None:
    """P-AIS-1, P-AIS-5."""
    async with chatting(hub, "/ai-sdk/data_query/ws") as socket:
        for number, clear in enumerate((said("How many orders are there?"), None)):
            chat, first = f"{chat_id}-{number}", said("Hello")
            asked = await socket.response(await socket.send("send", chat, messages=[first]))
            assert (question_of(asked)["state"], asked.finish_reason) == ("input-available", "tool-calls")
            if clear is not None:
                shown = {"id": asked.id, "role": "assistant", "parts": asked.parts, "metadata": asked.metadata}
                ended = await socket.response(await socket.send("send", chat, messages=[first, shown, clear]))
            else:
                answer = answered(asked, state="output-available", output="How many orders are there?")
                sent = await socket.send("send", chat, messages=[first, answer], messageId=asked.id)
                ended = await socket.response(sent, asked)
            assert ended.finish_reason == "stop"
            assert question_of(ended)["output"] == "How many orders are there?"


async def test_rights(asking: HubServer, chat_id: str) -> None:
    """P-AIS-11: without a valid token the connection is closed; a right is checked with each request."""
    async with chatting(asking) as socket:
        assert await socket.until_closed() == 4501
    async with chatting(asking, Authorization="Bearer x") as socket:
        assert await socket.until_closed() == 4501
    async with chatting(asking, Origin="https://elsewhere.example", Cookie=f"plancast-token={token()}") as socket:
        assert await socket.until_closed() == 4504
    async with chatting(asking, **{"X-Api-Key": token({chat_id: ["read"]})}) as socket:
        text = await socket.refusal(await socket.send("send", chat_id, messages=[said()]))
        assert text == "the token gives no right to start this plan"
        assert "no right to read" in await socket.refusal(await socket.send("resume", "yours"))
        assert await socket.refusal(await socket.send("resume", chat_id)) == "no-active"
    page = {"Origin": asking.url, "Sec-Fetch-Site": "same-origin", "Cookie": f"plancast-token={token()}"}
    async with chatting(asking, **page) as socket:
        assert await socket.refusal(await socket.send("resume", chat_id)) == "no-active"
    async with httpx.AsyncClient(base_url=asking.url, headers={"Authorization": f"Bearer {token()}"}) as http:
        ticket = (await http.post("/api/tickets")).json()["ticket"]
    async with chatting(asking, f"{TEMPLATE}/ws?ticket={ticket}") as socket:
        asked = await socket.response(await socket.send("send", chat_id, messages=[said()]))
        assert question_of(asked)["state"] == "approval-requested"


@pytest.mark.slow
async def test_a_drain_closes_the_connection_without_an_end(chat_id: str) -> None:
    """P-AIS-14: the client resumes where the log has the whole plan."""
    with working_hub(pace=0.2) as hub:
        async with chatting(hub) as socket, chatting(hub) as idle:
            sent = await socket.send("send", chat_id, messages=[said()])
            while not any(chunk["type"].endswith("-start") for chunk in socket.received[sent]):
                await socket.read()
            hub.signal(signal.SIGTERM)
            codes = (await socket.until_closed(), await idle.until_closed())
        assert codes == (1012, 1012)
        assert sent not in socket.ends
        assert not any(chunk["type"] in ("finish", "error") for chunk in socket.received[sent])
        await asyncio.to_thread(hub.wait)
        await asyncio.to_thread(hub.start)
        async with chatting(hub) as socket:
            asked = await socket.response(await socket.send("resume", chat_id))
            assert question_of(asked)["state"] == "approval-requested"


@pytest.mark.slow
async def test_a_response_that_the_log_has_no_longer(chat_id: str) -> None:
    """P-AIS-14: the connection is closed without an end, and the client replays the plan on another one."""
    with working_hub() as hub:
        async with chatting(hub) as socket:
            asked = await socket.response(await socket.send("send", chat_id, messages=[first := said()]))
        async with httpx.AsyncClient(base_url=hub.url) as http:
            await trim(http, chat_id)
        hub.signal(signal.SIGTERM)  # a hub that has the events in memory serves them
        await asyncio.to_thread(hub.wait)
        await asyncio.to_thread(hub.start)
        asked.metadata["plancast"]["offset"] = 2
        async with chatting(hub) as socket:
            answer = await socket.send("send", chat_id, messages=[first, approved(asked)], messageId=asked.id)
            assert await socket.until_closed() == 1012
            assert (socket.received[answer], socket.ends.get(answer)) == ([], None)
        async with chatting(hub) as socket:
            ended = await socket.response(await socket.send("resume", chat_id, body={"ended": "replay"}))
        assert (ended.finish_reason, question_of(ended)["state"]) == ("stop", "output-available")
