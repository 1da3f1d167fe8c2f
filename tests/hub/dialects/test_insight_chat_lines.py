"""Insight chat from end to end: a real hub with its engine, and clients that share no code with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.faults.credentials import ticket, token
from tests.servers.hub import ROOT, HubServer

DEADLINE_S = 60.0
QUESTION = {"action": "continue_conversation", "message": "How warm is Lisbon in May?"}
KINDS = ["intent_parsed", "generating_insight", "insight_generated", "data_summary"]
MINE = {"insight-*": ["read", "start"]}


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=DEADLINE_S) as client:
        yield client


async def start(http: httpx.AsyncClient, question: Any = QUESTION) -> str:
    answer = await http.post("/api/chat", json=question)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"type", "task_id", "status"}
    assert (answer.json()["type"], answer.json()["status"]) == ("task_started", "processing")
    return str(answer.json()["task_id"])


async def polled(http: httpx.AsyncClient, task_id: str) -> list[dict[str, Any]]:
    """Every status until the task has ended, polled as the original page does (only more often)."""
    statuses: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE_S):
        while not statuses or statuses[-1]["status"] == "processing":
            statuses.append((await http.get(f"/api/chat/status/{task_id}")).json())
            await asyncio.sleep(0.02)
    return statuses


async def streamed(
    http: httpx.AsyncClient, task_id: str, last: str | None = None, most: int = 100
) -> list[tuple[str, dict[str, Any]]]:
    """Place and status of each message of the stream; hangs up after `most`."""
    said: list[tuple[str, dict[str, Any]]] = []
    headers = {"Last-Event-ID": last} if last else {}
    async with http.stream("GET", "/api/chat/stream", params={"task_id": task_id}, headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream"
        place = ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                place = value
            elif name == "data":
                said.append((place, json.loads(value)))
                if len(said) == most:
                    break
    return said


def messages(statuses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a page shows: each message once, by its id."""
    shown = {message["id"]: message for status in statuses for message in status["messages"]}
    return [*shown.values()]


async def test_a_task_is_polled_to_its_end(http: httpx.AsyncClient) -> None:
    task_id = await start(http)
    statuses = await polled(http, task_id)
    assert {*map(frozenset, statuses)} == {frozenset({"status", "messages", "result", "error"})}
    last = statuses[-1]
    assert [message["type"] for message in last["messages"]] == KINDS
    for earlier in statuses:  # messages are added, and keep their ids
        assert earlier["messages"] == last["messages"][: len(earlier["messages"])]
        assert (earlier["result"] is None) == (earlier["status"] == "processing")
    assert len({message["id"] for message in last["messages"]}) == len(KINDS)
    assert (last["status"], last["error"]) == ("completed", None)
    assert last["result"]["insight_result"] == {"text": "Lisbon, May: 18 °C on average."}
    assert last["result"]["intent_result"]["intent_type"] == "PARTICULAR"
    assert any(0 < len(status["messages"]) < len(KINDS) for status in statuses), "not all at once"


async def test_a_stream_has_the_same_messages(http: httpx.AsyncClient) -> None:
    task_id = await start(http)
    said = [status for _, status in await streamed(http, task_id)]
    [*_, polled_last] = await polled(http, task_id)
    assert messages(said) == polled_last["messages"]
    assert said[-1] == {**polled_last, "messages": []}
    late = [status for _, status in await streamed(http, task_id)]
    assert late == said


async def test_a_stream_that_broke_goes_on_behind_what_came_last(http: httpx.AsyncClient) -> None:
    task_id = await start(http)
    before = await streamed(http, task_id, most=2)
    after = await streamed(http, task_id, last=before[-1][0])
    assert before + after == await streamed(http, task_id)
    end = await http.get("/api/chat/stream", params={"task_id": task_id}, headers={"Last-Event-ID": after[-1][0]})
    assert (end.status_code, end.content) == (204, b"")


async def test_two_pages_watch_one_task(http: httpx.AsyncClient) -> None:
    task_id = await start(http)
    first, second, statuses = await asyncio.gather(
        streamed(http, task_id), streamed(http, task_id), polled(http, task_id)
    )
    assert first == second
    assert messages([status for _, status in first]) == statuses[-1]["messages"]


async def test_a_task_that_is_stopped_is_an_error(http: httpx.AsyncClient) -> None:
    task_id = await start(http)
    await streamed(http, task_id, most=1)
    assert (await http.post(f"/api/plans/insight-{task_id}/signals", json={"signal": "cancel"})).status_code == 202
    last = (await polled(http, task_id))[-1]
    assert (last["status"], last["error"], last["result"]) == ("error", "Stopped by development", None)


@pytest.mark.parametrize("task_id", ["e1fe16bf-be51-423f-b802-49fcebea79cd", "nonsense", "*", "insight-1"])
async def test_an_unknown_task_is_not_found(http: httpx.AsyncClient, task_id: str) -> None:
    for answer in (
        await http.get(f"/api/chat/status/{task_id}"),
        await http.get("/api/chat/stream", params={"task_id": task_id}),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"] == "Task not found"


@pytest.mark.parametrize(
    "body", [{}, {"action": "continue_conversation"}, {**QUESTION, "message": " "}, {**QUESTION, "action": "sing"}]
)
async def test_what_can_not_be_a_chat_is_refused(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await http.post("/api/chat", json=body)).status_code == 422


async def test_an_invalid_position_is_refused(http: httpx.AsyncClient) -> None:
    task_id = await start(http)
    params = {"task_id": task_id}
    assert (await http.get("/api/chat/stream", params=params, headers={"Last-Event-ID": "x"})).status_code == 422
    await polled(http, task_id)


def test_the_example_works(hub: HubServer) -> None:
    words = [sys.executable, "examples/insight_chat_client.py", "Where is it driest in summer?", "--url", hub.url]
    shown = []
    for how in ([], ["--poll"]):
        done = subprocess.run([*words, *how], cwd=ROOT, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stderr) == (0, "")
        shown.append(done.stdout)
    assert shown[0] == shown[1]
    assert "[insight_generated] Wettest, June to August: Tokyo (11 days of rain); driest: Cairo (0)." in shown[0]


async def test_a_finished_task_goes_after_a_while_and_who_you_are_matters(asking: HubServer) -> None:
    async with httpx.AsyncClient(base_url=asking.url, timeout=DEADLINE_S) as http:
        assert (await http.post("/api/chat", json=QUESTION)).status_code == 401
        http.headers["Authorization"] = f"Bearer {token({'insight-*': ['read']})}"
        assert (await http.post("/api/chat", json=QUESTION)).status_code == 403
        http.headers["Authorization"] = f"Bearer {token(MINE)}"
        task_id = await start(http)
        said = [status for _, status in await streamed(http, task_id)]
        assert said[-1]["status"] == "completed"
        async with asyncio.timeout(DEADLINE_S):
            while (await http.get(f"/api/chat/status/{task_id}")).status_code == 200:
                await asyncio.sleep(0.1)
        assert (await http.get("/api/chat/stream", params={"task_id": task_id})).status_code == 404
        assert (await http.get(f"/api/plans/insight-{task_id}")).json()["status"] == "completed"
        del http.headers["Authorization"]
        assert (await http.get(f"/api/chat/status/{task_id}")).status_code == 401
        entered = await http.get(f"/api/chat/status/{task_id}?ticket={ticket(MINE)}")
        assert entered.status_code == 404
