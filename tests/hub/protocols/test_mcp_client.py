"""MCP as its stock client sees it, over streamable HTTP, in both eras (P-MCP-1 to P-MCP-9)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest
from mcp import MCPError
from mcp.types import TextResourceContents

from tests.faults.credentials import token
from tests.hub.dialects.servers import asking_hub, working_hub
from tests.hub.hubs import Said, say
from tests.hub.protocols.mcp_clients import Form, connect, fields, text
from tests.hub.protocols.trimming import trim
from tests.servers.hub import HubServer

REQUEST = {"template": "business_operations", "input": {"request": "Sales by region are uneven"}}
TEXT = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1}}, "required": ["days"]}
both_eras = pytest.mark.parametrize("era", ["modern", "legacy"])


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with working_hub(pace=0) as hub:
        yield hub


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as client:
        yield client


class Progress:
    """The progress notifications of a client's call."""

    def __init__(self) -> None:
        self.offsets: list[float] = []
        self.messages: list[str] = []
        self.changed = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG002
        self.offsets.append(progress)
        self.messages.append(message or "")
        self.changed.set()

    async def until(self, part: str) -> None:
        async with asyncio.timeout(60):
            while not any(part in message for message in self.messages):
                self.changed.clear()
                await self.changed.wait()


async def ask(http: httpx.AsyncClient, plan: str, request_id: str = "q", **question: Any) -> None:
    """A plan that waits for a person's answer."""
    waits = [Said.update(status="waiting")]
    await say(http, plan, Said.update(title="T", status="in_progress"), Said.request(request_id, **question), *waits)


async def answers_of(http: httpx.AsyncClient, plan: str) -> list[Any]:
    return [asked.get("answer") for asked in (await http.get(f"/api/plans/{plan}")).json()["inputs"]]


@both_eras
async def test_a_plan_from_its_start_over_a_question_to_its_end(hub: HubServer, era: str) -> None:
    forms: list[Form] = []
    progress = Progress()

    async def says_yes(form: Form) -> Mapping[str, Any]:
        forms.append(form)
        return {"answer": "yes"}

    async with connect(hub.url, era, says_yes) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["list_templates", "start_plan", "watch_plan", "answer_question", "cancel_plan", "list_plans"]
        templates = fields(await client.call_tool("list_templates"))["templates"]
        assert "business_operations" in {template["name"] for template in templates}
        plan = fields(await client.call_tool("start_plan", REQUEST))["plan_id"]
        ended = fields(await client.call_tool("watch_plan", {"plan_id": plan}, progress_callback=progress))

        assert (ended["status"], ended["ended"], ended["result"]["approved"]) == ("completed", True, True)
        assert progress.offsets == sorted(set(progress.offsets))
        assert progress.offsets[-1] == ended["offset"]
        assert any("Collect the figures" in message for message in progress.messages)
        assert [prompt for prompt, _ in forms] == ["Shall we go ahead with this proposal?"]
        assert forms[0][1]["properties"] == {"answer": {"type": "string", "enum": ["yes", "no"]}}
        assert plan in {one["plan_id"] for one in fields(await client.call_tool("list_plans"))["plans"]}

        again = fields(await client.call_tool("watch_plan", {"plan_id": plan}))
        assert again == ended
        [contents] = (await client.read_resource(f"plancast://plans/{plan}")).contents
        assert isinstance(contents, TextResourceContents)
        snapshot = json.loads(contents.text)
        assert (snapshot["status"], snapshot["offset"]) == ("completed", ended["offset"])
        assert f"plancast://plans/{plan}" in {str(one.uri) for one in (await client.list_resources()).resources}


