"""A hub inside another application: every program of docs/EMBEDDING.md, unchanged."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from hub.app import create_app, streaming_router
from hub.config.settings import Settings
from hub.node import Hub
from tests.faults.raw_socket import RawSocket, dialled
from tests.hub.transports.serving import run, until

DOCUMENT: Final = (Path(__file__).parents[2] / "docs/EMBEDDING.md").read_text()
PROGRAMS: Final = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
ROUTER, OWN_LIFESPAN, MOUNTED, NATIVE = range(4)


def executed(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """The names that a program of the document defines."""
    assert len(PROGRAMS) == 4
    monkeypatch.setenv("PLANCAST_LOG", f"sqlite:///{folder / 'plans.db'}")
    names: dict[str, Any] = {"__name__": "theirs"}
    exec(compile(PROGRAMS[number], f"<program {number}>", "exec", dont_inherit=True), names)
    return names


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[int]:
    """Served by stock uvicorn with its lifespan."""
    async with run(uvicorn.Config(app, ws="websockets-sansio", log_config=None, access_log=False)) as port:
        yield port


async def converse(hub: Hub, client: RawSocket) -> None:
    await client.receive_until("connected")
    confirmed = await client.request("subscribe_plan", plan_id="house", since="start")
    said = await hub.broadcaster.send_plan_update("house", title="Hello")
    for offset in range(1, said.offset + 1):
        assert (await client.receive())["offset"] == offset
    assert confirmed["type"] == "subscription_confirmed"


async def test_the_router_opens_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(ROUTER, tmp_path, monkeypatch)
    hub: Hub = names["hub"]
    async with served(names["app"]) as port:
        async with dialled(f"ws://127.0.0.1:{port}/ws/streaming") as client:
            await converse(hub, client)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                assert (await http.post("/greetings/house")).json() == {"offset": 2}
            assert (await client.receive())["data"]["content"] == "Good morning."
        await until(lambda: not len(hub.roster))
    assert not hub.admission.open
    assert not hub.parts


async def test_the_applications_own_lifespan_may_open_it_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(OWN_LIFESPAN, tmp_path, monkeypatch)
    hub: Hub = names["hub"]
    async with served(names["app"]) as port:
        async with dialled(f"ws://127.0.0.1:{port}/ws/streaming") as client:
            await converse(hub, client)
        await until(lambda: not len(hub.roster))
    assert not hub.admission.open
    assert not hub.parts


async def test_the_whole_application_is_mounted_below_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(MOUNTED, tmp_path, monkeypatch)
    await all_of_it(names["hub"], names["app"])


async def test_its_server_waits_for_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(MOUNTED, tmp_path, monkeypatch)
    server: uvicorn.Server = names["Server"](uvicorn.Config(names["app"], port=0, log_config=None))
    serving = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/plancast") as http,
        http.stream("GET", "/api/plans/house/stream") as stream,
    ):
        server.should_exit = True
        told = [line async for line in stream.aiter_lines() if line]
    assert told[-2:] == ["event: close", 'data: {"code":1012,"reason":"the hub restarts; reconnect after the hint"}']
    async with asyncio.timeout(10):
        await serving


async def test_in_a_starlette_application(tmp_path: Path) -> None:
    hub = Hub(Settings(log=f"sqlite:///{tmp_path / 'plans.db'}"))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with hub:
            yield

    await all_of_it(hub, Starlette(routes=[Mount("/plancast", create_app(hub))], lifespan=lifespan))


async def all_of_it(hub: Hub, app: Any) -> None:
    async with served(app) as port:
        async with dialled(f"ws://127.0.0.1:{port}/plancast/ws/streaming") as client:
            await converse(hub, client)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/plancast") as http:
                assert (await http.get("/readyz")).status_code == 200
                assert (await http.get("/api/plans/house")).json()["title"] == "Hello"
                said = {"type": "plan_update", "data": {"title": "Twice"}}
                assert (await http.post("/api/plans/house/events", json=said)).status_code == 201
                gone = await http.get("/api/plans/house/events", params={"epoch": "another", "after": 9})
                assert (await http.get(gone.json()["snapshot"])).json()["title"] == "Twice"
                async with http.stream("GET", "/api/plans/house/stream", params={"since": "start"}) as stream:
                    lines = [line async for line in first(stream.aiter_lines(), 12)]
            assert (await client.receive())["data"]["title"] == "Twice"
        assert any('"title":"Hello"' in line for line in lines)
        await until(lambda: not len(hub.roster))
    assert not hub.admission.open


async def first(lines: Any, count: int) -> AsyncGenerator[str]:
    async for line in lines:
        yield line
        count -= 1
        if not count:
            return


async def test_with_the_transport_of_plancast_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Config, "configure_logging", lambda _: None)  # it would for all other tests, too
    names = executed(NATIVE, tmp_path, monkeypatch)
    hub: Hub = names["hub"]
    config: uvicorn.Config = names["config"]
    async with run(config) as port:
        async with dialled(f"ws://127.0.0.1:{port}/ws/streaming") as client:
            await converse(hub, client)
            assert hub.counts.connections == {"native": 1}
        await until(lambda: not hub.native.open)


@pytest.mark.parametrize("how", ["mounted", "a router without a lifespan"])
async def test_a_hub_that_was_not_opened_is_reported(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub(Settings(log=f"sqlite:///{tmp_path / 'plans.db'}"))
    app, path = FastAPI(), "/ws/streaming"
    if how == "mounted":
        app.mount("/plancast", create_app(hub))
        path = "/plancast/ws/streaming"
    else:
        app.router.routes.extend(streaming_router(hub).routes)
    async with served(app) as port:
        with pytest.raises(AssertionError, match="500"):
            async with dialled(f"ws://127.0.0.1:{port}{path}"):
                pass
        if how == "mounted":
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/plancast") as http:
                assert (await http.get("/api/plans")).status_code == 500
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert errors
    assert all("not open" in error and "docs/EMBEDDING.md" in error for error in errors)
