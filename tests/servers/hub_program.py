"""The hub as a program whose constants a test can change.

`python -m tests.servers.hub_program '{"module.NAME": 1.0}'` runs `plancast serve`. With a port as a second argument it
runs another program's FastAPI app that includes the hub's router, under stock uvicorn. Timeouts that take half a minute
by design (a heartbeat, then the silence limit) can so be tested in seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI


def change(constants: str) -> None:
    """Sets module constants (JSON: full name to value) in this process."""
    for name, value in json.loads(constants).items():
        module, _, constant = name.rpartition(".")
        changed = importlib.import_module(module)
        assert hasattr(changed, constant), f"{module} has no {constant}"
        setattr(changed, constant, value)


def serve(constants: str) -> int:
    from hub.cli import main

    change(constants)
    return main(["serve"])


def serve_mounted(constants: str, port: int) -> None:
    """Without uvicorn's ping timeout: on a busy machine uvicorn would close connections before the hub does."""
    from hub.app import operations_router, streaming_router
    from hub.config.settings import load
    from hub.node import Hub
    from hub.telemetry.logs import set_up

    change(constants)
    settings = load(os.environ)
    set_up(settings)
    hub = Hub(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with hub:
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(streaming_router(hub))
    app.include_router(operations_router(hub))
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, ws_ping_timeout=None)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        serve_mounted(sys.argv[1], int(sys.argv[2]))
    else:
        sys.exit(serve(sys.argv[1]))
