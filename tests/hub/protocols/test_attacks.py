"""Other protocols' routes as an attacker uses them: without rights, from other pages, with hostile ids and bodies."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.app import create_app
from hub.config.settings import Settings
from hub.node import Hub
from hub.protocols.mcp import endpoint
from tests.hub.protocols.protected import VERBS, bearer_of, served
from tests.hub.transports.serving import say

SECRET_TEXT = "the board's secret"
DEEP = b'{"messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
USER = {"id": "m", "role": "user", "content": "Hello", "parts": [{"type": "text", "text": "Hello"}]}
AG_UI: dict[str, Any] = {
    "threadId": "p",
    "runId": "r",
    "messages": [USER],
    "tools": [],
    "context": [],
    "state": {},
    "forwardedProps": {},
}
MCP_HEADERS = {"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2025-06-18"}


class Attempt(NamedTuple):
    method: str
    path: str
    body: Any = None


def mcp(method: str, **params: Any) -> Attempt:
    return Attempt("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def call(tool: str, **arguments: Any) -> Attempt:
    return mcp("tools/call", name=tool, arguments=arguments)


EVENT = {"type": "agent_message", "data": {"agent_name": "Eve", "content": "Hello"}}
RUN = {"assistant_id": "any", "input": {"messages": [USER]}}
RESUME: dict[str, Any] = AG_UI | {"resume": [{"interruptId": "q", "status": "resolved", "payload": True}]}
ANSWER = {
    "type": "tool-ask",
    "toolCallId": "q",
    "state": "approval-responded",
    "approval": {"id": "q", "approved": True},
}
ANSWERED = {"id": "p-answer", "role": "assistant", "parts": [ANSWER]}
ATTEMPTS = [
    Attempt("POST", "/ag-ui/any", AG_UI),
    Attempt("POST", "/ag-ui/any", RESUME),
    Attempt("POST", "/ag-ui/agent/any/run", AG_UI),
    Attempt("POST", "/ag-ui/agent/any/connect", AG_UI),
    Attempt("POST", "/ag-ui", {"method": "agent/connect", "params": {"agentId": "any"}, "body": AG_UI}),
    Attempt("POST", "/ag-ui/agent/any/stop/p"),
    Attempt("POST", "/ai-sdk/any", {"id": "p", "trigger": "submit-message", "messages": [USER]}),
    Attempt("POST", "/ai-sdk/any", {"id": "p", "trigger": "submit-message", "messages": [USER, ANSWERED]}),
    Attempt("GET", "/ai-sdk/any/p/stream?ended=replay"),
    Attempt("GET", "/ai-sdk/any/p/messages"),
    Attempt("POST", "/ai-sdk/any/p/stop"),
    Attempt("GET", "/langgraph/threads/p"),
    Attempt("GET", "/langgraph/threads/p/state"),
    Attempt("POST", "/langgraph/threads/p/history", {}),
    Attempt("GET", "/langgraph/threads/p/runs"),
    Attempt("POST", "/langgraph/threads/p/runs", RUN),
    Attempt("POST", "/langgraph/threads/p/runs/stream", RUN),
    Attempt("POST", "/langgraph/threads/p/runs/wait", {"assistant_id": "any", "command": {"resume": True}}),
    Attempt("POST", "/langgraph/threads", {"thread_id": "p", "if_exists": "do_nothing"}),
    Attempt("PATCH", "/langgraph/threads/p", {"metadata": {"a": "b"}}),
    Attempt("DELETE", "/langgraph/threads/p"),
    Attempt("POST", "/langgraph/threads/p/state/checkpoint", {"checkpoint": {"checkpoint_id": "1"}}),
    Attempt("POST", "/langgraph/threads/p/commands", {"id": 1, "method": "run.start", "params": RUN}),
    Attempt("POST", "/langgraph/threads/p/commands", {"id": 1, "method": "input.respond", "params": {"response": 1}}),
    Attempt("POST", "/langgraph/threads/p/stream", {"channels": ["values"]}),
    Attempt("POST", "/langgraph/threads/p/stream/events", {"channels": ["values"]}),
    Attempt("GET", "/streams/p"),
    Attempt("GET", "/streams/p?offset=-1&live=sse"),
    Attempt("GET", "/streams/p?offset=now&live=long-poll"),
    Attempt("HEAD", "/streams/p"),
    Attempt("POST", "/streams/p", [EVENT]),
    call("watch_plan", plan_id="p"),
    call("answer_question", plan_id="p", answer="yes"),
    call("cancel_plan", plan_id="p"),
    mcp("resources/read", uri="plancast://plans/p"),
]
OPEN = [Attempt("POST", "/langgraph/threads/search", {}), call("list_plans"), mcp("tools/list")]
"""Attempts that succeed, without what the caller must not see."""


class Protected(NamedTuple):
    """A hub with a plan of ada's, and a client without a token."""

    hub: Hub
    base: str
    http: httpx.AsyncClient

    async def tries(self, attempt: Attempt, **headers: str) -> httpx.Response:
        headers = {**(MCP_HEADERS if attempt.path == "/mcp" else {}), **headers}
        return await self.http.request(attempt.method, attempt.path, json=attempt.body, headers=headers)


