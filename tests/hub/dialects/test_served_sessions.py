"""Exhibitions and data queries over their own addresses: a hub with its engine, and clients that know only the format."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.hub.tokens import SECRET, token
from tests.servers.hub import HubServer

DEADLINE_S = 60.0
ENDS = ("completed", "error")
AUDIENCE = "plancast-tests"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    log = f"sqlite:///{tmp_path_factory.mktemp('dialects')}/plans.db"
    with HubServer(log, engine="embedded", pace=0.25) as hub:
        yield hub
        assert hub.logged("error") == []


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    log = f"sqlite:///{tmp_path_factory.mktemp('guarded')}/plans.db"
    settings: dict[str, Any] = {"engine": "embedded", "templates": "plan_engine.templates", "auth_secret": SECRET}
    with HubServer(log, auth_audience=AUDIENCE, max_connections_per_address=4, **settings) as hub:
        yield hub


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture
def session() -> str:
    return f"s-{uuid4().hex[:8]}"


class Page:
    """A page of the original front end: one socket, and the frames that came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def send(self, frame: Any) -> None:
        await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            self.frames.append(json.loads(await self.socket.recv()))
        return self.frames[-1]

    async def until(self, *types: str) -> list[dict[str, Any]]:
        """All frames, up to the first of these types from here on."""
        while (await self.next())["type"] not in types:
            pass
        return self.frames


@asynccontextmanager
async def page(hub: HubServer, path: str, **headers: str) -> AsyncIterator[Page]:
    async with connect(f"ws://127.0.0.1:{hub.port}{path}", additional_headers=headers) as socket:
        yield Page(socket)


# ---- an exhibition in stages

PROGRESS = {"type", "session_id", "stage", "progress", "message", "updated_at"}
SHAPES = {
    "connected": {"type", "session_id"},
    "progress": PROGRESS,
    "stage_complete": PROGRESS | {"completed_stage", "data"},
    "completed": {"type", "session_id", "proposal_url"},
    "error": {"type", "error"},
}
DATA = {
    "theme_refinement": {"exhibition_title", "subtitle", "curatorial_statement", "scholarly_rationale"},
    "artist_discovery": {"artists"},
    "artwork_discovery": {"artworks"},
}


def _is_a_whole_exhibition(frames: list[dict[str, Any]], session: str) -> None:
    assert [frame["type"] for frame in (frames[0], frames[-1])] == ["connected", "completed"]
    assert all({*frame} == SHAPES[frame["type"]] for frame in frames)
    assert {frame["session_id"] for frame in frames} == {session}
    stages = [frame for frame in frames if frame["type"] == "stage_complete"]
    assert [(frame["stage"], frame["completed_stage"], frame["progress"]) for frame in stages] == [
        ("theme_refinement", "theme_refinement", 25),
        ("artist_discovery", "artist_discovery", 55),
        ("artwork_discovery", "artwork_discovery", 90),
    ]
    assert {frame["stage"]: {*frame["data"]} for frame in stages} == DATA
    assert {"name", "score", "reasoning"} <= {*stages[1]["data"]["artists"][0]}
    assert {"title", "artist_name", "iiif_manifest", "score"} <= {*stages[2]["data"]["artworks"][0]}
    percents = [frame["progress"] for frame in frames if "progress" in frame]
    assert percents == sorted(percents)
    assert frames[-1]["proposal_url"] == f"/api/proposals/{session}"


async def test_an_exhibition_for_who_came_before_during_and_after(
    hub: HubServer, http: httpx.AsyncClient, session: str
) -> None:
    async with page(hub, f"/ws/{session}") as before:
        assert (await before.next())["type"] == "connected"
        begun = await http.post("/api/proposals", json={"theme": "Surrealism and dreams", "session_id": session})
        assert begun.status_code == 202
        assert begun.json() == {
            "session_id": session,
            "status": "started",
            "websocket_url": f"/ws/{session}",
            "proposal_url": f"/api/proposals/{session}",
        }
        await before.until("progress")
        async with page(hub, f"/ws/{session}") as during:
            await asyncio.gather(before.until(*ENDS), during.until(*ENDS))
    async with page(hub, f"/ws/{session}") as after:
        await after.until(*ENDS)
    _is_a_whole_exhibition(before.frames, session)
    assert before.frames == during.frames == after.frames
    proposal = (await http.get(after.frames[-1]["proposal_url"])).json()
    for frame in after.frames:
        assert frame.get("data", {}).items() <= proposal.items()
    assert (proposal["session_id"], proposal["status"], proposal["progress"]) == (session, "completed", 100)


