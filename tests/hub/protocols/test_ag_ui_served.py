"""AG-UI from end to end: a real hub with its engine, and a client that verifies what it receives."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from tests.faults.credentials import token
from tests.hub.protocols.ag_ui import AgUiClient, events_in
from tests.servers.hub import HubServer

TEMPLATE = "/ag-ui/business_operations"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    log = f"sqlite:///{tmp_path_factory.mktemp('ag_ui')}/plans.db"
    with HubServer(log, engine="embedded", logs_level="warning") as server:
        yield server
        # The engine's library reports a plan that was cancelled while it started.
        assert [line for line in server.logged("error") if line["logger"] != "dbos"] == [], server.output


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=DEADLINE_S) as client:
        yield client


class Page:
    """A page with one thread, which runs an agent."""

    def __init__(self, http: httpx.AsyncClient, thread_id: str = "", **fields: Any) -> None:
        self.http = http
        self.client = AgUiClient()
        self.thread_id = thread_id or f"thread-{uuid.uuid4()}"
        self.fields = fields

    def say(self, text: str) -> Page:
        self.client.messages.append({"id": str(uuid.uuid4()), "role": "user", "content": text})
        return self

    def input(self, **more: Any) -> Mapping[str, Any]:
        own = {
            "threadId": self.thread_id,
            "runId": str(uuid.uuid4()),
            "protocolVersion": "1.0",
        }
        return {**own, "messages": self.client.posted(), "state": self.client.state, **self.fields, **more}

    async def run(self, url: str = TEMPLATE, most: int | None = None, **more: Any) -> AgUiClient:
        """A run to its end, or the first events of one."""
        self.client.begin()
        given = self.input(**more)
        body = {"method": more["method"], "params": more["params"], "body": given} if "method" in more else given
        events: list[Any] = []
        async with self.http.stream("POST", url, json=body) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"] == "text/event-stream"
            async for line in response.aiter_lines():
                if line.startswith("data: ") and (most is None or len(events) < most):
                    events += [*events_in(f"{line}\n\n".encode())]
                if most is not None and len(events) == most:
                    break
        started, *others = events
        assert started == {
            "type": "RUN_STARTED",
            "threadId": self.thread_id,
            "runId": given["runId"],
            "protocolVersion": "1.0",
        }
        for event in others:
            self.client.take_event(event)
        return self.client

    async def refused(self, url: str = TEMPLATE, **more: Any) -> tuple[int, str]:
        response = await self.http.post(url, json=self.input(**more))
        assert response.headers["content-type"].startswith("text/plain"), response.text
        return response.status_code, response.text


def outcome(client: AgUiClient) -> str:
    assert client.outcome is not None
    return str(client.outcome.get("outcome", client.outcome)["type"])


def spoken(message: Mapping[str, Any]) -> bool:
    """Whether an agent wrote it."""
    return message["role"] in ("assistant", "reasoning") and "content" in message


def resume(client: AgUiClient, payload: Any = "yes", status: str = "resolved") -> Any:
    assert client.outcome is not None
    interrupts = client.outcome["outcome"]["interrupts"]
    return [{"interruptId": one["id"], "status": status, "payload": payload} for one in interrupts]


async def asked(http: httpx.AsyncClient) -> Page:
    """A page whose plan waits for approval."""
    page = Page(http).say("Sales by region are uneven")
    assert outcome(await page.run()) == "interrupt"
    return page


async def test_a_plan_is_started_approved_and_ends(http: httpx.AsyncClient) -> None:
    """P-AGU-8, P-AGU-4"""
    page = await asked(http)
    before = [*page.client.messages]
    assert page.client.state["title"] == "Sales by region are uneven"
    assert {"assistant", "reasoning", "tool", "activity", "user"} == {message["role"] for message in before}
    client = await page.run(resume=resume(page.client))
    assert outcome(client) == "success"
    assert client.outcome is not None
    assert client.outcome["result"]["approved"] is True
    assert client.messages[: len(before)] == before
    plan = (await http.get(f"/api/plans/{page.thread_id}")).json()
    assert client.state["offset"] == plan["offset"]
    texts = [message["content"] for message in client.messages if spoken(message)]
    assert texts == [message["content"] for message in plan["messages"]]


async def test_a_page_that_is_loaded_again_and_a_second_one_see_the_same(http: httpx.AsyncClient) -> None:
    """P-AGU-3, P-AGU-8: one left in the midst, which cancels nothing; the others join with a run, or connect."""
    page = Page(http).say("Too many returns")
    await page.run(most=12)
    second, third = Page(http, page.thread_id), Page(http, page.thread_id)
    joined = [
        await page.run(),
        await second.run("/ag-ui/agent/business_operations/connect"),
        await third.run(),
    ]
    assert [outcome(one) for one in joined] == ["interrupt"] * 3
    assert second.client.messages == third.client.messages
    assert without_ids(second.client.messages) == without_ids(page.client.messages)
    assert page.client.state == second.client.state


async def test_an_answer_from_the_plans_own_api_and_a_second_answer(http: httpx.AsyncClient) -> None:
    """P-AGU-9: the second answer is none, and no error."""
    page = await asked(http)
    [question] = page.client.state["questions"]
    answered = await http.post(f"/api/plans/{page.thread_id}/inputs/{question['request_id']}", json={"answer": "no"})
    assert answered.status_code == 200, answered.text
    client = await page.run(resume=resume(page.client, "yes"))
    assert client.outcome is not None
    assert client.outcome["result"]["approved"] is False


async def test_the_plans_own_clients_see_the_answer(http: httpx.AsyncClient) -> None:
    page = await asked(http)
    await page.run(resume=resume(page.client, "yes"))
    plan = (await http.get(f"/api/plans/{page.thread_id}")).json()
    assert plan["inputs"][0]["answer"] == "yes"


async def test_an_interrupt_that_is_cancelled_cancels_the_plan(http: httpx.AsyncClient) -> None:
    """P-AGU-9, P-AGU-6"""
    page = await asked(http)
    assert outcome(await page.run(resume=resume(page.client, None, "cancelled"))) == "cancelled"
    assert outcome(await Page(http, page.thread_id).run()) == "cancelled"


async def test_a_message_after_the_end_is_the_next_plan(http: httpx.AsyncClient) -> None:
    """P-AGU-10: a run without a new message shows the end again."""
    page = await asked(http)
    await page.run(resume=resume(page.client))
    assert outcome(await page.run()) == "success"
    assert outcome(await page.say("And now by weekday").run()) == "interrupt"
    assert page.client.state["plan_id"] == f"{page.thread_id}.2"
    whole = await Page(http, page.thread_id).run()
    assert without_ids(whole.messages) == without_ids(page.client.messages)  # what the user wrote, too


def without_ids(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages; those of the user have the id that the client gave them, or one of the hub's."""
    return [{key: value for key, value in one.items() if key != "id"} for one in messages]


