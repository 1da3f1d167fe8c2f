"""The business template on `/ws/streaming`, watched by front ends written to the seed's format."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.faults.legacy_client import LegacyClient
from tests.servers.hub import HubServer

STEPS = ["brief", "figures", "customers", "proposal", "decision", "follow_up"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(f"sqlite:///{tmp_path_factory.mktemp('plans')}/plans.db", engine="embedded", pace=0.1) as hub:
        yield hub
        assert hub.logged("error") == []


@pytest.fixture
async def http(hub: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as client:
        yield client


@pytest.fixture
def plan() -> str:
    return f"plan-{uuid4().hex[:8]}"


async def front_end(hub: HubServer, plan: str) -> LegacyClient:
    client = LegacyClient(hub.ws)
    await client.connect()
    client.subscribe(plan)
    await client.until_other("subscription_confirmed", 1)
    return client


async def until_status(client: LegacyClient, kind: str, status: str, step: str | None = None) -> None:
    await client.until_true(
        lambda: any(k == kind and d["status"] == status and d.get("step_id") == step for k, d in statuses(client))
    )


def statuses(client: LegacyClient) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, data) for kind, data in client.events if kind != "agent_message"]


async def start(http: httpx.AsyncClient, plan: str) -> None:
    asked = {"template": "business_operations", "input": {"request": "Sales by region are uneven"}, "plan_id": plan}
    assert (await http.post("/api/plans", json=asked)).status_code == 202


async def approve(http: httpx.AsyncClient, plan: str) -> None:
    [asked] = (await http.get(f"/api/plans/{plan}")).json()["inputs"]
    address = f"/api/plans/{plan}/inputs/{asked['request_id']}"
    assert (await http.post(address, json={})).status_code == 422, "no answer isn't the answer null"
    answer = await http.post(address, json={"answer": "yes"})
    assert answer.status_code == 200, answer.text


async def test_front_ends_of_the_seed_see_a_real_plan_through(
    hub: HubServer, http: httpx.AsyncClient, plan: str
) -> None:
    """One tab from the beginning, one that loses its connection in the middle, and one that connects late."""
    first, cut = await front_end(hub, plan), await front_end(hub, plan)
    await start(http, plan)
    await until_status(cut, "step_update", "completed", "brief")
    cut.cut()
    await cut.until_other("subscription_confirmed", 3)  # the service's, and the page's
    await until_status(first, "step_update", "waiting", "decision")
    late = await front_end(hub, plan)
    await approve(http, plan)
    clients = (first, cut, late)
    for client in clients:
        await until_status(client, "plan_update", "completed")
        await client.close()
    assert [client.problems for client in clients] == [[], [], []]

    ended = [
        data["step_id"] for kind, data in statuses(first) if kind == "step_update" and data["status"] == "completed"
    ]
    assert sorted(ended) == sorted(STEPS)
    assert {data["agent_name"] for kind, data in first.events if kind == "agent_message"} >= {
        "Data Analyst",
        "Business Advisor",
    }
    assert {"tool_call", "artifact", "input_request", "input_response"} <= {*first.ignored}
    for client in (cut, late):  # it received each event once, and the same as the others
        told = [(kind, data["timestamp"], data.get("content")) for kind, data in client.events]
        everything = [(kind, data["timestamp"], data.get("content")) for kind, data in first.events]
        rest = iter(everything)
        assert all(one in rest for one in told)
        assert told[-1] == everything[-1]
