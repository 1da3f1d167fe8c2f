"""C-SIG-3, C-WRK-1, C-WRK-2: a program without an engine works on a plan: a real hub, and a process that is killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from broadcasters import Broadcaster
from tests.hub.protocols.mcp_clients import connect
from tests.servers.hub import HubServer

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('workers') / 'plans.db'}"


@pytest.fixture(scope="module")
def hub(url: str) -> Iterator[HubServer]:
    with HubServer(url) as hub:
        yield hub


@pytest_asyncio.fixture
async def client(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture
def start(url: str) -> Iterator[Callable[[str, float], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(plan_id: str, lease: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.hub.answers.plan_worker_agent", url, plan_id, str(lease)]
        started.append(subprocess.Popen(command, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


async def events_until(
    client: httpx.AsyncClient, plan_id: str, done: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """The plan's events, as the stream has them, up to one of which this is true."""
    events: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        client.stream("GET", f"/api/plans/{plan_id}/stream?since=start") as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: ") and "offset" in (event := json.loads(line[6:])) and "data" in event:
                events.append(event)
                if done(event):
                    return events
    raise AssertionError(f"the stream ended after {events}")


def step_is(status: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["type"] == "step_update" and event["data"]["status"] == status


async def signal(client: httpx.AsyncClient, plan_id: str, name: str) -> httpx.Response:
    return await client.post(f"/api/plans/{plan_id}/signals", json={"signal": name})


async def test_a_cancel_reaches_the_agent_and_the_plan_reports_each_stage(
    client: httpx.AsyncClient, start: Callable[[str, float], subprocess.Popen[bytes]]
) -> None:
    agent = start("cancelled", 30)
    await events_until(client, "cancelled", step_is("in_progress"))
    worker = (await client.get("/api/plans/cancelled")).json()["worker"]
    assert (worker["name"], worker["obeys"]) == ("Mailer", ["cancel", "pause"])
    assert (await signal(client, "cancelled", "resume")).status_code == 409
    assert (await signal(client, "cancelled", "cancel")).json() == {"plan_id": "cancelled", "signal": "cancel"}
    events = await events_until(client, "cancelled", lambda event: event["data"].get("state") == "released")
    stages = [event["data"]["data"]["state"] for event in events if "signal" in event["data"].get("data", {})]
    assert stages == ["requested", "acknowledged", "stopped"]
    assert await asyncio.to_thread(agent.wait, DEADLINE_S) == 0
    plan = (await client.get("/api/plans/cancelled")).json()
    assert (plan["status"], plan["worker"]["state"], plan["steps"][0]["status"]) == (
        "cancelled",
        "released",
        "cancelled",
    )
    assert (await signal(client, "cancelled", "cancel")).status_code == 409


async def test_a_plan_on_which_nothing_works_takes_no_signals(client: httpx.AsyncClient, url: str) -> None:
    async with Broadcaster(url) as b:
        await b.send_plan_update("nobody")
    refused = await signal(client, "nobody", "cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_supported")
    assert (await signal(client, "unknown", "cancel")).status_code == 409
    assert (await client.get("/api/plans/unknown")).status_code == 404


async def test_each_protocol_says_that_nothing_can_be_cancelled(
    hub: HubServer, client: httpx.AsyncClient, url: str
) -> None:
    async with Broadcaster(url) as b:
        await b.send_plan_update("unheard", status="in_progress")
    stopped = (await client.post("/ag-ui/agent/any/stop/unheard")).json()
    assert stopped["stopped"] is False
    assert "nothing that can be stopped works on the plan 'unheard'" in stopped["reason"]
    ai_sdk = await client.post("/ai-sdk/any/unheard/stop")
    assert (ai_sdk.status_code, "nothing that can be stopped" in ai_sdk.text) == (409, True)
    (run,) = (await client.get("/langgraph/threads/unheard/runs")).json()
    langgraph = await client.post(f"/langgraph/threads/unheard/runs/{run['run_id']}/cancel")
    assert (langgraph.status_code, "nothing that can be stopped" in langgraph.json()["detail"]) == (409, True)
    async with connect(hub.url, "modern") as mcp:
        result = await mcp.call_tool("cancel_plan", {"plan_id": "unheard"})
        assert result.is_error
    assert (await client.get("/api/plans/unheard")).json()["status"] == "in_progress"


async def test_an_agent_that_is_killed_is_shown_as_stalled(
    client: httpx.AsyncClient, start: Callable[[str, float], subprocess.Popen[bytes]]
) -> None:
    agent = start("killed", 1.5)
    await events_until(client, "killed", step_is("in_progress"))
    watching = asyncio.create_task(events_until(client, "killed", step_is("stalled")))
    agent.kill()
    events = await watching
    assert [event["data"]["state"] for event in events if event["type"] == "worker_update"][-1] == "lost"
    assert events[-1]["data"]["content"].startswith("Mailer has sent no sign of life since 20")
    assert (await signal(client, "killed", "cancel")).status_code == 409
    start("killed", 30)
    await events_until(
        client, "killed", lambda event: step_is("in_progress")(event) and event["offset"] > events[-1]["offset"]
    )
    plan = (await client.get("/api/plans/killed")).json()
    assert (plan["worker"]["state"], plan["steps"][0]["status"]) == ("begun", "in_progress")


async def test_a_plan_that_no_client_follows_is_reported_when_it_is_requested(
    client: httpx.AsyncClient, url: str, start: Callable[[str, float], subprocess.Popen[bytes]]
) -> None:
    agent = start("unwatched", 0.5)
    async with asyncio.timeout(DEADLINE_S):
        while (await client.get("/api/plans/unwatched")).status_code == 404:
            await asyncio.sleep(0.05)
        agent.kill()
        while (await client.get("/api/plans/unwatched")).json()["worker"]["state"] != "lost":
            await asyncio.sleep(0.1)