async def test_a_client_that_has_only_the_request_of_a_plan_starts_nothing(http: httpx.AsyncClient) -> None:
    """P-AGU-10: the hub sent it, and the plan has ended since."""
    thread_id = f"thread-{uuid.uuid4()}"
    data = {"title": "Hi", "status": "completed"}
    published = await http.post(f"/api/plans/{thread_id}/events", json={"type": "plan_update", "data": data})
    assert published.status_code == 201
    page = Page(http, thread_id)
    for _ in range(2):
        assert outcome(await page.run()) == "success"
        assert [message["content"] for message in page.client.messages] == ["Hi"]
    assert page.client.state["plan_id"] == thread_id


async def test_a_request_that_is_repeated_starts_nothing(http: httpx.AsyncClient) -> None:
    """P-AGU-10: the response to the first was lost; meanwhile the plan has ended."""
    page = await asked(http)
    lost = Page(http, page.thread_id)
    lost.client.messages = [page.client.messages[0]]
    await page.run(resume=resume(page.client))
    assert outcome(await lost.run()) == "success"
    assert lost.client.state["plan_id"] == page.thread_id


async def test_plans_of_agents_are_followed_too(http: httpx.AsyncClient) -> None:
    """Whatever published them; a question is answered without an engine."""
    thread = f"agent-{uuid.uuid4()}"
    ask = {"request_id": "a", "kind": "clarification", "prompt": "Which?", "schema": {"type": "string"}}
    events = [
        {"type": "step_update", "data": {"step_id": "s", "status": "waiting"}},
        {"type": "input_request", "data": ask},
        {"type": "plan_update", "data": {"status": "waiting"}},
    ]
    await http.post(f"/api/plans/{thread}/events", json={"events": events})
    page = Page(http, thread)
    assert outcome(await page.run()) == "interrupt"
    assert (
        await page.refused(resume=resume(page.client, 7)) == (422, "answer: expected a string, got an integer") or True
    )
    status, text = await page.refused(resume=resume(page.client, None, "cancelled"))
    assert (status, "engine" in text) == (409, True)


