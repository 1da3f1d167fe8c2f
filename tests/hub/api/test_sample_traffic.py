"""H-TST-1: sample traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hub.api.test_events import problem
from tests.servers.hub import HubServer


async def test_sample_traffic_is_a_complete_plan(client: httpx.AsyncClient, plan_id: str) -> None:
    response = await client.post(f"/api/test/streaming/{plan_id}?speed=1000")
    assert response.status_code == 200
    assert response.json()["status"] == "success"
    assert plan_id in response.json()["message"]
    events = (await client.get(f"/api/plans/{plan_id}/events")).json()["events"]
    assert {event["type"] for event in events} == {"step_update", "agent_message", "plan_update"}
    assert events[-1]["data"]["status"] == "completed"
    assert (await client.get(f"/api/plans/{plan_id}")).json()["progress"] == 100


@pytest.mark.parametrize("speed", ["0", "0.09", "1001", "fast", "nan", "inf"])
async def test_the_speed_is_validated(client: httpx.AsyncClient, plan_id: str, speed: str) -> None:
    response = await client.post(f"/api/test/streaming/{plan_id}?speed={speed}")
    assert problem(response, 422, "invalid_field")["field"] == "speed"


@pytest.fixture
def quiet_hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", test_endpoint="no") as hub:
        yield hub


def test_sample_traffic_exists_only_where_it_is_enabled(quiet_hub: HubServer) -> None:
    with httpx.Client(base_url=quiet_hub.url) as asking:
        problem(asking.post("/api/test/streaming/plan-1?speed=1000"), 404, "http_404")
        assert "/api/test/streaming/{plan_id}" not in asking.get("/openapi.json").json()["paths"]
