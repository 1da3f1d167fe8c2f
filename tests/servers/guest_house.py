"""Somebody else's FastAPI app, with a hub in it, under stock uvicorn: `python -m tests.servers.guest_house PORT {}`.

The last argument changes constants, as in `hurried_hub`. uvicorn closes no connection whose pings are not answered:
on a busy machine it would else be quicker than the hub.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from hub.api import health
from hub.app import streaming_router
from hub.config.settings import load
from hub.node import Hub
from hub.telemetry.logs import set_up
from tests.servers.hurried_hub import change


def app() -> FastAPI:
    settings = load(os.environ)
    set_up(settings)
    hub = Hub(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with hub:
            yield

    house = FastAPI(lifespan=lifespan)
    house.include_router(streaming_router(hub))
    house.include_router(health.router(hub))
    return house


if __name__ == "__main__":
    change(sys.argv[2])
    uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False, ws_ping_timeout=None)
