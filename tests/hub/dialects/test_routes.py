"""Dialects are where an engine is, and take no address from anybody who had it before."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hub.app import create_app, streaming_router
from hub.commands.embedded import Embedded
from hub.config.settings import Settings
from hub.node import Hub
from plan_engine import Engine
from tests.hub.transports.serving import house, serving


def with_engine(folder: Path) -> Hub:
    log = f"sqlite:///{folder / 'plans.db'}"
    engine = Engine(f"sqlite:///{folder / 'engine.db'}", log, [], work=False)
    return Hub(Settings(log=log), engine=Embedded(engine))


@pytest.mark.parametrize("ws", [None, "websockets-sansio"], ids=["native", "asgi"])
@pytest.mark.parametrize("mounted", [False, True], ids=["served", "mounted"])
async def test_exact_paths_win(tmp_path: Path, ws: str | None, mounted: bool) -> None:
    async with with_engine(tmp_path) as hub:
        theirs = FastAPI()
        theirs.include_router(streaming_router(hub))
        async with serving(hub, ws=ws, app=theirs if mounted else create_app(hub)) as url:
            async with connect(url) as line:
                assert json.loads(await line.recv())["type"] == "connected"
                await line.send("{}")
                assert json.loads(await line.recv())["code"] == "invalid_field"
            async with connect(url.replace("/ws/streaming", "/ws/chat")) as line:
                await line.send("{}")
                assert json.loads(await line.recv())["message"] == "Missing required field: message"
            address = url.replace("ws://", "http://").removesuffix("/ws/streaming")
            async with httpx.AsyncClient(base_url=address) as http:
                refused = await http.post("/chat", json={"message": "hi"})
                assert (refused.status_code, refused.json()["code"]) == (409, "not_supported")


async def test_without_an_engine_there_are_none(tmp_path: Path) -> None:
    async with house(tmp_path) as hub, serving(hub) as url:
        for path in ("/ws/chat", "/ws/session-1"):
            with pytest.raises(InvalidStatus, match="403"):
                async with connect(url.replace("/ws/streaming", path)):
                    pass
    assert "/chat" not in create_app(hub).openapi()["paths"]