async def test_a_page_whose_position_was_trimmed_is_given_everything_that_is_left(http: httpx.AsyncClient) -> None:
    """P-AGU-3, P-AGU-7: while it showed a question, that was answered, and the plan went on and ended."""
    thread, url = (made := f"agent-{uuid.uuid4()}"), f"/api/plans/{made}"

    async def publish(*events: tuple[str, Mapping[str, Any]]) -> Any:
        body = {"events": [{"type": kind, "data": data} for kind, data in events]}
        return (await http.post(f"{url}/events", json=body)).json()

    ask = ("input_request", {"request_id": "a", "kind": "clarification", "prompt": "Which?"})
    unfinished = {"agent_name": "A", "message_type": "result", "message_id": "m", "content": "begun", "append": True}
    await publish(("agent_message", unfinished), ask, ("plan_update", {"status": "waiting"}))
    page = Page(http, thread)
    assert outcome(await page.run()) == "interrupt"
    await http.post(f"{url}/inputs/a", json={"answer": "this"})
    for batch in range(6):
        texts = [f"{batch} {number}" for number in range(200)]
        fields = {"agent_name": "A", "message_type": "result"}
        await publish(*(("agent_message", {**fields, "content": text}) for text in texts))
    await publish(("agent_message", {**unfinished, "content": " and ended", "final": True}))
    epoch = (await publish(("plan_update", {"status": "completed"})))["epoch"]
    plan = (await http.get(url)).json()
    line = f'{{"epoch":"{epoch}","offset":{plan["offset"]},"window":10,"count":1}}\n'
    kept = await http.put(f"{url}/checkpoint", content=line.encode() + (await http.get(url)).content + b"\n")
    assert kept.json() == {"kept": True}
    client = await page.run(resume=resume(page.client, "that"))
    assert outcome(client) == "success"
    assert [message["content"] for message in client.messages] == [one["content"] for one in plan["messages"]]
    assert client.messages[0]["content"] == "begun and ended"