@pytest_asyncio.fixture
async def protected(tmp_path: Path) -> AsyncGenerator[Protected]:
    async with served(tmp_path) as (hub, base, _), httpx.AsyncClient(base_url=base, timeout=30) as http:
        await hub.broadcaster.send_agent_message("p", "Ana", SECRET_TEXT)
        await hub.broadcaster.send_input_request("p", "q", "approval", SECRET_TEXT)
        yield Protected(hub, base, http)


class TestRights:
    async def test_nothing_without_a_token(self, protected: Protected) -> None:
        """Also not with the token in a cookie, unless a page of the hub's own origin sends it."""
        cookie = {"Cookie": f"plancast-token={bearer_of(protected.hub, 'ada', {'*': VERBS})['Authorization'][7:]}"}
        for attempt in [*ATTEMPTS, *OPEN]:
            for headers in (
                {},
                cookie,
                cookie | {"Sec-Fetch-Site": "cross-site"},
                cookie | {"Sec-Fetch-Site": "same-site"},
            ):
                refused = await protected.tries(attempt, **headers)
                assert refused.status_code == 401, attempt
        own = await protected.tries(OPEN[0], **cookie, **{"Sec-Fetch-Site": "same-origin"})
        assert own.status_code == 200

    async def test_nothing_of_plans_of_others(self, protected: Protected) -> None:
        """Neither what they are about, nor whether they exist."""
        eve = bearer_of(protected.hub, "eve", {"eve*": VERBS})
        for attempt in ATTEMPTS:
            refused = await protected.tries(attempt, **eve)
            elsewhere = json.loads(
                json.dumps(attempt).replace('"p"', '"x"').replace('"p-', '"x-').replace("/p", "/x", 1)
            )
            unknown = await protected.tries(Attempt(*elsewhere), **eve)
            assert refused.status_code in ((200,) if attempt.path == "/mcp" else (403,)), attempt
            assert refused.status_code == unknown.status_code, attempt
            assert SECRET_TEXT not in refused.text, attempt
            if attempt.path == "/mcp":
                assert "gives no right" in refused.text, attempt
        for attempt in OPEN:
            found = await protected.tries(attempt, **eve)
            assert (found.status_code, SECRET_TEXT in found.text) == (200, False)
        assert (await protected.hub.log.head("p")).offset == 2

    async def test_a_search_leaves_out_threads_with_plans_of_others(self, protected: Protected) -> None:
        await say(protected.hub, "p.2", 1)
        await say(protected.hub, "mine", 1)
        bob = bearer_of(protected.hub, "bob", {"p": ["read"], "mine": ["read"]})
        for body in ({}, {"ids": ["p", "mine", "x"]}):
            found = await protected.tries(Attempt("POST", "/langgraph/threads/search", body), **bob)
            assert [thread["thread_id"] for thread in found.json()] == ["mine"]

    async def test_pages_of_other_origins(self, protected: Protected) -> None:
        """With a token that they have, too, unless the operator lists them; and never with the browser's cookies."""
        token = bearer_of(protected.hub, "ada", {"*": VERBS})
        for attempt in [*ATTEMPTS, *OPEN]:
            refused = await protected.tries(attempt, Origin="https://evil.example", **token)
            assert refused.status_code == 403, attempt
            assert "access-control-allow-origin" not in refused.headers, attempt
            assert "access-control-allow-credentials" not in refused.headers, attempt


