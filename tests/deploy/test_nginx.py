"""deploy/nginx.conf: its limits match the hub's, and clients behind it miss no event."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import hub.app  # noqa: F401 - imports all kinds of routes
from broadcasters.log.http.lines import TAIL_BEAT_S
from hub.access.auth import MAX_TOKEN_BYTES
from hub.api.route import BODY_S, ApiRoute
from hub.config.limits import MIB
from hub.process.serving import IDLE_S
from hub.transports.admission import HEARTBEAT_SECONDS
from hub.transports.native import SILENCE_SECONDS
from hub.transports.sse import KEEP_ALIVE_SECONDS
from tests.broadcasters.log import conftest
from tests.hub.event_source import EventSource
from tests.hub.hubs import Said, say
from tests.hub.tokens import SECRET, token
from tests.servers.hub import HubServer
from tests.servers.nginx import NginxServer

DEPLOY = Path(__file__).parents[2] / "deploy"
certificate = conftest.certificate


# --- nginx's limits


def directive(name: str) -> str:
    [value] = re.findall(rf"^ *{name} +(.+?);", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    return str(value)


def kinds_of_routes(kind: type[ApiRoute]) -> list[type[ApiRoute]]:
    return [kind, *(each for one in kind.__subclasses__() for each in kinds_of_routes(one))]


def test_nginx_accepts_bodies_as_large_and_waits_longer_than_the_hub() -> None:
    routes = kinds_of_routes(ApiRoute)
    assert directive("client_max_body_size") == f"{max(route.body_bytes for route in routes) // MIB}m"
    silences = [HEARTBEAT_SECONDS + SILENCE_SECONDS, KEEP_ALIVE_SECONDS, TAIL_BEAT_S]
    longest = max(*silences, *(route.seconds + BODY_S for route in routes))
    assert int(directive("proxy_read_timeout").removesuffix("s")) > longest
    assert int(directive("keepalive_timeout").removesuffix("s")) < IDLE_S


# --- behind nginx


def authorization(plans: str = "*", **more: Any) -> dict[str, str]:
    claims = {"sub": "ada", "exp": int(time.time()) + 600, "plans": {plans: ["read", "publish"]}, **more}
    return {"Authorization": f"Bearer {token(claims)}"}


def client_of(nginx: NginxServer, address: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
    """An HTTP client that connects from this address."""
    transport = httpx.AsyncHTTPTransport(verify=nginx.tls, local_address=address)
    return httpx.AsyncClient(base_url=nginx.url, transport=transport, headers=authorization() | headers, timeout=30)


def socket_of(nginx: NginxServer, address: str = "127.0.0.1", **more: Any) -> connect:
    more = {"additional_headers": authorization(), **more}
    return connect(nginx.ws, ssl=nginx.tls, proxy=None, local_addr=(address, 0), **more)


async def receive(socket: ClientConnection, kind: str, deadline_s: float | None = 20) -> dict[str, Any]:
    async with asyncio.timeout(deadline_s):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame["type"] == kind:
                return frame


async def until_line(lines: AsyncIterator[str], text: str) -> None:
    async with asyncio.timeout(20):
        async for line in lines:
            if text in line:
                return
    raise AssertionError(f"the stream ended without {text!r}")


def hub_on(tmp_path: Path, **settings: Any) -> HubServer:
    return HubServer(f"sqlite:///{tmp_path / 'plans.db'}", auth_secret=SECRET, **settings)


@pytest.mark.slow
async def test_events_arrive_at_once_over_every_transport(tmp_path: Path, certificate: Path) -> None:
    """Each event arrives on all of them before the next is published: nginx buffers nothing."""
    with hub_on(tmp_path) as hub, NginxServer([hub.port], certificate) as nginx:
        async with (
            client_of(nginx) as client,
            socket_of(nginx, origin=nginx.url) as socket,  # the origin of the hub's own page
            EventSource.open(client, "/api/plans/p/stream?since=start", headers={"Accept-Encoding": "gzip"}) as stream,
            client.stream("POST", "/api/tail", json={"plans": ["p"]}) as tail,
        ):
            await receive(socket, "connected")
            await socket.send('{"type": "subscribe_plan", "plan_id": "p"}')
            await receive(socket, "subscription_confirmed")
            await stream.until("subscription_confirmed")
            lines = tail.aiter_lines()
            query = {"after": 0, "wait": 25}
            for number in range(1, 4):
                poll = asyncio.create_task(client.get("/api/plans/p/events", params=query))
                await say(client, "p", Said.message(f"message {number}"))
                assert (await receive(socket, "agent_message"))["data"]["content"] == f"message {number}"
                assert (await stream.until("agent_message")).said["data"]["content"] == f"message {number}"
                await until_line(lines, f"message {number}")
                page = (await poll).json()
                assert [event["offset"] for event in page["events"]] == [number]
                query = {"after": page["offset"], "epoch": page["epoch"], "wait": 25}


@pytest.mark.slow
async def test_the_client_address_is_the_one_nginx_sees(tmp_path: Path, certificate: Path) -> None:
    forged = authorization() | {"X-Forwarded-For": "203.0.113.7"}
    with hub_on(tmp_path, max_connections_per_address=1) as hub, NginxServer([hub.port], certificate) as nginx:
        async with socket_of(nginx, "127.0.0.2") as one, socket_of(nginx, "127.0.0.3") as other:
            await receive(one, "connected")
            await receive(other, "connected")
            async with socket_of(nginx, "127.0.0.2", additional_headers=forged) as second:
                with pytest.raises(ConnectionClosed) as refused:
                    await receive(second, "connected")
                assert refused.value.rcvd is not None
                assert refused.value.rcvd.code == 4429
                assert "address" in refused.value.rcvd.reason
            async with client_of(nginx, "127.0.0.3", **forged) as client:
                assert (await client.get("/api/plans/p/stream")).status_code == 429


@pytest.mark.slow
async def test_nginx_leaves_accepting_and_refusing_to_the_hub(tmp_path: Path, certificate: Path) -> None:
    with hub_on(tmp_path) as hub, NginxServer([hub.port], certificate) as nginx:
        large = authorization(more="x" * 6000)
        assert MAX_TOKEN_BYTES - 16 < len(large["Authorization"].removeprefix("Bearer ")) <= MAX_TOKEN_BYTES
        long = "".join(f"&plan={n:0128}" for n in range(50))
        async with client_of(nginx, **large) as client:
            async with EventSource.open(client, f"/api/stream?since=now{long}") as stream:
                await stream.until("subscription_confirmed")
            refused = await client.post("/api/plans/p/events", json={"type": "x" * 3 * MIB, "data": {}})
            assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
            # nginx must pass the path on encoded: decoded, it is a different path.
            assert (await client.get("/api/plans/p%2Fq/events")).status_code in (404, 422)
            ticket = (await client.post("/api/tickets")).json()["ticket"]
            assert (await client.get(f"/api/plans/p/events?ticket={ticket}")).status_code == 200
            assert (await client.get("/metrics")).status_code == 404
        async with httpx.AsyncClient() as plain:
            redirect = await plain.get(f"http://127.0.0.1:{nginx.plain_port}/api/plans?q=1")
        assert redirect.headers["location"] == "https://127.0.0.1/api/plans?q=1"
        assert "/api/plans/p/events" in nginx.logged
        assert ticket not in nginx.logged


async def closed_by_drain(socket: ClientConnection) -> bool:
    """Waits for `going_away` and the close; whether the close code makes clients reconnect."""
    await receive(socket, "going_away", None)
    with pytest.raises(ConnectionClosed) as closed:
        await receive(socket, "nothing", None)
    return closed.value.rcvd is not None and closed.value.rcvd.code == 1012


async def first_of(tasks: list[asyncio.Task[bool]], count: int) -> list[bool]:
    """The results of the first tasks to finish, this many; cancels the others."""
    waiting = set(tasks)
    async with asyncio.timeout(20):
        while len(tasks) - len(waiting) < count:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return [task.result() for task in tasks if task not in waiting]


async def publish(client: httpx.AsyncClient, key: str) -> None:
    """Publishes a message, and retries when the answer is lost: nginx does not retry a POST that a hub may have received."""
    for _ in range(3):
        headers = {"Idempotency-Key": key}
        response = await client.post("/api/plans/p/events", json=Said.message(key), headers=headers)
        if response.status_code != 502:
            break
    assert response.status_code == 201, response.text


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_drain_closes_clients_and_the_other_hub_accepts_them(
    workers: int, tmp_path: Path, certificate: Path
) -> None:
    with (
        hub_on(tmp_path, workers=workers) as draining,
        hub_on(tmp_path) as other,
        NginxServer([draining.port, other.port], certificate) as nginx,
    ):
        async with client_of(nginx) as client, AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(socket_of(nginx)) for _ in range(8)]
            for socket in sockets:
                await receive(socket, "connected")
            on_other = round(other.metric("plancast_connections", transport="native"))
            assert 0 < on_other < 8
            ends = [asyncio.create_task(closed_by_drain(socket)) for socket in sockets]
            draining.signal(signal.SIGTERM)
            published = 0
            while draining.alive:
                published += 1
                await publish(client, f"message {published}")
            assert await first_of(ends, 8 - on_other) == [True] * (8 - on_other)
            for _ in range(8 - on_other):
                await receive(await stack.enter_async_context(socket_of(nginx)), "connected")
            assert other.metric("plancast_connections", transport="native") == 8
            page = (await client.get("/api/plans/p/events", params={"limit": 1})).json()
            assert page["head"] == published