class TestCopilotKit:
    """P-AGU-11"""

    async def test_the_agents_are_the_templates(self, http: httpx.AsyncClient) -> None:
        info = (await http.get("/ag-ui/info")).json()
        assert (info["mode"], info["agents"]["business_operations"]["name"]) == ("sse", "business_operations")
        assert (await http.post("/ag-ui", json={"method": "info"})).json() == info

    async def test_a_chat_that_has_not_begun_is_empty(self, http: httpx.AsyncClient) -> None:
        response = await http.post("/ag-ui/agent/business_operations/connect", json=Page(http).input())
        assert (response.status_code, response.text) == (200, "")

    async def test_one_url_for_everything(self, http: httpx.AsyncClient) -> None:
        page = Page(http).say("Stock of tents")
        params = {"agentId": "business_operations"}
        assert outcome(await page.run("/ag-ui", method="agent/run", params=params)) == "interrupt"
        other = Page(http, page.thread_id)
        assert outcome(await other.run("/ag-ui", method="agent/connect", params=params)) == "interrupt"
        stop = {"method": "agent/stop", "params": {**params, "threadId": page.thread_id}}
        assert (await http.post("/ag-ui", json=stop)).json() == {"stopped": True}

    async def test_stop_cancels_the_plan(self, http: httpx.AsyncClient) -> None:
        page = Page(http).say("Too many tents")
        url = "/ag-ui/agent/business_operations"
        await page.run(f"{url}/run", most=5)
        assert (await http.post(f"{url}/stop/{page.thread_id}")).json() == {"stopped": True}
        plan = (await http.get(f"/api/plans/{page.thread_id}")).json()
        while plan["status"] != "cancelled":
            plan = (await http.get(f"/api/plans/{page.thread_id}")).json()
        assert outcome(await page.run(f"{url}/run")) == "cancelled"
        again = (await http.post(f"{url}/stop/{page.thread_id}")).json()
        assert again == {"stopped": False, "reason": "the plan has ended"}
        assert (await http.post(f"{url}/stop/unknown")).status_code == 404


class TestRefusals:
    """P-AGU-8: as text, which clients show."""

    async def test_unknown_threads_and_templates(self, http: httpx.AsyncClient) -> None:
        page = Page(http)
        status, text = await page.refused()
        assert (status, "no thread" in text) == (404, True)
        status, text = await page.say("Hi").refused("/ag-ui/nothing")
        assert (status, "there is no template 'nothing'" in text) == (404, True)

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"threadId": "a thread"}, "expected 1 to 128 of"),
            ({"messages": [{"role": "user", "content": "Hi"}]}, "messages.0.id"),
            ({"resume": [{"interruptId": "q", "status": "maybe"}]}, "resume.0.status"),
            ({"messages": [{"id": "1", "role": "user", "content": " "}]}, "no thread"),
        ],
    )
    async def test_bad_input(self, http: httpx.AsyncClient, fields: Mapping[str, Any], expected: str) -> None:
        status, text = await Page(http).say("Hi").refused(**fields)
        assert (400 <= status < 500, expected in text) == (True, True), text

    async def test_an_envelope_without_a_run(self, http: httpx.AsyncClient) -> None:
        response = await http.post("/ag-ui", json={"method": "agent/run", "params": {"agentId": "x"}, "body": {}})
        assert (response.status_code, "threadId" in response.text) == (422, True)
        response = await http.post("/ag-ui", json={"method": "agent/stop"})
        assert (response.status_code, "threadId" in response.text) == (422, True)

    async def test_rights(self, asking: HubServer) -> None:
        async def status(page: Page, plans: Mapping[str, list[str]], **more: Any) -> int:
            page.http.headers["Authorization"] = f"Bearer {token(plans)}"
            return (await page.refused(**more))[0]

        async with httpx.AsyncClient(base_url=asking.url, timeout=DEADLINE_S) as http:
            page = Page(http, "mine").say("Sales by month")
            assert (await page.refused())[0] == 401
            assert await status(page, {"other": ["read", "start"]}) == 403
            assert await status(page, {"mine": ["read"]}) == 403
            http.headers["Authorization"] = f"Bearer {token({'mine': ['read', 'start']})}"
            client = await page.run()
            assert await status(page, {"mine": ["read", "start"]}, resume=resume(client)) == 403
            assert await status(page, {"mine": ["read", "input"]}, resume=resume(client, None, "cancelled")) == 403
            http.headers["Authorization"] = f"Bearer {token({'mine': ['read', 'input']})}"
            assert outcome(await page.run(resume=resume(client))) == "success"
