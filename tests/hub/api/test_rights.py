"""H-GEN-1, H-GEN-3, H-TKT-1: authentication and rights on every route."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.hub.api.test_events import problem
from tests.hub.hubs import Said
from tests.hub.tokens import SECRET, token
from tests.servers.hub import HubServer

FAR = 4_000_000_000
CLOCKS_DIFFER_S = 5
"""The hub's leeway for the expiry of tokens."""
SAID: dict[str, Any] = {"json": Said.message("hello")}
PLANS: dict[str, Any] = {"json": {"plans": ["plan-1"]}}
LINES: dict[str, Any] = {"content": b'{"epoch":"e","offset":1,"window":0,"count":1}\n{}\n'}

ROUTES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("read", "GET", "/api/plans/plan-1", {}),
    ("read", "GET", "/api/plans/plan-1/events", {}),
    ("read", "GET", "/api/plans/plan-1/export", {}),
    ("read", "GET", "/api/plans/plan-1/events?wait=0.01", {}),
    ("read", "GET", "/api/plans/plan-1/stream", {}),
    ("read", "GET", "/api/stream?plan=plan-1", {}),
    ("read", "GET", "/api/plans/plan-1/log", {}),
    ("read", "GET", "/api/plans/plan-1/checkpoint", {}),
    ("read", "POST", "/api/heads", PLANS),
    ("read", "POST", "/api/tail", PLANS),
    ("publish", "POST", "/api/plans/plan-1/events", SAID),
    ("publish", "PUT", "/api/plans/plan-1/checkpoint", LINES),
    ("publish", "DELETE", "/api/plans/plan-1", {}),
    ("input", "POST", "/api/plans/plan-1/inputs/x", {"json": {"answer": 1}}),
    ("signal", "POST", "/api/plans/plan-1/signals", {"json": {"signal": "cancel"}}),
    ("start", "POST", "/api/plans", {"json": {"template": "trip", "plan_id": "plan-1"}}),
]
OPEN_TO_ALL: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/api/plans", {}),
    ("GET", "/api/templates", {}),
    ("GET", "/api/log", {}),
    ("POST", "/api/tickets", {}),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub with authentication."""
    directory: Path = tmp_path_factory.mktemp("guarded")
    origins = "https://page.example"
    with HubServer(f"sqlite:///{directory / 'plans.db'}", auth_secret=SECRET, origins=origins) as hub:
        yield hub


@pytest_asyncio.fixture
async def asking(guarded: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=guarded.url, timeout=30) as client:
        yield client


def bearer(plans: dict[str, list[str]], **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token({'sub': 'ada', 'exp': FAR, 'plans': plans, **claims})}"}


@pytest.mark.parametrize(("verb", "method", "path", "more"), ROUTES)
async def test_a_route_requires_its_verb_and_no_other(
    asking: httpx.AsyncClient, verb: str, method: str, path: str, more: dict[str, Any]
) -> None:
    others = [one for one in ("read", "input", "signal", "publish", "start") if one != verb]
    for plans in ({}, {"plan-1": others}, {"plan-2": [verb]}, {"plan-10*": [verb]}):
        said = problem(await asking.request(method, path, headers=bearer(plans), **more), 403, "forbidden")
        assert "plan-1" not in said["detail"]
    for plans in ({"plan-1": [verb]}, {"plan-*": [verb]}, {"*": [verb]}):
        async with asking.stream(method, path, headers=bearer(plans), **more) as response:
            assert response.status_code not in (401, 403)
            assert response.status_code < 500


@pytest.mark.parametrize(("method", "path", "more"), [route[1:] for route in ROUTES] + OPEN_TO_ALL)
async def test_every_route_requires_authentication(
    asking: httpx.AsyncClient, method: str, path: str, more: dict[str, Any]
) -> None:
    for headers, code in (
        ({}, "unauthenticated"),
        ({"Authorization": "Basic YWRhOmxvdmVsYWNl"}, "invalid_token"),
        ({"Authorization": "Bearer nonsense"}, "invalid_token"),
    ):
        response = await asking.request(method, path, headers=headers, **more)
        problem(response, 401, code)
        assert response.headers["www-authenticate"] == "Bearer"
    past = await asking.request(method, path, headers=bearer({"*": ["read"]}, exp=time.time() - 60), **more)
    problem(past, 401, "token_expired")


async def test_refusals_are_counted_and_logged_with_their_reason(tmp_path: Path) -> None:
    async with (
        HubServer(f"sqlite:///{tmp_path / 'plans.db'}", auth_secret=SECRET) as hub,
        httpx.AsyncClient(base_url=hub.url, timeout=30) as client,
    ):
        ticket = (await client.post("/api/tickets", headers=bearer({"*": ["read"]}))).json()["ticket"]
        for headers in (
            {},
            bearer({}, aud="others.test"),
            bearer({}, exp=1),
            {**bearer({}), "Origin": "https://evil.example"},
        ):
            assert (await client.get("/api/plans", headers=headers)).status_code in (401, 403)
        for status in (200, 401):
            assert (await client.get("/api/plans", params={"ticket": ticket})).status_code == status
        for code, times in {"unauthenticated": 1, "invalid_token": 1, "token_expired": 2, "origin": 1}.items():
            assert hub.metric("plancast_auth_failures_total", reason=code) == times
        assert [line["message"] for line in hub.logged("warning")] == [
            "a client was refused: the token is for another audience",
            "a client was refused: a ticket was used twice",
        ]


async def answered_until_it_expires(
    ask: Callable[[dict[str, str]], Awaitable[httpx.Response]], plans: dict[str, list[str]]
) -> tuple[httpx.Response, dict[str, str]]:
    """What a token got that was valid when it was shown, and expired then: after a second, or after longer where this
    machine was too busy to show it within that. And the token."""
    for seconds in (1, 2, 4, 8, 16):
        token = bearer(plans, exp=time.time() + seconds - CLOCKS_DIFFER_S)
        async with asyncio.timeout(60):
            response = await ask(token)
        if response.status_code != 401:
            return response, token
    raise AssertionError("every token had expired before the hub saw it")


async def test_a_tail_ends_when_its_token_expires(asking: httpx.AsyncClient) -> None:
    """H-LOG-4: an agent with a new token continues."""
    ended, expired = await answered_until_it_expires(
        lambda token: asking.post("/api/tail", headers=token, **PLANS), {"plan-1": ["read"]}
    )
    assert ended.status_code == 200
    problem(await asking.post("/api/tail", headers=expired, **PLANS), 401, "token_expired")


async def test_a_poll_ends_when_its_token_expires(asking: httpx.AsyncClient) -> None:
    nothing, expired = await answered_until_it_expires(
        lambda token: asking.get("/api/plans/nothing-yet/events?wait=30", headers=token), {"nothing-yet": ["read"]}
    )
    assert nothing.json()["events"] == []
    problem(await asking.get("/api/plans/nothing-yet/events", headers=expired), 401, "token_expired")


async def test_a_list_shows_only_what_may_be_read(asking: httpx.AsyncClient) -> None:
    everything = bearer({"*": ["read", "publish"]})
    for plan_id in ("secret-1", "open-1", "secret-2", "open-2", "secret-3"):
        response = await asking.post(f"/api/plans/{plan_id}/events", headers=everything, **SAID)
        assert response.status_code == 201
    mine = bearer({"open-*": ["read"]})
    for limit in (1, 2, 50):
        found: list[str] = []
        cursor = None
        while True:
            params = {"limit": limit, **({"cursor": cursor} if cursor else {})}
            page = (await asking.get("/api/plans", headers=mine, params=params)).json()
            found += [plan["plan_id"] for plan in page["plans"]]
            if (cursor := page["cursor"]) is None:
                break
        assert found == ["open-2", "open-1"]


@pytest.mark.parametrize("path", ["/api/plans/plan-1/stream", "/api/plans/plan-1/events?wait=0.01", "/api/plans"])
async def test_a_ticket_stands_for_its_owner_once(asking: httpx.AsyncClient, path: str) -> None:
    issued = await asking.post("/api/tickets", headers=bearer({"plan-1": ["read"]}))
    assert issued.status_code == 201
    ticket = issued.json()["ticket"]
    address = f"{path}{'&' if '?' in path else '?'}ticket={ticket}"
    async with asking.stream("GET", address) as response:
        assert response.status_code == 200
    problem(await asking.get(address), 401, "token_expired")
    again = (await asking.post("/api/tickets", headers=bearer({"plan-1": ["read"]}))).json()["ticket"]
    problem(await asking.get(f"/api/plans/plan-2/events?ticket={again}"), 403, "forbidden")
    problem(await asking.get("/api/plans?ticket=pct_x.y"), 401, "invalid_token")


async def test_a_ticket_issues_no_other_ticket(asking: httpx.AsyncClient) -> None:
    """H-TKT-2: a token is required; the attempt does not use up the ticket."""
    mine = bearer({"plan-1": ["read"]})
    ticket = (await asking.post("/api/tickets", headers=mine)).json()["ticket"]
    for _ in range(2):
        refused = await asking.post("/api/tickets", params={"ticket": ticket})
        problem(refused, 401, "unauthenticated")
    assert (await asking.post("/api/tickets", params={"ticket": ticket}, headers=mine)).status_code == 201
    assert (await asking.get("/api/plans", params={"ticket": ticket})).status_code == 200


async def test_grants_too_large_for_a_ticket_are_reported(asking: httpx.AsyncClient) -> None:
    wide = {f"a-rather-long-plan-id-{i:04}*": ["read"] for i in range(120)}
    problem(await asking.post("/api/tickets", headers=bearer(wide)), 422, "ticket_too_large")


async def test_only_pages_of_listed_origins_are_allowed(asking: httpx.AsyncClient) -> None:
    mine = bearer({"plan-1": ["read"]})
    listed = await asking.get("/api/plans", headers={**mine, "Origin": "https://page.example"})
    assert listed.headers["access-control-allow-origin"] == "https://page.example"
    for origin in ("https://evil.example", "http://localhost:5173", "null", "https://page.example.evil.example"):
        response = await asking.get("/api/plans", headers={**mine, "Origin": origin})
        problem(response, 403, "forbidden")
        assert "access-control-allow-origin" not in response.headers


async def test_a_stream_whose_token_expires_is_closed(asking: httpx.AsyncClient, guarded: HubServer) -> None:
    response, _ = await answered_until_it_expires(
        lambda token: asking.get("/api/plans/plan-1/stream", headers=token), {"plan-1": ["read"]}
    )
    assert response.status_code == 200
    assert '"code":"token_expired"' in response.text
    assert 'event: close\ndata: {"code":4440' in response.text
