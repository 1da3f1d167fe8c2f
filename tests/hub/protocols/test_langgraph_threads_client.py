"""`threads.stream` of LangGraph's Python client, unmodified, and the commands behind it, against a real hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.faults.credentials import token
from tests.hub.dialects.servers import asking_hub
from tests.servers.hub import HubServer

TEMPLATE = "business_operations"
REQUEST: dict[str, Any] = {"messages": [{"type": "human", "content": "Sales by region are uneven"}]}


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with asking_hub(pace="0.1") as hub:
        yield hub


@pytest.fixture
async def client(hub: HubServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=f"{hub.url}/langgraph", api_key=token()) as client:
        yield client


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=60) as http:
        yield http


@pytest.fixture
def thread() -> str:
    return f"thread-{uuid4().hex[:8]}"


async def command(http: httpx.AsyncClient, thread: str, method: str, **params: Any) -> Any:
    body = {"id": 7, "method": method, "params": params}
    response = await http.post(f"/langgraph/threads/{thread}/commands", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["id"] == 7
    return answer


async def started(http: httpx.AsyncClient, thread: str) -> str:
    """Start a plan, wait for its question, and return the question's id."""
    assert (await command(http, thread, "run.start", assistant_id=TEMPLATE, input=REQUEST))["type"] == "success"
    values = (await http.post(f"/langgraph/threads/{thread}/runs/wait", json={})).json()
    return str(values["__interrupt__"][0]["id"])


async def test_a_thread_from_start_to_end(client: LangGraphClient, thread: str) -> None:
    """P-LGR-12, P-LGR-16, P-LGR-17: the client's own projections."""
    async with client.threads.stream(thread, assistant_id=TEMPLATE) as stream:
        await stream.run.start(input=REQUEST)
        messages = [message async for message in stream.messages]
        assert [one["value"]["kind"] for one in stream.interrupts] == ["approval"]
        await stream.run.respond("yes")
        messages += [message async for message in stream.messages]
        output: Any = await stream.output
    assert output["plan"]["status"] == "completed"
    said = [one["content"] for one in output["messages"] if one["type"] == "ai" and not one["tool_calls"]]
    assert [await message.text for message in messages] == said


async def test_a_client_beside_it_and_one_that_comes_later(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    """P-LGR-13: leaving cancels nothing; what the first one left, the second one has, and a third one after the end."""
    async with client.threads.stream(thread, assistant_id=TEMPLATE) as first:
        await first.run.start(input=REQUEST)
        async for event in first.subscribe(["custom"]):
            if event["params"]["data"]["payload"]["offset"] == 9:
                break
    offsets: list[list[int]] = []
    for state in ("interrupted", "completed"):
        seen: list[int] = []
        async with client.threads.stream(thread, assistant_id=TEMPLATE) as stream:
            async for event in stream.subscribe(["custom", "lifecycle"]):
                data: Any = event["params"]["data"]
                if event["method"] == "custom":
                    seen.append(data["payload"]["offset"])
                elif data["event"] == state:
                    break
        offsets.append(seen)
        [question] = (await http.get(f"/api/plans/{thread}")).json()["inputs"]
        if state == "interrupted":
            answered = await http.post(f"/api/plans/{thread}/inputs/{question['request_id']}", json={"answer": "no"})
            assert answered.status_code == 200
    assert all(seen == [*range(1, len(seen) + 1)] for seen in offsets)
    assert len(offsets[1]) > len(offsets[0])


async def test_a_message_while_the_thread_waits_is_the_answer(http: httpx.AsyncClient, thread: str) -> None:
    """P-LGR-17"""
    await started(http, thread)
    yes = {"messages": [{"type": "human", "content": "yes"}]}
    answered = await command(http, thread, "run.start", assistant_id=TEMPLATE, input=yes)
    assert answered["meta"]["applied_through_seq"] > 0
    await http.get(f"/langgraph/threads/{thread}/runs/{answered['result']['run_id']}/join")
    state = (await command(http, thread, "state.get", namespace=[], keys=["plan"]))["result"]
    assert [*state["values"]] == ["plan"]
    assert state["values"]["plan"]["inputs"][0]["answer"] == "yes"
    tree = (await command(http, thread, "agent.getTree"))["result"]["tree"]
    assert tree == {"namespace": [], "status": "completed", "graph_name": TEMPLATE}
    [checkpoint] = (await command(http, thread, "state.listCheckpoints"))["result"]["checkpoints"]
    assert checkpoint["id"] == state["checkpoint"]["id"]
    before = await command(http, thread, "state.listCheckpoints", before=checkpoint["id"])
    assert before["result"]["checkpoints"] == []


async def test_a_second_answer_is_no_error(http: httpx.AsyncClient, thread: str) -> None:
    """P-LGR-17"""
    question = await started(http, thread)
    for answer in ("no", "yes"):
        responses: Any = [{"interrupt_id": question, "response": answer, "namespace": []}]
        assert (await command(http, thread, "input.respond", responses=responses))["result"] == {}
    state = (await command(http, thread, "state.get", namespace=[]))["result"]
    assert state["values"]["plan"]["inputs"][0]["answer"] == "no"


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("run.start", {"assistant_id": TEMPLATE, "input": {"x": 1}}, "invalid_argument", "the thread is busy"),
    ("run.start", {"assistant_id": 7}, "invalid_argument", "params.assistant_id"),
    (
        "run.start",
        {"assistant_id": TEMPLATE, "input": REQUEST, "config": {"configurable": {"checkpoint_id": "x"}}},
        "invalid_argument",
        "earlier state",
    ),
    ("input.respond", {"interrupt_id": "nope", "response": 1}, "no_such_interrupt", "open questions: "),
    ("input.respond", {}, "invalid_argument", "expected interrupt_id and response"),
    ("input.respond", {"interrupt_id": "nope", "response": 1, "goto": "a"}, "not_supported", "goto"),
    ("input.inject", {"namespace": [], "message": {}}, "not_supported", "input.inject"),
    ("state.fork", {"checkpoint_id": "x"}, "not_supported", "earlier state"),
    ("state.get", {"namespace": ["agent"]}, "no_such_namespace", "['agent']"),
    ("subscription.subscribe", {"channels": []}, "not_supported", "stream/events"),
    ("run.stop", {}, "unknown_command", "expected one of run.start"),
]


