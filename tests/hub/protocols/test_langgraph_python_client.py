"""LangGraph's Python client, `langgraph_sdk`, unmodified, against a real hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError

from tests.faults.credentials import token
from tests.hub.dialects.servers import asking_hub
from tests.hub.hubs import Said, say
from tests.hub.protocols.langgraph_client import LangGraphClient as Model
from tests.hub.protocols.langgraph_client import Received
from tests.hub.protocols.trimming import trim
from tests.servers.hub import HubServer

TEMPLATE = "business_operations"
REQUEST: dict[str, Any] = {"messages": [{"type": "human", "content": "Sales by region are uneven"}]}
MODES: list[Any] = ["values", "messages-tuple", "custom"]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with asking_hub() as hub:
        yield hub


@pytest.fixture
async def client(hub: HubServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=f"{hub.url}/langgraph", api_key=token()) as client:
        yield client


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    bearer = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=hub.url, timeout=60, headers=bearer) as http:
        yield http


@pytest.fixture
def thread() -> str:
    return f"thread-{uuid4().hex[:8]}"


async def received(parts: AsyncIterator[Any], model: Model | None = None) -> Model:
    model = model or Model()
    async for part in parts:
        model.take([Received(part.event, part.data, part.id)])
    return model


async def texts_of(client: LangGraphClient, thread: str) -> dict[str, str]:
    """What the thread's state has."""
    state: Any = await client.threads.get_state(thread)
    return {message["id"]: message["content"] for message in state["values"]["messages"]}


async def question_of(http: httpx.AsyncClient, thread: str) -> str:
    [asked] = (await http.get(f"/api/plans/{thread}")).json()["inputs"]
    return str(asked["request_id"])


async def test_a_thread_from_start_to_end(client: LangGraphClient, thread: str) -> None:
    """P-LGR-2, P-LGR-4, P-LGR-7, P-LGR-8: start, question, answer, end."""
    runs: list[Any] = []
    begun = client.runs.stream(thread, TEMPLATE, input=REQUEST, stream_mode=MODES, on_run_created=runs.append)
    model = await received(begun)
    [interrupt] = model.values["__interrupt__"]
    assert interrupt["value"]["kind"] == "approval"
    assert model.texts == await texts_of(client, thread)
    state: Any = await client.threads.get_state(thread)
    assert state["next"] == ["decision"]
    assert state["tasks"][0]["interrupts"][0]["id"] == interrupt["id"]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert (await client.runs.get(thread, runs[0]["run_id"]))["status"] == "interrupted"

    resumed = client.runs.stream(
        thread, TEMPLATE, command={"resume": "yes"}, stream_mode=MODES, on_run_created=runs.append
    )
    offsets = len(model.customs)
    await received(resumed, model)
    assert [event["offset"] for event in model.customs] == [*range(1, len(model.customs) + 1)]
    assert model.customs[offsets]["type"] == "input_response"
    assert model.texts == await texts_of(client, thread)
    assert model.values["plan"]["status"] == "completed"
    assert "__interrupt__" not in model.values
    assert (await client.threads.get(thread))["status"] == "idle"
    assert [run["run_id"] for run in await client.runs.list(thread)] == [run["run_id"] for run in reversed(runs)]
    assert {run["status"] for run in await client.runs.list(thread)} == {"success"}