class TestIdsAndBodies:
    def hostile(self) -> Iterator[Attempt]:
        for bad in ("a%0d%0aX-Evil:%201", "..%2f..%2fapi", "a%00b", "%ff", "a" * 200, "'%22%3Cscript%3E"):
            yield Attempt("POST", f"/ag-ui/agent/any/stop/{bad}")
            yield Attempt("GET", f"/ai-sdk/any/{bad}/messages")
            yield Attempt("GET", f"/langgraph/threads/{bad}/state")
            yield Attempt("GET", f"/langgraph/threads/p/runs/{bad}/stream")
            yield Attempt("POST", f"/langgraph/threads/{bad}/runs", RUN)
            yield Attempt("GET", f"/streams/{bad}")
            yield Attempt("GET", f"/streams/p?offset={bad}")
            yield Attempt("POST", "/ag-ui/any", AG_UI | {"threadId": bad})
            yield call("watch_plan", plan_id=bad)

    async def test_ids_that_are_not_ids(self, protected: Protected) -> None:
        token = bearer_of(protected.hub, "ada", {"*": VERBS})
        for attempt in self.hostile():
            refused = await protected.tries(attempt, **token)
            assert refused.status_code in ((200,) if attempt.path == "/mcp" else (400, 404, 422)), attempt
            assert "x-evil" not in refused.headers
            assert "text/html" not in refused.headers["content-type"]

    async def test_bodies_nested_without_end(self, protected: Protected) -> None:
        headers = {**bearer_of(protected.hub, "ada", {"*": VERBS}), "Content-Type": "application/json"}
        routes = {(attempt.method, attempt.path) for attempt in [*ATTEMPTS, *OPEN] if attempt.body is not None}
        for method, path in sorted(routes):
            more = MCP_HEADERS if path == "/mcp" else {}
            refused = await protected.http.request(method, path, content=DEEP, headers={**headers, **more})
            assert refused.status_code in (400, 422), path
        url = protected.base.replace("http://", "ws://")
        async with connect(f"{url}/ai-sdk/any/ws", additional_headers=headers) as socket:
            await socket.send(DEEP.decode())
            with pytest.raises(ConnectionClosed):
                await socket.recv()


async def test_a_public_name_that_points_to_this_machine(tmp_path: Path) -> None:
    """DNS rebinding: to a browser, the attacker's page and a hub in development have the same origin then."""
    async with Hub(Settings(log=f"sqlite:///{tmp_path}/plans.db")) as hub:
        transport = httpx.ASGITransport(create_app(hub), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://rebound.example") as http:
            development = Protected(hub, "", http)
            for attempt in [*ATTEMPTS, *OPEN]:
                for headers in ({}, {"Origin": "http://rebound.example"}):
                    assert (await development.tries(attempt, **headers)).status_code == 403, attempt


async def test_one_caller_can_not_have_all_mcp_sessions(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "SESSIONS_EACH", 2)
    begin = mcp(
        "initialize",
        protocolVersion="2025-06-18",
        capabilities={"elicitation": {}},
        clientInfo={"name": "eve", "version": "1"},
    )
    eve, ada = (bearer_of(protected.hub, who, {f"{who}*": VERBS}) for who in ("eve", "ada"))
    others = (await protected.tries(begin, **ada)).headers["mcp-session-id"]
    sessions = [(await protected.tries(begin, **eve)).headers["mcp-session-id"] for _ in range(5)]

    async def known(session: str, token: dict[str, str]) -> bool:
        ended = await protected.http.delete("/mcp", headers={**token, **MCP_HEADERS, "Mcp-Session-Id": session})
        return ended.status_code == 200

    assert [await known(session, eve) for session in sessions] == [False, False, False, True, True]
    assert not await known(others, eve), "a session belongs to its caller"
    assert await known(others, ada)