async def test_refused_commands(http: httpx.AsyncClient, thread: str) -> None:
    """P-LGR-18: with a reason, in a response of the protocol."""
    answer = await command(http, thread, "run.start", assistant_id="nothing", input={})
    assert answer["message"].startswith("there is no template 'nothing'")
    await started(http, thread)
    for method, params, code, message in REFUSED:
        answer = await command(http, thread, method, **params)
        assert (answer["type"], answer.get("error")) == ("error", code), answer
        assert message in answer["message"], answer


@pytest.mark.parametrize("method", ["input.respond", "state.get", "agent.getTree"])
async def test_an_unknown_thread(http: httpx.AsyncClient, thread: str, method: str) -> None:
    """P-LGR-18"""
    answer = await command(http, thread, method, interrupt_id="q", response=1)
    assert (answer["error"], thread in answer["message"]) == ("no_such_run", True)


async def test_refused_requests(http: httpx.AsyncClient, thread: str) -> None:
    """P-LGR-18: with the request's status."""
    path = f"/langgraph/threads/{thread}"
    bodies: list[Any] = [{"method": "run.start"}, {"id": -1, "method": "x"}, []]
    for body in bodies:
        refused = await http.post(f"{path}/commands", json=body)
        assert (refused.status_code, refused.json()["type"], refused.json()["id"]) == (422, "error", None)
    refused = await http.post(f"{path}/stream", json={"channels": [], "since": -1})
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_argument")
    assert refused.json()["message"].startswith("since: ")


async def test_rights(hub: HubServer) -> None:
    """P-LGR-18: they are those of the thread's plans, whether or not it exists."""
    async with httpx.AsyncClient(base_url=f"{hub.url}/langgraph/threads/mine") as http:
        stream: dict[str, Any] = {"channels": ["values"]}
        start = {"id": 1, "method": "run.start", "params": {"assistant_id": TEMPLATE, "input": REQUEST}}
        requests: list[tuple[str, Any, dict[str, list[str]] | None, int]] = [
            ("/stream/events", stream, None, 401),
            ("/stream/events", stream, {"other": ["read", "start"]}, 403),
            ("/commands", start, {"mine": ["read"]}, 403),
            ("/commands", start, {"mine": ["start"]}, 403),
        ]
        for path, body, rights, status in requests:
            headers = {} if rights is None else {"X-Api-Key": token(rights)}
            refused = await http.post(path, json=body, headers=headers)
            assert (refused.status_code, refused.json()["error"]) == (status, "permission_denied")