async def test_an_exhibition_through_a_dropped_line(hub: HubServer, http: httpx.AsyncClient) -> None:
    session = (await http.post("/api/proposals", json={"theme": "Water"})).json()["session_id"]
    async with page(hub, f"/ws/{session}") as first:
        seen = await first.until("stage_complete")
        first.socket.transport.abort()
    partly = (await http.get(f"/api/proposals/{session}")).json()
    assert partly["exhibition_title"] == seen[-1]["data"]["exhibition_title"]
    async with page(hub, f"/ws/{session}") as again:
        await again.until(*ENDS)
    assert again.frames[: len(seen)] == seen
    _is_a_whole_exhibition(again.frames, session)


async def test_starting_an_exhibition_again_starts_nothing_new(
    http: httpx.AsyncClient, hub: HubServer, session: str
) -> None:
    for theme in ("Night", "Day"):
        assert (await http.post("/api/proposals", json={"theme": theme, "session_id": session})).status_code == 202
    async with page(hub, f"/ws/{session}") as watching:
        await watching.until(*ENDS)
    assert len([frame for frame in watching.frames if frame["type"] == "stage_complete"]) == 3
    assert "Night" in (await http.get(f"/api/proposals/{session}")).json()["exhibition_title"]


async def test_what_is_no_exhibition(http: httpx.AsyncClient, hub: HubServer) -> None:
    assert (await http.get("/api/proposals/nobody-started-this")).status_code == 404
    assert (await http.post("/api/proposals", json={"theme": " "})).status_code == 422
    for session_id in ("é" * 90, "a/b", "chat", "streaming", ".."):
        assert (await http.post("/api/proposals", json={"theme": "x", "session_id": session_id})).status_code == 422
    async with page(hub, f"/ws/{'x' * 200}") as turned_away:
        assert {*(await turned_away.next())} == SHAPES["error"]
        with pytest.raises(ConnectionClosed):
            await turned_away.next()


# ---- questions to the shop's data

MORE = {"conversation_id", "query_id"}
DATA_OF = {
    "started": {"message", "progress"} | MORE,
    "progress": {"message", "progress", "retry_count"} | MORE,
    "completed": {"message", "progress", "response", "retries"} | MORE,
}
WORDS = ["Planning Task...", "Fetching Data...", "Validating Data...", "Fetching Data...", "Interpreting Data...",
         "Interpreting Data...", "Finalizing Response..."]  # fmt: skip


def _query(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "query", "query": text, **more}


def _is_a_whole_answer(frames: list[dict[str, Any]]) -> None:
    assert [frame["type"] for frame in (frames[0], frames[-1])] == ["started", "completed"]
    assert all({*frame} == {"type", "data"} and {*frame["data"]} == DATA_OF[frame["type"]] for frame in frames)
    percents = [frame["data"]["progress"] for frame in frames]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert frames[0]["data"]["message"] == "Planning Task..."
    assert frames[-1]["data"]["message"] == "Complete!"
    assert frames[-1]["data"]["response"]


async def test_a_question_and_its_answer(hub: HubServer, session: str) -> None:
    async with page(hub, f"/ws/ada/{session}") as asking:
        await asking.send({"type": "ping"})
        assert (await asking.next())["type"] == "pong"
        asking.frames.clear()
        await asking.send(_query("orders by weekday", conversation_id="c"))
        frames = await asking.until(*ENDS)
    _is_a_whole_answer(frames)
    assert [frame["data"]["message"] for frame in frames[1:-1]] == WORDS
    assert [frame["data"]["progress"] for frame in frames] == [0, 15, 30, 40, 50, 75, 85, 95, 100]
    assert "Saturday" in frames[-1]["data"]["response"]
    assert {frame["data"]["conversation_id"] for frame in frames} == {"c"}


