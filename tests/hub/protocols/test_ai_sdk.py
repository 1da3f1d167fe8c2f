"""The AI SDK's routes on a hub with an engine: start, question, answer, end; resuming, stopping, and bad requests."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.faults.credentials import token
from tests.hub.protocols.ui_messages import UiMessage, chunks_in
from tests.servers.hub import HubServer

TEMPLATE = "/ai-sdk/business_operations"
FURTHER = "And by month?"


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as client:
        yield client


@pytest.fixture
def chat_id() -> str:
    return f"chat-{uuid4().hex[:8]}"


def said(text: str) -> dict[str, Any]:
    return {"id": uuid4().hex, "role": "user", "parts": [{"type": "text", "text": text}]}


class Chat:
    """A client's chat, as `useChat` keeps it."""

    def __init__(self, http: httpx.AsyncClient, chat_id: str) -> None:
        self.http = http
        self.id = chat_id
        self.messages: list[dict[str, Any]] = []
        self.last = UiMessage()

    async def say(self, text: str) -> UiMessage:
        self.messages.append(said(text))
        return await self.post()

    async def approve(self, approved: bool, **metadata: Any) -> UiMessage:
        parts = copy.deepcopy(self.last.parts)
        for part in parts:
            if part.get("state") == "approval-requested":
                part["state"] = "approval-responded"
                part["approval"]["approved"] = approved
        metadata = metadata or self.last.metadata
        self.messages[-1] = {"id": self.last.id, "role": "assistant", "parts": parts, "metadata": metadata}
        return await self.post(continued=True, messageId=self.last.id)

    async def post(self, *, continued: bool = False, trigger: str = "submit-message", **fields: Any) -> UiMessage:
        body = {"id": self.id, "messages": self.messages, "trigger": trigger, **fields}
        response = await self.http.post(TEMPLATE, json=body)
        assert response.status_code == 200, response.text
        message = self.last.continued() if continued else UiMessage()
        return self.shown(message.apply(chunks_in(response.content)))

    async def resume(self, query: str = "") -> UiMessage | None:
        response = await self.http.get(f"{TEMPLATE}/{self.id}/stream{query}")
        if response.status_code == 204:
            return None
        assert response.status_code == 200, response.text
        return self.shown(UiMessage().apply(chunks_in(response.content)))

    def shown(self, message: UiMessage) -> UiMessage:
        self.last = message
        known = [at for at, one in enumerate(self.messages) if one["id"] == message.id]
        entry = {"id": message.id, "role": "assistant", "parts": message.parts, "metadata": message.metadata}
        self.messages[known[0] if known else len(self.messages) :] = [entry]
        return message


@pytest.fixture
def chat(http: httpx.AsyncClient, chat_id: str) -> Chat:
    return Chat(http, chat_id)


def approval_of(message: UiMessage) -> dict[str, Any]:
    [part] = [part for part in message.parts if part.get("toolName") == "ask_person"]
    return part


def everything(message: UiMessage) -> Sequence[Any]:
    """What a client shows, without what only the one that answered has."""
    parts = copy.deepcopy(message.parts)
    for part in parts:
        part.pop("approval", None)
    return parts


async def test_a_chat_from_its_start_to_its_end(chat: Chat, http: httpx.AsyncClient) -> None:
    """P-AIS-1, P-AIS-4, P-AIS-5: the message starts a plan, which asks; the answer gives the rest of it."""
    asked = await chat.say("Sales by region are uneven")
    assert (asked.id, asked.finish_reason) == (f"{chat.id}-answer", "tool-calls")
    assert approval_of(asked)["state"] == "approval-requested"
    ended = await chat.approve(True)
    assert ended.finish_reason == "stop"
    assert approval_of(ended)["state"] == "output-available"
    assert not ended.sends_again
    snapshot = (await http.get(f"/api/plans/{chat.id}")).json()
    assert snapshot["status"] == "completed"
    assert {key: text for key, (_, text) in ended.texts.items()} == {
        one["message_id"]: one["content"] for one in snapshot["messages"]
    }
    assert {step["status"] for step in ended.data("step").values()} == {"completed"}
    replayed = await chat.resume("?ended=replay")
    assert replayed is not None
    assert everything(replayed) == everything(ended)


async def test_headers(http: httpx.AsyncClient, chat_id: str) -> None:
    """P-AIS-1."""
    async with http.stream("POST", TEMPLATE, json={"id": chat_id, "messages": [said("Sales")]}) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert response.headers["x-accel-buffering"] == "no"


async def test_a_refused_approval(chat: Chat) -> None:
    await chat.say("Sales by region are uneven")
    ended = await chat.approve(False)
    assert approval_of(ended)["state"] == "output-denied"
    assert "stays a draft" in list(ended.texts.values())[-1][1]