async def test_a_second_message_is_the_next_plan_of_the_thread(client: LangGraphClient, thread: str) -> None:
    """P-LGR-2: its values have the messages of both."""
    values: Any = await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    assert values["__interrupt__"][0]["value"]["prompt"]
    values = await client.runs.wait(thread, TEMPLATE, command={"resume": {values["__interrupt__"][0]["id"]: "no"}})
    assert values["plan"]["status"] == "completed"
    again: Any = {"messages": [{"role": "user", "content": [{"type": "text", "text": "And returns by month?"}]}]}
    model = await received(client.runs.stream(thread, TEMPLATE, input=again, stream_mode=MODES))
    people = [message["content"] for message in model.values["messages"] if message["type"] == "human"]
    assert people == ["Sales by region are uneven", "And returns by month?"]
    assert model.texts == await texts_of(client, thread)
    history: Any = await client.threads.get_history(thread)
    assert [state["values"]["plan"]["plan_id"] for state in history] == [f"{thread}.2", thread]
    assert history[0]["parent_checkpoint"] == history[1]["checkpoint"]
    at: Any = await client.threads.get_state(thread, checkpoint_id=str(history[1]["checkpoint"]["checkpoint_id"]))
    assert at == history[1]
    values = await client.runs.wait(thread, TEMPLATE, command={"resume": {"decisions": [{"type": "approve"}]}})
    assert values["plan"]["inputs"][0]["answer"] == "yes"


async def test_a_reload_in_the_midst_and_a_second_client_beside_it(client: LangGraphClient, thread: str) -> None:
    """P-LGR-5: leaving does not cancel; a client resumes after any message, or begins again."""
    runs: list[Any] = []
    model, second = Model(), Model()
    stream = client.runs.stream(thread, TEMPLATE, input=REQUEST, stream_mode=MODES, on_run_created=runs.append)
    async for part in stream:
        model.take([Received(part.event, part.data, part.id)])
        if len(model.customs) == 12:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    run_id = runs[0]["run_id"]
    await received(client.runs.join_stream(thread, run_id, stream_mode=MODES, last_event_id=str(model.last)), model)
    await received(client.runs.join_stream(thread, run_id, stream_mode=MODES), second)
    for one in (model, second):
        assert [event["offset"] for event in one.customs] == [*range(1, len(one.customs) + 1)]
        assert one.texts == await texts_of(client, thread)
        assert one.values["__interrupt__"]


async def test_a_cut_within_a_long_text(client: LangGraphClient, http: httpx.AsyncClient, thread: str) -> None:
    """P-LGR-5: of which a client that is far behind would receive several parts as one."""
    texts = [f"{number} " for number in range(300)]
    parts = [Said.message(text, message_id="m", append=True) for text in texts]
    await say(http, thread, Said.update(status="in_progress"), *parts[:150])
    await say(http, thread, *parts[150:], Said.update(status="completed"))
    epoch = (await http.get(f"/api/plans/{thread}")).headers["etag"].strip('"').partition(":")[0]
    [run] = await client.runs.list(thread)
    model = Model(last=f"101-{epoch}", chunks={f"{thread}:2": "".join(texts[:100])})
    await received(client.runs.join_stream(thread, run["run_id"], stream_mode=MODES, last_event_id=model.last), model)
    assert [event["offset"] for event in model.customs] == [*range(102, 303)]
    assert model.chunks == {f"{thread}:2": "".join(texts)}