async def test_a_question_whose_sql_was_wrong_at_first(hub: HubServer, session: str) -> None:
    async with page(hub, f"/ws/ada/{session}") as asking:
        await asking.send(_query("orders by region"))
        frames = await asking.until(*ENDS)
    _is_a_whole_answer(frames)
    assert frames[-1]["data"]["retries"]["sql"] == 2
    texts = [frame["data"]["message"] for frame in frames]
    assert [text for text in texts if text.startswith("Validating")] == [
        "Validating Data...",
        "Validating Data... (retry 1)",
        "Validating Data... (retry 2)",
    ]
    assert {frame["data"]["retry_count"] for frame in frames if "retry_count" in frame["data"]} == {0, 1, 2}


async def test_a_question_through_a_dropped_line_and_in_a_second_tab(
    hub: HubServer, http: httpx.AsyncClient, session: str
) -> None:
    signals = f"/api/plans/query:ada:{session}:1/signals"
    async with page(hub, f"/ws/ada/{session}") as second:
        async with page(hub, f"/ws/ada/{session}") as first:
            await first.send(_query("sales by city"))
            await first.until("progress")
            assert (await http.post(signals, json={"signal": "pause"})).status_code < 300
            first.socket.transport.abort()
        async with page(hub, f"/ws/ada/{session}") as back:  # paused, so it is still under way
            await back.until("progress")
            assert (await http.post(signals, json={"signal": "resume"})).status_code < 300
            await asyncio.gather(back.until(*ENDS), second.until(*ENDS))
    async with page(hub, f"/ws/ada/{session}?resume=1") as late:
        await late.until(*ENDS)
    _is_a_whole_answer(back.frames)
    assert back.frames == second.frames == late.frames
    assert back.frames[: len(first.frames)] == first.frames


async def test_a_new_page_does_not_receive_what_has_ended(hub: HubServer, session: str) -> None:
    async with page(hub, f"/ws/ada/{session}") as asking:
        await asking.send(_query("how many customers do we have"))
        await asking.until(*ENDS)
    async with page(hub, f"/ws/ada/{session}") as new:
        await new.send({"type": "ping"})
        assert (await new.next())["type"] == "pong"
        await new.send(_query("top 3 products"))
        await new.until(*ENDS)
    assert "Oak desk" in new.frames[-1]["data"]["response"]
    assert [frame["type"] for frame in new.frames].count("completed") == 1


async def test_two_tabs_that_ask_at_once_are_both_answered(hub: HubServer, session: str) -> None:
    async with page(hub, f"/ws/ada/{session}") as one, page(hub, f"/ws/ada/{session}") as other:
        for tab in (one, other):
            await tab.send({"type": "ping"})
            await tab.until("pong")
            tab.frames.clear()
        await asyncio.gather(one.send(_query("orders in 2025")), other.send(_query("units in 2026")))
        for tab in (one, other):
            await tab.until(*ENDS)
            await tab.until(*ENDS)
    assert one.frames == other.frames
    answers = [frame["data"]["response"] for frame in one.frames if frame["type"] == "completed"]
    assert sorted(answer.split(":")[0] for answer in answers) == ["Orders", "Units"]


async def test_a_question_can_be_cancelled(hub: HubServer, session: str) -> None:
    async with page(hub, f"/ws/ada/{session}") as asking:
        await asking.send(_query("sales by month"))
        await asking.until("started")
        await asking.send({"type": "cancel"})
        error = (await asking.until(*ENDS))[-1]
        assert error["type"] == "error"
        assert error["data"]["message"].startswith("Stopped by ")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("not JSON", "Invalid JSON: "),
        ('"a text"', "Invalid JSON: "),
        ({"type": "query"}, "Missing required field: query"),
        ({"type": "dance"}, "Unknown message type"),
    ],
)
async def test_what_is_no_question_is_answered_and_the_line_goes_on(
    said: Any, answer: str, hub: HubServer, session: str
) -> None:
    async with page(hub, f"/ws/ada/{session}") as asking:
        await asking.send(said)
        error = await asking.next()
        assert error["type"] == "error"
        assert error["data"]["message"].startswith(answer)
        await asking.send({"type": "ping"})
        assert (await asking.next())["type"] == "pong"