@both_eras
async def test_without_forms_the_answer_is_a_call(
    hub: HubServer, http: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    await ask(http, plan_id, kind="clarification", prompt="How long?", schema=TEXT)
    async with connect(hub.url, era) as client:
        waiting = fields(await client.call_tool("watch_plan", {"plan_id": plan_id}))
        assert (waiting["status"], waiting["ended"]) == ("waiting", False)
        assert [(one["prompt"], one["answer_schema"]) for one in waiting["questions"]] == [("How long?", TEXT)]
        assert "answer_question" in waiting["next"]

        wrong = await client.call_tool("answer_question", {"plan_id": plan_id, "answer": {"days": 0}})
        assert wrong.is_error
        assert "days" in text(wrong)
        given = await client.call_tool("answer_question", {"plan_id": plan_id, "answer": {"days": 3}})
        assert fields(given) == {"plan_id": plan_id, "request_id": "q", "taken": True}
        late = {"plan_id": plan_id, "answer": {"days": 4}, "request_id": "q"}
        assert fields(await client.call_tool("answer_question", late))["taken"] is False
        assert await answers_of(http, plan_id) == [{"days": 3}]


@both_eras
async def test_a_form_of_several_fields_and_a_wrong_answer(
    hub: HubServer, http: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    await ask(http, plan_id, kind="clarification", prompt="How long?", schema=TEXT)
    prompts: list[str] = []

    async def learns(form: Form) -> Mapping[str, Any]:
        prompts.append(form[0])
        if len(prompts) > 1:
            await say(http, plan_id, Said.update(status="completed"))
        return {"days": len(prompts) - 1}

    async with connect(hub.url, era, learns) as client:
        ended = fields(await client.call_tool("watch_plan", {"plan_id": plan_id}))
    assert ended["status"] == "completed"
    assert prompts[0] == "How long?"
    assert "days" in prompts[1]


@both_eras
async def test_a_person_who_declines_leaves_the_question_open(
    hub: HubServer, http: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    await ask(http, plan_id)

    async def declines(_: Form) -> None:
        return None

    async with connect(hub.url, era, declines) as client:
        waiting = fields(await client.call_tool("watch_plan", {"plan_id": plan_id}))
    assert (waiting["status"], len(waiting["questions"])) == ("waiting", 1)
    assert "did not answer" in waiting["next"]
    assert await answers_of(http, plan_id) == [None]


@both_eras
async def test_a_question_that_is_answered_on_the_plan_page(
    hub: HubServer, http: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    """The older era's form is taken away; the newer era's answer comes too late, which is no error."""
    await ask(http, plan_id)
    shown, closed = asyncio.Event(), asyncio.Event()

    async def hesitates(_: Form) -> Mapping[str, Any]:
        shown.set()
        await closed.wait()
        return {"answer": "no"}

    async with connect(hub.url, era, hesitates) as client:
        watching = asyncio.ensure_future(client.call_tool("watch_plan", {"plan_id": plan_id}))
        async with asyncio.timeout(60):
            await shown.wait()
        given = await http.post(f"/api/plans/{plan_id}/inputs/q", json={"answer": "yes"})
        assert given.status_code == 200
        await say(http, plan_id, Said.update(status="completed"))
        if era == "modern":
            closed.set()
        async with asyncio.timeout(60):
            assert fields(await watching)["status"] == "completed"
        closed.set()
    assert await answers_of(http, plan_id) == ["yes"]


@both_eras
async def test_who_stops_watching_cancels_nothing(
    hub: HubServer, http: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    await say(http, plan_id, Said.update(title="T", status="in_progress"))
    progress, beside = Progress(), Progress()
    async with connect(hub.url, era) as client, connect(hub.url, "modern") as second:
        call = {"plan_id": plan_id}
        watching = asyncio.ensure_future(client.call_tool("watch_plan", call, progress_callback=progress))
        other = asyncio.ensure_future(second.call_tool("watch_plan", call, progress_callback=beside))
        await progress.until("in progress")
        await beside.until("in progress")
        watching.cancel()
        await say(http, plan_id, Said.message("Still here"), Said.update(status="completed"))
        async with asyncio.timeout(60):
            assert fields(await other)["status"] == "completed"
        assert fields(await client.call_tool("watch_plan", call))["last_message"] == "Still here"


@both_eras
async def test_time_is_over_and_the_next_call_continues(
    hub: HubServer, http: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    await say(http, plan_id, Said.update(title="T", status="in_progress"))
    async with connect(hub.url, era) as client:
        running = fields(await client.call_tool("watch_plan", {"plan_id": plan_id, "wait": 0}))
        assert (running["status"], running["ended"], running["offset"]) == ("in_progress", False, 1)
        assert "after=1" in running["next"]
        await say(http, plan_id, Said.message("One"), Said.request("q"), Said.update(status="waiting"))
        asked = fields(await client.call_tool("watch_plan", {"plan_id": plan_id, "after": 1}))
        assert [one["request_id"] for one in asked["questions"]] == ["q"]
        progress = Progress()  # the question is known by then, so it does not end the call again
        call = {"plan_id": plan_id, "after": asked["offset"]}
        watching = asyncio.ensure_future(client.call_tool("watch_plan", call, progress_callback=progress))
        await say(http, plan_id, Said.message("Two"))
        await progress.until("")
        await say(http, plan_id, Said.update(status="completed"))
        async with asyncio.timeout(60):
            assert fields(await watching)["ended"]
        assert min(progress.offsets) > asked["offset"]


@both_eras
async def test_a_plan_is_cancelled(hub: HubServer, era: str) -> None:
    async with connect(hub.url, era) as client:
        plan = fields(await client.call_tool("start_plan", REQUEST))["plan_id"]
        assert fields(await client.call_tool("watch_plan", {"plan_id": plan}))["status"] == "waiting"
        assert fields(await client.call_tool("cancel_plan", {"plan_id": plan}))["status"] == "waiting"
        async with asyncio.timeout(60):
            while not (now := fields(await client.call_tool("watch_plan", {"plan_id": plan})))["ended"]:
                pass
        assert now["status"] == "cancelled"
        assert fields(await client.call_tool("cancel_plan", {"plan_id": plan}))["status"] == "cancelled"


async def test_a_trimmed_log(hub: HubServer, http: httpx.AsyncClient, plan_id: str) -> None:
    await say(http, plan_id, Said.update(title="T", status="in_progress"), *[Said.message(f"{n}") for n in range(9)])
    assert await trim(http, plan_id) == 10
    await say(http, plan_id, Said.update(status="completed"))
    progress = Progress()
    async with connect(hub.url, "modern") as client:
        ended = fields(
            await client.call_tool("watch_plan", {"plan_id": plan_id, "after": 2}, progress_callback=progress)
        )
    assert (ended["status"], ended["offset"], ended["last_message"]) == ("completed", 11, "8")


@both_eras
async def test_bad_requests_are_explained(hub: HubServer, era: str) -> None:
    async with connect(hub.url, era) as client:
        for name, arguments, problem in (
            ("watch_plan", {"plan_id": "nowhere"}, "there is no plan 'nowhere'"),
            ("watch_plan", {"plan_id": "a plan"}, "plan_id: String should match pattern"),
            ("watch_plan", {}, "plan_id: Field required"),
            ("cancel_plan", {"plan_id": "nowhere"}, "there is no plan"),
            ("answer_question", {"plan_id": "nowhere", "answer": 1}, "no open question"),
            ("start_plan", {"template": "nothing"}, "expected one of: business_operations"),
            ("start_plan", {"template": "business_operations", "input": {"request": 3}}, "request"),
            ("list_plans", {"cursor": "?"}, "not a cursor"),
        ):
            failed = await client.call_tool(name, arguments)
            assert failed.is_error, name
            assert problem in text(failed)
        with pytest.raises(MCPError, match="there is no tool 'delete_plan'"):
            await client.call_tool("delete_plan")
        with pytest.raises(MCPError, match="there is no plan 'nowhere'"):
            await client.read_resource("plancast://plans/nowhere")
        with pytest.raises(MCPError, match="expected plancast://plans/"):
            await client.read_resource("file:///etc/passwd")


@pytest.fixture(scope="module")
def closed_hub() -> Iterator[HubServer]:
    with asking_hub(pace=0) as hub:
        yield hub


class TestRights:
    @both_eras
    async def test_each_call_has_the_rights_of_its_token(self, closed_hub: HubServer, era: str) -> None:
        async with httpx.AsyncClient(base_url=closed_hub.url, headers={"X-Api-Key": token()}) as http:
            await ask(http, f"mine-{era}")
            await ask(http, f"other-{era}")
        shown: list[Form] = []

        async def never(form: Form) -> None:
            shown.append(form)

        rights = token({"mine-*": ["read"]})
        async with connect(closed_hub.url, era, never, rights) as client:
            plans = fields(await client.call_tool("list_plans"))["plans"]
            assert {plan["plan_id"].partition("-")[0] for plan in plans} == {"mine"}
            waiting = fields(await client.call_tool("watch_plan", {"plan_id": f"mine-{era}"}))
            assert waiting["status"] == "waiting"
            for name, more in (("answer_question", {"answer": 1}), ("cancel_plan", {})):
                refused = await client.call_tool(name, {"plan_id": f"mine-{era}", **more})
                assert "the token gives no right to" in text(refused)
            for plan in (f"other-{era}", "unknown"):
                refused = await client.call_tool("watch_plan", {"plan_id": plan})
                assert text(refused) == "the token gives no right to read this plan"
            assert (await client.call_tool("start_plan", REQUEST)).is_error
            with pytest.raises(MCPError, match="no right to read"):
                await client.read_resource(f"plancast://plans/other-{era}")
        assert shown == [], "a person who may not answer was asked"

    async def test_a_token_that_is_not_valid_is_refused_in_plain_words(self, closed_hub: HubServer) -> None:
        with pytest.raises((MCPError, ExceptionGroup)) as refused:
            async with connect(closed_hub.url, "modern", None, "wrong"):
                pass
        assert "token" in repr(refused.value)

    async def test_a_session_belongs_to_its_principal(self, closed_hub: HubServer) -> None:
        """Another caller's requests with its id are served without it, and answers in it are refused."""
        async with httpx.AsyncClient(base_url=closed_hub.url, headers=ACCEPT) as http:
            ada, bob = ({"Authorization": f"Bearer {token(subject=name)}"} for name in ("ada", "bob"))
            first = await http.post("/mcp", json=BEGIN, headers=ada)
            session = {"Mcp-Session-Id": first.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
            other = await http.post("/mcp", json=rpc("tools/list", {}), headers={**bob, **session})
            assert (other.status_code, "mcp-session-id" in other.headers) == (200, False)
            answer = {"jsonrpc": "2.0", "id": 1, "result": {"action": "accept", "content": {"answer": "yes"}}}
            for who, id_ in ((bob, session), (ada, {**session, "Mcp-Session-Id": "unknown"})):
                refused = await http.post("/mcp", json=answer, headers={**who, **id_})
                assert (refused.status_code, refused.json()["error"]["message"]) == (404, "Session not found")
            assert (await http.delete("/mcp", headers={**bob, **session})).status_code == 404
            assert (await http.delete("/mcp", headers={**ada, **session})).status_code == 200
        assert first.headers["mcp-session-id"] not in closed_hub.output


INFO = {"name": "test", "version": "1"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def rpc(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


BEGIN = rpc(
    "initialize",
    {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": INFO},
)


async def test_a_session_ends_after_the_messages_that_were_accepted(hub: HubServer, http: httpx.AsyncClient) -> None:
    """A bug once: the `mcp` package answers a notification first, and failed when a client ended its session on that."""
    session = (await http.post("/mcp", json=BEGIN, headers=ACCEPT)).headers["mcp-session-id"]
    head = f"Host: 127.0.0.1:{hub.port}\r\nMcp-Session-Id: {session}\r\nAccept: {ACCEPT['Accept']}\r\n"
    body = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    post = f"POST /mcp HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(f"{post}DELETE /mcp HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
    answers = (await reader.read()).decode()
    writer.close()
    assert re.findall(r"HTTP/1\.1 (\d+)", answers) == ["202", "200"]
    assert hub.logged("error") == []


async def test_what_is_no_request_is_refused(http: httpx.AsyncClient) -> None:
    for body in (b"", b"{", b"[]", b"3", b'{"jsonrpc":"2.0"}'):
        refused = await http.post("/mcp", content=body, headers={**ACCEPT, "Content-Type": "application/json"})
        assert 400 <= refused.status_code < 500, body
        assert "error" in refused.json()
    assert (await http.get("/mcp", headers=ACCEPT)).status_code == 405