async def test_a_client_whose_position_was_trimmed(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    """P-LGR-5: it receives the message that it has a part of from its beginning again."""
    parts = [Said.message(text, message_id="m", append=True) for text in ("one", " two", " three")]
    await say(http, thread, Said.update(status="in_progress"), parts[0])
    epoch = (await http.get(f"/api/plans/{thread}")).headers["etag"].strip('"').partition(":")[0]
    model = Model(last=f"2-{epoch}", chunks={f"{thread}:2": "one"})
    await say(http, thread, parts[1])
    await trim(http, thread)
    await say(http, thread, parts[2], Said.update(status="completed"))
    [run] = await client.runs.list(thread)
    await received(client.runs.join_stream(thread, run["run_id"], stream_mode=MODES, last_event_id=model.last), model)
    assert model.texts == model.chunks == {f"{thread}:2": "one two three"}


async def test_a_question_answered_on_the_plan_page(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    """P-LGR-8: the answer given afterwards here is no error, and is followed by what followed."""
    model = await received(client.runs.stream(thread, TEMPLATE, input=REQUEST, stream_mode=MODES))
    question, asked = await question_of(http, thread), model.customs[-1]["offset"]
    answer = await http.post(f"/api/plans/{thread}/inputs/{question}", json={"answer": "no"})
    assert answer.status_code == 200
    await received(client.runs.stream(thread, TEMPLATE, command={"resume": "yes"}, stream_mode=MODES), model)
    assert [event["offset"] for event in model.customs] == [*range(1, len(model.customs) + 1)]
    assert model.values["plan"]["status"] == "completed"
    assert model.values["plan"]["inputs"][0]["answer"] == "no"
    assert model.texts == await texts_of(client, thread)
    seen: Any = {"checkpoint_id": f"{thread}:{asked}"}  # a page sends the state that it read last
    again = client.runs.stream(thread, TEMPLATE, command={"resume": "yes"}, checkpoint=seen, stream_mode=MODES)
    late = await received(again)
    assert late.values["plan"]["inputs"][0]["answer"] == "no"


async def test_an_answer_given_here_is_seen_on_the_plan_page(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    question = await question_of(http, thread)
    run = await client.runs.create(thread, TEMPLATE, command={"resume": {question: "yes"}})
    values: Any = await client.runs.join(thread, run["run_id"])
    plan = (await http.get(f"/api/plans/{thread}")).json()
    assert plan["inputs"][0]["answer"] == "yes"
    assert (values["plan"]["status"], plan["status"]) == ("completed", "completed")
    second = await http.post(f"/api/plans/{thread}/inputs/{question}", json={"answer": "no"})
    assert second.status_code == 409


async def test_cancel(client: LangGraphClient, thread: str) -> None:
    """P-LGR-9"""
    runs: list[Any] = []
    stream = client.runs.stream(thread, TEMPLATE, input=REQUEST, stream_mode=MODES, on_run_created=runs.append)
    model = Model()
    async for part in stream:
        model.take([Received(part.event, part.data, part.id)])
        if len(model.customs) == 8:
            await client.runs.cancel(thread, runs[0]["run_id"])
    assert (model.values["plan"]["status"], model.error) == ("cancelled", None)
    assert (await client.runs.get(thread, runs[0]["run_id"]))["status"] == "interrupted"
    assert (await client.threads.get(thread))["status"] == "idle"
    await client.runs.cancel(thread, runs[0]["run_id"], wait=True)


async def test_a_client_that_says_so_cancels_by_leaving(client: LangGraphClient, thread: str) -> None:
    """P-LGR-9"""
    stream = client.runs.stream(thread, TEMPLATE, input=REQUEST, stream_mode="custom", on_disconnect="cancel")
    async for part in stream:
        if part.event == "custom":
            break
    await stream.aclose()  # type: ignore[attr-defined]
    [run] = await client.runs.list(thread)
    values: Any = await client.runs.join(thread, run["run_id"])
    assert values["plan"]["status"] == "cancelled"


async def test_a_thread_without_an_id(client: LangGraphClient) -> None:
    runs: list[Any] = []
    model = await received(client.runs.stream(None, TEMPLATE, input=REQUEST, on_run_created=runs.append))
    assert model.values["__interrupt__"]
    assert (await client.threads.get(runs[0]["thread_id"]))["status"] == "interrupted"


async def test_fields_of_the_template_come_from_input_context_and_configuration(
    client: LangGraphClient, thread: str
) -> None:
    values: Any = await client.runs.wait(thread, TEMPLATE, input={"request": "Returns by month"})
    assert values["plan"]["title"] == "Returns by month"
    values = await client.runs.wait(
        thread, TEMPLATE, input={}, context={"request": "Sales"}, multitask_strategy="interrupt"
    )
    assert values["plan"]["title"] == "Sales"


async def test_threads_and_assistants_are_found(client: LangGraphClient, thread: str) -> None:
    """P-LGR-10"""
    created = await client.threads.create(thread_id=thread)
    assert (created["thread_id"], created["status"]) == (thread, "idle")
    empty: Any = await client.threads.get_state(thread)
    assert (empty["values"], empty["checkpoint"]) == ({}, None)
    assert await client.threads.get_history(thread) == []
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    [found] = await client.threads.search(metadata={"graph_id": TEMPLATE}, status="interrupted", limit=1)
    assert found["thread_id"] == thread
    [found] = await client.threads.search(ids=[thread])
    values: Any = found["values"]
    assert values["messages"][0]["content"] == "Sales by region are uneven"
    assert await client.threads.search(ids=[thread], status="busy") == []
    assistants = await client.assistants.search(graph_id=TEMPLATE)
    assert [one["assistant_id"] for one in assistants] == [TEMPLATE]
    assert (await client.assistants.get(TEMPLATE))["name"] == "Work on a business request"
    assert await client.assistants.count(graph_id=TEMPLATE) == 1
    assert await client.assistants.get_subgraphs(TEMPLATE) == {}
    assert [one["version"] for one in await client.assistants.get_versions(TEMPLATE)] == [1]
    schemas: Any = await client.assistants.get_schemas(TEMPLATE)
    assert "request" in schemas["input_schema"]["properties"]
    with pytest.raises(APIStatusError):
        await client.threads.create(thread_id=thread)
    assert (await client.threads.create(thread_id=thread, if_exists="do_nothing"))["status"] == "interrupted"


async def test_a_thread_is_deleted_with_its_plans(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    """P-LGR-11"""
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    await client.runs.wait(thread, TEMPLATE, command={"resume": "no"})
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    with pytest.raises(APIStatusError, match="has not ended; cancel it, then delete"):
        await client.threads.delete(thread)
    [run, *_] = await client.runs.list(thread)
    await client.runs.cancel(thread, run["run_id"], wait=True)
    await client.threads.delete(thread)
    for plan in (thread, f"{thread}.2"):
        assert (await http.get(f"/api/plans/{plan}")).status_code == 404
    with pytest.raises(APIStatusError, match="there is no thread"):
        await client.threads.delete(thread)


async def test_a_thread_has_the_metadata_of_its_plan(client: LangGraphClient, thread: str) -> None:
    """P-LGR-11"""
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    assert (await client.threads.update(thread, metadata={"graph_id": TEMPLATE}))["status"] == "interrupted"
    with pytest.raises(APIStatusError, match="stores none, so title can't be set"):
        await client.threads.update(thread, metadata={"title": "Sales"})
    with pytest.raises(APIStatusError, match="ttl: not supported"):
        await client.threads.update(thread, metadata={}, ttl=5)


async def test_going_to_the_end_cancels(client: LangGraphClient, thread: str) -> None:
    """P-LGR-8: as “Mark as resolved” does."""
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    values: Any = await client.runs.wait(thread, TEMPLATE, input={}, command={"goto": "__end__"})
    assert values["plan"]["status"] == "cancelled"
    model = await received(client.runs.stream(thread, TEMPLATE, command={"goto": "__end__"}))
    assert model.values["plan"]["status"] == "cancelled"


async def test_a_state_is_read_at_a_checkpoint_of_the_history(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    [state] = await client.threads.get_history(thread)
    assert await client.threads.get_state(thread, checkpoint=state["checkpoint"]) == state
    with pytest.raises(APIStatusError, match="no such checkpoint"):
        await client.threads.get_state(thread, checkpoint={**state["checkpoint"], "checkpoint_id": "x"})


async def test_what_the_client_can_call_and_the_hub_does_not_have(client: LangGraphClient, thread: str) -> None:
    """P-LGR-1: with the reason."""
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    [run] = await client.runs.list(thread)
    calls: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("can't be copied", lambda: client.threads.copy(thread)),
        ("can't be set", lambda: client.threads.update_state(thread, {})),
        ("can't be deleted alone", lambda: client.runs.delete(thread, run["run_id"])),
        ("one thread or run at a time", lambda: client.threads.prune([thread])),
        ("one thread or run at a time", lambda: client.runs.cancel_many(thread_id=thread, run_ids=[run["run_id"]])),
        ("templates, which can't be changed", lambda: client.assistants.create(TEMPLATE)),
        ("templates, which can't be changed", lambda: client.assistants.delete(TEMPLATE)),
        ("have no graph", lambda: client.assistants.get_graph(TEMPLATE)),
        ("has no crons", lambda: client.crons.search()),
        ("has no store", lambda: client.store.get_item(["a"], "b")),
    ]
    for reason, call in calls:
        with pytest.raises(APIStatusError, match=reason) as refused:
            await call()
        assert refused.value.status_code == 404


@pytest.mark.parametrize(
    ("status", "text", "fields"),
    [
        (404, "there is no template", {"assistant_id": "nothing", "input": REQUEST}),
        (404, "begin it with input", {"assistant_id": TEMPLATE, "command": {"resume": 1}}),
        (422, "only resume", {"assistant_id": TEMPLATE, "command": {"goto": "x"}}),
        (422, "webhook", {"assistant_id": TEMPLATE, "input": REQUEST, "webhook": "https://example.org"}),
        (422, "earlier state", {"assistant_id": TEMPLATE, "input": REQUEST, "checkpoint_id": "x"}),
        (422, "assistant_id", {"input": REQUEST}),
        (422, "stream_mode", {"assistant_id": TEMPLATE, "input": REQUEST, "stream_mode": 5}),
    ],
)
async def test_what_is_refused(
    http: httpx.AsyncClient, thread: str, status: int, text: str, fields: dict[str, Any]
) -> None:
    """P-LGR-1: with a reason in the protocol's own shape."""
    response = await http.post(f"/langgraph/threads/{thread}/runs/stream", json=fields)
    assert response.status_code == status, response.text
    assert text in response.json()["detail"]


async def test_what_does_not_exist(client: LangGraphClient, http: httpx.AsyncClient, thread: str) -> None:
    for path in (f"threads/{thread}", f"threads/{thread}/runs/x", f"threads/{thread}/runs/x/stream", "store/items"):
        response = await http.get(f"/langgraph/{path}")
        assert (response.status_code, list(response.json())) == (404, ["detail"])
    with pytest.raises(APIStatusError, match="has no run"):
        await received(client.runs.join_stream(thread, "x"))
    assert (await http.get("/langgraph/info")).json()["flags"]["assistants"] is True


async def test_a_busy_thread_takes_no_further_message(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, TEMPLATE, input=REQUEST)
    with pytest.raises(APIStatusError, match="is busy"):
        await client.runs.create(thread, TEMPLATE, input=REQUEST)
    with pytest.raises(APIStatusError, match="no-such"):
        await client.runs.create(thread, "no-such", input=REQUEST, multitask_strategy="interrupt")
    values: Any = await client.runs.wait(thread, TEMPLATE, command={"resume": "yes"})
    assert values["plan"]["status"] == "completed", "nothing was cancelled"


async def test_rights(hub: HubServer) -> None:
    """P-LGR-3: the key is a token; it gives rights to threads whether or not they exist."""
    rights = {"mine*": ["start", "read", "input", "signal"], "seen*": ["read"]}
    url = f"{hub.url}/langgraph"
    async with get_client(url=url, api_key=token(rights)) as client, get_client(url=url, api_key=None) as stranger:
        values: Any = await client.runs.wait("mine", TEMPLATE, input=REQUEST)
        assert values["__interrupt__"]
        assert [thread["thread_id"] for thread in await client.threads.search()] == ["mine"]
        for thread, right in (("other", "read"), ("seen", "start")):
            with pytest.raises(APIStatusError, match=f"gives no right to {right}"):
                await client.runs.create(thread, TEMPLATE, input=REQUEST)
        with pytest.raises(APIStatusError, match="gives no right to read"):
            await client.threads.get("other")
        with pytest.raises(APIStatusError, match="there is no thread"):
            await client.threads.get("seen")
        with pytest.raises(APIStatusError, match="gives no right to publish"):
            await client.threads.delete("mine")
        with pytest.raises(APIStatusError, match="a token is required"):
            await stranger.threads.get("mine")