async def test_resuming(chat: Chat, http: httpx.AsyncClient) -> None:
    """P-AIS-8: leaving cancels nothing; another client receives the plan from its start, until it has ended."""
    assert await chat.resume() is None
    body = {"id": chat.id, "messages": [said("Sales by region are uneven")]}
    async with http.stream("POST", TEMPLATE, json=body) as response:
        async for line in response.aiter_lines():
            if '"text-start"' in line or '"reasoning-start"' in line:
                break
    asked = await chat.resume()
    assert asked is not None
    assert approval_of(asked)["state"] == "approval-requested"
    again = await chat.resume()
    assert again is not None, "a question that is open can be resumed"
    assert everything(again) == everything(asked)
    chat.messages.insert(0, said("Sales by region are uneven"))
    await chat.approve(True)
    assert await chat.resume() is None


async def test_an_answer_from_another_client(chat: Chat, http: httpx.AsyncClient) -> None:
    """P-AIS-5: a second answer is no error; the client receives what followed the first."""
    asked = await chat.say("Sales by region are uneven")
    request_id = approval_of(asked)["input"]["request_id"]
    answer = await http.post(f"/api/plans/{chat.id}/inputs/{request_id}", json={"answer": "no"})
    assert answer.status_code == 200
    ended = await chat.approve(True)
    assert approval_of(ended)["state"] == "output-denied"
    assert ended.finish_reason == "stop"


async def test_an_answer_without_the_position(chat: Chat) -> None:
    """P-AIS-5: it continues after the question."""
    await chat.say("Sales by region are uneven")
    ended = await chat.approve(True, other=1)
    assert ended.finish_reason == "stop"
    replayed = await chat.resume("?ended=replay")
    assert replayed is not None
    assert everything(replayed) == everything(ended)


async def test_a_further_message_and_a_regenerated_one_are_the_next_plans(chat: Chat, http: httpx.AsyncClient) -> None:
    """P-AIS-1."""
    await chat.say("Sales by region are uneven")
    await chat.approve(True)
    second = await chat.say(FURTHER)
    assert second.id == f"{chat.id}.2-answer"
    await chat.approve(False)
    chat.messages.pop()
    third = await chat.post(trigger="regenerate-message", messageId=second.id)
    assert third.id == f"{chat.id}.3-answer"
    messages = (await http.get(f"{TEMPLATE}/{chat.id}/messages")).json()
    texts = [one["parts"][0]["text"] for one in messages if one["role"] == "user"]
    assert texts == ["Sales by region are uneven", FURTHER, FURTHER]


async def test_two_messages_at_once(http: httpx.AsyncClient, chat_id: str) -> None:
    """P-AIS-1: one starts the next plan; the other is refused, and can be sent again. The same one twice starts one plan."""
    ended = {"type": "plan_update", "data": {"status": "completed"}}
    assert (await http.post(f"/api/plans/{chat_id}/events", json=ended)).status_code == 201
    bodies: list[dict[str, Any]] = [
        {"id": chat_id, "messages": [said(text)]} for text in ("Sales are uneven", "Returns by month")
    ]
    responses = await asyncio.gather(*(http.post(TEMPLATE, json=body) for body in bodies))
    started, refused = sorted(responses, key=lambda response: response.status_code)
    assert (started.status_code, refused.status_code) == (200, 409)
    assert refused.text.startswith("another message is being worked on")
    body = bodies[responses.index(started)]
    plan = (await http.get(f"/api/plans/{chat_id}.2")).json()
    assert plan["data"]["request"] == body["messages"][0]["parts"][0]["text"]
    assert (await http.post(TEMPLATE, json=bodies[responses.index(refused)])).status_code == 409
    again = await http.post(TEMPLATE, json=body)
    assert chunks_in(again.content)[0]["messageId"] == chunks_in(started.content)[0]["messageId"]
    assert not (await http.get(f"{TEMPLATE}/{chat_id}.3/messages")).json()


async def test_the_messages_of_a_chat(chat: Chat, http: httpx.AsyncClient) -> None:
    """P-AIS-9, H-PLN-8: as the client has them, up to the order of their parts."""
    text = "Sales by region are uneven" + " " + "and more " * 150  # longer than a title
    asked = await chat.say(text)
    [question, answer] = (await http.get(f"{TEMPLATE}/{chat.id}/messages")).json()
    assert question["parts"][0]["text"] == text
    loaded = UiMessage()
    loaded.id, loaded.parts, loaded.metadata = answer["id"], answer["parts"], answer["metadata"]
    assert (loaded.id, loaded.metadata) == (asked.id, asked.metadata)
    assert (loaded.texts, loaded.data("step")) == (asked.texts, asked.data("step"))
    assert approval_of(loaded)["state"] == "approval-requested"
    chat.last = loaded
    ended = await chat.approve(True)
    assert ended.finish_reason == "stop"
    [_, answer] = (await http.get(f"{TEMPLATE}/{chat.id}/messages")).json()
    loaded.parts = answer["parts"]
    assert loaded.texts == ended.texts
    assert approval_of(loaded)["approval"] == {"id": f"{approval_of(ended)['toolCallId']}", "approved": True}
    assert (await http.get(f"{TEMPLATE}/{chat.id}-other/messages")).json() == []


