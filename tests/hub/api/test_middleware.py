"""HEAD, CORS, default headers, and problems for unknown paths."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.hub.api.test_events import problem
from tests.hub.hubs import Said, say
from tests.servers.hub import HubServer

OURS, FOREIGN = "http://localhost:5173", "https://evil.example"


@pytest.mark.parametrize("rest", ["", "/events", "/stream", "/stream?since=start", "/log"])
async def test_head_returns_the_headers_of_get(client: httpx.AsyncClient, plan_id: str, rest: str) -> None:
    await say(client, plan_id, Said.message("a"))
    async with asyncio.timeout(10):
        response = await client.head(f"/api/plans/{plan_id}{rest}")
    assert (response.status_code, response.content) == (200, b"")
    async with client.stream("GET", f"/api/plans/{plan_id}{rest}") as whole:
        assert whole.headers["content-type"] == response.headers["content-type"]
        assert whole.headers.get("etag") == response.headers.get("etag")
    assert (await client.head("/api/plans/nobody-spoke-of-it")).status_code == 404
    assert (await client.head("/healthz")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_pages_of_this_machine_are_allowed_in_development(client: httpx.AsyncClient, method: str) -> None:
    asked = {"Origin": OURS, "Access-Control-Request-Method": method}
    asked["Access-Control-Request-Headers"] = "authorization, content-type, idempotency-key, last-event-id"
    preflight = await client.options("/api/plans/p/events", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == OURS
    assert method in preflight.headers["access-control-allow-methods"]
    response = await client.get("/api/plans", headers={"Origin": OURS})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == OURS
    assert "ETag" in response.headers["access-control-expose-headers"]


async def test_pages_of_other_sites_are_not_allowed(client: httpx.AsyncClient, plan_id: str) -> None:
    asked = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    preflight = await client.options("/api/plans/p/events", headers=asked)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    asked_for: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/plans", {}),
        ("GET", f"/api/plans/{plan_id}/stream", {}),
        ("POST", f"/api/plans/{plan_id}/events", {"json": Said.message("a")}),
    ]
    for method, path, more in asked_for:
        response = await client.request(method, path, headers={"Origin": FOREIGN}, **more)
        problem(response, 403, "forbidden")
        assert "access-control-allow-origin" not in response.headers
    assert (await client.get(f"/api/plans/{plan_id}/events")).json()["head"] == 0


async def test_a_foreign_host_name_is_refused_in_development(client: httpx.AsyncClient) -> None:
    """A site can point its own name at 127.0.0.1 (DNS rebinding); its requests then have no foreign origin."""
    problem(await client.get("/api/plans", headers={"Host": "evil.example:8000"}), 403, "forbidden")
    assert (await client.get("/api/plans", headers={"Host": "localhost:8000"})).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/plans", "/api/templates", "/api/log", "/api/nothing", "/openapi.json", "/metrics"]
)
async def test_responses_have_nosniff_and_no_store(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_response_may_set_its_own_cache_control(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, Said.message("a"))
    assert (await client.get(f"/api/plans/{plan_id}")).headers.get_list("cache-control") == ["private, no-cache"]
    assert (await client.get("/")).headers.get_list("cache-control") == ["no-cache"]
    assert (await client.get("/")).headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect"])
async def test_the_frameworks_pages_with_scripts_of_other_hosts_are_off(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404, "http_404")


async def test_an_unknown_path_is_a_problem_too(client: httpx.AsyncClient) -> None:
    problem(await client.get("/api/nothing"), 404, "http_404")
    wrong = await client.put("/api/plans/p")
    problem(wrong, 405, "http_405")
    assert (await client.options("/api/plans/p")).status_code == 405


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/plans", "GET, HEAD, POST"),
        ("/api/plans/p", "GET, HEAD, DELETE"),
        ("/api/plans/p/checkpoint", "GET, HEAD, PUT"),
        ("/api/tickets", "POST"),
    ],
)
async def test_405_lists_the_allowed_methods(client: httpx.AsyncClient, path: str, allowed: str) -> None:
    assert (await client.patch(path)).headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/api/plans/..", "/api/plans/%2e%2e/events", "/api//plans", "/api/plans/a%2Fb", "/api/plans/a/%00"]
)
async def test_odd_paths_do_no_harm(client: httpx.AsyncClient, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    response = await client.send(request)
    assert response.status_code in (200, 404, 422), response.text


@pytest.mark.parametrize("broken", [b"Content-Length: 9\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\nno number\r\n"])
async def test_an_incomplete_body_is_no_server_error(
    server: HubServer, client: httpx.AsyncClient, broken: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /api/plans/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + broken)
    writer.write_eof()
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    for _ in range(3):
        assert (await client.get("/healthz")).status_code == 200
    assert server.logged("error") == []


@pytest.mark.slow
async def test_a_slow_body_times_out(server: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /api/plans/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 100\r\n\r\n{")
    async with asyncio.timeout(40):
        status = await reader.readline()
    assert b" 408 " in status
    writer.close()