async def test_conversations_are_remembered_through_a_restart(hub: HubServer) -> None:
    asked = [("s1", "o/n e", "sales by region"), ("s2", "two", "x" * 150), ("s1", "o/n e", "top 3 products")]
    for session, conversation, query in asked:
        async with page(hub, f"/ws/maria/{session}") as asking:
            await asking.send(_query(query, conversation_id=conversation))
            await asking.until(*ENDS)
    before = await _history(hub)
    await asyncio.to_thread(hub.kill)
    await asyncio.to_thread(hub.start)
    after = await _history(hub)
    assert after == before
    conversations, messages, newest, nobody = after
    assert {*conversations} == {"user_id", "conversations", "count"}
    assert conversations["count"] == 2
    one, two = conversations["conversations"]
    assert {*one} == {"conversation_id", "created_at", "last_updated", "message_count", "preview"}
    assert (one["conversation_id"], one["message_count"], one["preview"]) == ("o/n e", 4, "sales by region")
    assert (two["conversation_id"], two["message_count"], two["preview"]) == ("two", 2, "x" * 97 + "...")
    assert one["last_updated"] > two["last_updated"]
    assert [(message["role"], message["content"][:14]) for message in messages["messages"]] == [
        ("user", "sales by regio"),
        ("assistant", "Sales by regio"),
        ("user", "top 3 products"),
        ("assistant", "Sales by produ"),
    ]
    assert newest["messages"] == messages["messages"][-1:]
    assert nobody == {"user_id": "nobody", "conversations": [], "count": 0}


async def _history(hub: HubServer) -> list[dict[str, Any]]:
    messages = "/conversations/maria/o%2Fn%20e/messages"
    async with httpx.AsyncClient(base_url=hub.url, timeout=DEADLINE_S) as http:
        paths = ("/conversations/maria", messages, f"{messages}?limit=1", "/conversations/nobody")
        return [(await http.get(path)).raise_for_status().json() for path in paths]


# ---- admission, which all of them share


def _token(*plans: str) -> dict[str, str]:
    verbs = ["read", "start", "signal"]
    claims = {"sub": "ada", "aud": AUDIENCE, "exp": time.time() + 600, "plans": dict.fromkeys(plans, verbs)}
    return {"Authorization": f"Bearer {token(claims)}"}


@pytest.mark.parametrize("path", ["/ws/s1", "/ws/ada/s1"])
async def test_without_a_token_nothing_is_sent(path: str, guarded: HubServer) -> None:
    async with page(guarded, path) as stranger:
        for _ in range(2):
            await stranger.send({"type": "query", "query": "sales?"})
            refused = await stranger.next()
            assert (refused["type"], "authenticate first" in str(refused)) == ("error", True)
    async with httpx.AsyncClient(base_url=guarded.url) as http:
        assert (await http.post("/api/proposals", json={"theme": "Water"})).status_code == 401
        for closed in ("/api/proposals/s1", "/conversations/ada", "/conversations/ada/c/messages"):
            assert (await http.get(closed)).status_code == 401


async def test_a_token_opens_what_it_names_and_nothing_else(guarded: HubServer) -> None:
    rights = _token("query:ada:*", "exhibition:mine")
    async with page(guarded, "/ws/ada/s1", **rights) as mine:
        await mine.send(_query("how many customers do we have"))
        assert (await mine.until(*ENDS))[-1]["type"] == "completed"
    async with page(guarded, "/ws/maria/s1", **rights) as hers:
        with pytest.raises(ConnectionClosed) as closed:
            await hers.until(*DATA_OF)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4503
    async with page(guarded, "/ws/hers", **rights) as hers:
        with pytest.raises(ConnectionClosed) as closed:
            await hers.until("progress", "completed")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4503
    async with httpx.AsyncClient(base_url=guarded.url, headers=rights) as http:
        assert (await http.get("/conversations/ada")).json()["count"] == 1
        assert (await http.get("/conversations/maria")).status_code == 403
        assert (await http.get("/conversations/maria/c/messages")).status_code == 403
        assert (await http.get("/api/proposals/hers")).status_code == 403
        assert (await http.post("/api/proposals", json={"theme": "x", "session_id": "hers"})).status_code == 403
        assert (await http.post("/api/proposals", json={"theme": "x", "session_id": "mine"})).status_code == 202


async def test_connections_are_limited_as_everywhere(guarded: HubServer) -> None:
    rights = _token("query:ada:*")
    held = [await connect(f"ws://127.0.0.1:{guarded.port}/ws/ada/s", additional_headers=rights) for _ in range(4)]
    try:
        with pytest.raises((ConnectionClosed, InvalidStatus)):
            async with page(guarded, "/ws/ada/s", **rights) as one_more:
                await one_more.next()
    finally:
        for socket in held:
            await socket.close()