async def test_stopping(chat: Chat, http: httpx.AsyncClient) -> None:
    """P-AIS-9: the plan is cancelled; stopping again changes nothing."""
    await chat.say("Sales by region are uneven")
    for _ in range(2):
        assert (await http.post(f"{TEMPLATE}/{chat.id}/stop")).status_code == 204
    await http.get(f"/api/plans/{chat.id}/stream?since=start")  # until the plan has ended
    stopped = await chat.resume("?ended=replay")
    assert stopped is not None
    assert stopped.finish_reason == "other"
    assert approval_of(stopped)["state"] == "output-error"
    assert (await http.post(f"{TEMPLATE}/{chat.id}-other/stop")).status_code == 404


async def test_a_message_while_the_plan_runs(chat: Chat) -> None:
    """P-AIS-1: one that the client sends again receives the plan; a further one must wait."""
    asked = await chat.say("Sales by region are uneven")
    first = chat.messages[0]
    chat.messages = [first]
    assert everything(await chat.post()) == everything(asked)
    chat.messages = [first]
    assert everything(await chat.post(trigger="regenerate-message")) == everything(asked)
    chat.messages.append(said(FURTHER))
    response = await chat.http.post(TEMPLATE, json={"id": chat.id, "messages": chat.messages})
    assert response.status_code == 409
    assert "still being worked on" in response.text


FILE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="}
ANSWERED = {"type": "dynamic-tool", "toolCallId": "x:1", "state": "approval-responded", "approval": {"approved": True}}


BAD: Sequence[tuple[int, str, dict[str, Any]]] = [
    (422, "no text", {"messages": [said(" ")]}),
    (422, "files", {"messages": [{**said("Hi"), "parts": [FILE]}]}),
    (422, "messages", {"messages": []}),
    (422, "trigger", {"messages": [said("Hi")], "trigger": "resume"}),
    (422, "expected 1 to 128 of", {"messages": [said("Hi")], "id": "a chat"}),
    (422, "no plan of this chat", {"messages": [{"id": "m", "role": "assistant", "parts": []}]}),
    (422, "no plan of this chat", {"messages": [{"id": "other-answer", "role": "assistant", "parts": []}]}),
    (404, "no chat", {"messages": [{"id": "new-answer", "role": "assistant", "parts": []}], "id": "new"}),
]


@pytest.mark.parametrize(("status", "expected", "body"), BAD)
async def test_bad_requests(http: httpx.AsyncClient, status: int, expected: str, body: dict[str, Any]) -> None:
    """P-AIS-10: the error is a text for people, which `useChat` shows."""
    response = await http.post(TEMPLATE, json={"id": f"chat-{uuid4().hex[:8]}", **body})
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert expected in response.text


async def test_an_unknown_template(http: httpx.AsyncClient, chat_id: str) -> None:
    """P-AIS-10."""
    response = await http.post("/ai-sdk/nothing", json={"id": chat_id, "messages": [said("Hi")]})
    assert response.status_code == 404
    assert "business_operations" in response.text


async def test_answers_that_are_none(chat: Chat) -> None:
    """P-AIS-10: an error keeps the client from sending them again and again."""
    asked = await chat.say("Sales by region are uneven")
    tool_id = approval_of(asked)["toolCallId"]
    for status, part in ((404, ANSWERED), (422, {**ANSWERED, "toolCallId": tool_id, "state": "output-error"})):
        message = {"id": asked.id, "role": "assistant", "parts": [part], "metadata": asked.metadata}
        response = await chat.http.post(TEMPLATE, json={"id": chat.id, "messages": [message]})
        assert response.status_code == status, response.text


async def test_a_history_that_the_log_does_not_have(chat: Chat) -> None:
    """P-AIS-5: a position of another history can't be continued."""
    asked = await chat.say("Sales by region are uneven")
    asked.metadata["plancast"]["epoch"] = "other"
    message = {"id": asked.id, "role": "assistant", "parts": asked.parts, "metadata": asked.metadata}
    response = await chat.http.post(TEMPLATE, json={"id": chat.id, "messages": [message]})
    assert response.status_code == 410
    assert "reload" in response.text


async def test_rights(asking: HubServer, chat_id: str) -> None:
    """P-AIS-10: they are those of the plan, whether or not it exists."""
    async with httpx.AsyncClient(base_url=asking.url, timeout=60) as http:
        for given in ({}, {"Authorization": "Bearer x"}):
            response = await http.post(TEMPLATE, json={"id": "c", "messages": [said("Hi")]}, headers=given)
            assert response.status_code == 401
            assert "token" in response.text
        reader = {"X-Api-Key": token({chat_id: ["read"]})}
        start = await http.post(TEMPLATE, json={"id": chat_id, "messages": [said("Hi")]}, headers=reader)
        foreign = await http.get(f"{TEMPLATE}/yours/stream", headers=reader)
        stop = await http.post(f"{TEMPLATE}/{chat_id}/stop", headers=reader)
        assert [start.status_code, foreign.status_code, stop.status_code] == [403, 403, 404]
        assert start.text == "the token gives no right to start this plan"
        assert (await http.get(f"{TEMPLATE}/{chat_id}/stream", headers=reader)).status_code == 204
        assert (await http.get(f"{TEMPLATE}/{chat_id}/messages", headers=reader)).json() == []
