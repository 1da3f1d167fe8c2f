"""H-PLN-3, H-PLN-4, H-PLN-7: starting and signalling plans, with an engine, one that refuses, and none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from broadcasters.supervision import Part
from hub.app import create_app
from hub.config.settings import load
from hub.engine_port import (
    BrokenTemplate,
    EngineStatistics,
    EngineUnreachable,
    InputRejected,
    PlanNotRunning,
    SignalName,
    TemplateInfo,
    TemplateNotFound,
)
from hub.node import Hub
from tests.hub.api.test_events import problem


class Engine:
    """An engine with one template that records its calls."""

    def __init__(self) -> None:
        self.started: list[tuple[str, dict[str, Any], str, str | None]] = []
        self.signals: list[tuple[str, str, str]] = []
        self.away = False

    @property
    def parts(self) -> Mapping[str, Part]:
        return {}

    def statistics(self) -> EngineStatistics:
        return EngineStatistics()

    def templates(self) -> Sequence[TemplateInfo]:
        return [TemplateInfo("trip", "A trip", "Plans a trip.", {"type": "object"})]

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None) -> bool:
        if self.away:
            raise EngineUnreachable("the engine's database can't be reached")
        if template != "trip":
            raise TemplateNotFound(f"no template is called {template!r}; there is trip")
        if "where" not in given:
            raise InputRejected("where: is missing")
        if not isinstance(given["where"], str):
            raise BrokenTemplate("template 'trip' is at fault: where is a text")
        self.started.append((template, dict(given), plan_id, owner))
        return True

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        if self.away:
            raise EngineUnreachable("the engine's database can't be reached")
        if plan_id not in [started[2] for started in self.started]:
            raise PlanNotRunning("nobody runs this plan")
        self.signals.append((plan_id, signal, by))


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest_asyncio.fixture
async def asking(tmp_path: Path, engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a hub with that engine, without a network."""
    async with Hub(load({"PLANCAST_LOG": f"sqlite:///{tmp_path / 'plans.db'}"}), engine=engine) as hub:
        transport = httpx.ASGITransport(create_app(hub))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def test_a_plan_is_started_with_the_given_input(asking: httpx.AsyncClient, engine: Engine) -> None:
    body = {"template": "trip", "input": {"where": "Rome", "days": [1, None]}, "plan_id": "plan-1"}
    response = await asking.post("/api/plans", json=body)
    assert (response.status_code, response.json()["plan_id"]) == (202, "plan-1")
    assert response.json()["url"].endswith("/api/plans/plan-1")
    assert engine.started == [("trip", {"where": "Rome", "days": [1, None]}, "plan-1", "development")]


async def test_a_plan_without_an_id_gets_one(asking: httpx.AsyncClient, engine: Engine) -> None:
    body = {"template": "trip", "input": {"where": "Rome"}}
    names = [(await asking.post("/api/plans", json=body)).json()["plan_id"] for _ in range(2)]
    assert [started[2] for started in engine.started] == names
    assert len(set(names)) == 2


async def test_a_plan_that_can_not_be_started_is_refused_with_a_reason(
    asking: httpx.AsyncClient, engine: Engine
) -> None:
    unknown = await asking.post("/api/plans", json={"template": "gossip", "input": {}})
    assert "trip" in problem(unknown, 404, "unknown_template")["detail"]
    unfit = problem(await asking.post("/api/plans", json={"template": "trip"}), 422, "invalid_field")
    assert (unfit["field"], unfit["detail"]) == ("input", "where: is missing")
    broken = await asking.post("/api/plans", json={"template": "trip", "input": {"where": 5}})
    assert "where is a text" in problem(broken, 500, "broken_template")["detail"]
    for body, field in (
        ({}, "template"),
        ({"template": "trip", "plan_id": "a b"}, "plan_id"),
        ({"template": 1}, "template"),
    ):
        assert problem(await asking.post("/api/plans", json=body), 422, "invalid_field")["field"] == field
    assert engine.started == []


async def test_a_signal_reaches_the_engine(asking: httpx.AsyncClient, engine: Engine) -> None:
    await asking.post("/api/plans", json={"template": "trip", "input": {"where": "Rome"}, "plan_id": "plan-1"})
    response = await asking.post("/api/plans/plan-1/signals", json={"signal": "cancel"})
    assert (response.status_code, response.json()) == (202, {"plan_id": "plan-1", "signal": "cancel"})
    assert engine.signals == [("plan-1", "cancel", "development")]
    other = await asking.post("/api/plans/plan-2/signals", json={"signal": "pause"})
    assert problem(other, 409, "not_supported")["detail"] == "nobody runs this plan"


async def test_an_unreachable_engine_is_reported_as_unavailable(asking: httpx.AsyncClient, engine: Engine) -> None:
    engine.away = True
    for path, body in (("/api/plans", {"template": "trip"}), ("/api/plans/plan-1/signals", {"signal": "cancel"})):
        refused = await asking.post(path, json=body)
        assert problem(refused, 503, "unavailable")["detail"] == "the engine's database can't be reached"
        assert "Retry-After" in refused.headers


async def test_templates_are_listed(asking: httpx.AsyncClient) -> None:
    [template] = (await asking.get("/api/templates")).json()
    expected = {"name": "trip", "title": "A trip", "about": "Plans a trip.", "input_schema": {"type": "object"}}
    assert template == expected


async def test_a_hub_without_an_engine_starts_nothing(tmp_path: Path) -> None:
    async with Hub(load({"PLANCAST_LOG": f"sqlite:///{tmp_path / 'plans.db'}"})) as hub:
        transport = httpx.ASGITransport(create_app(hub))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
            problem(await asking.post("/api/plans", json={"template": "trip"}), 409, "not_supported")
            assert (await asking.get("/api/templates")).json() == []
