"""A hub in this process behind a real uvicorn on loopback: its insides can be reached, and its line is a real one.

async with house(tmp_path) as hub, serving(hub) as url:            # the native transport, as `plancast serve` has it
async with house(tmp_path) as hub, serving(hub, ws="websockets-sansio") as url:             # the ASGI transport
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvicorn

from broadcasters.position import Position
from hub.access.auth import mint
from hub.app import create_app
from hub.config.setting_types import Secret
from hub.config.settings import Settings
from hub.node import Hub
from hub.transports.http_guard import HttpGuard

__all__ = ["SECRET", "house", "run", "say", "serving", "token_of", "until"]

SECRET: Final = Secret(b"a secret that only tests know, and long enough")
SMALL: Final = 16 * 1024
"""Of send buffer: the less the kernel takes, the sooner a slow reader shows."""


@asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncGenerator[Hub]:
    """A hub on an embedded log of its own, not reachable yet."""
    async with Hub(Settings(log=f"sqlite:///{folder / 'plans.db'}", **settings)) as hub:
        yield hub
        assert hub.roster._connections == {}, "a connection is still counted"
        assert len(hub.admission._present) == hub.admission._present.total == len(hub.admission.shares) == 0


@asynccontextmanager
async def serving(hub: Hub, ws: Any = None, app: Any = None) -> AsyncGenerator[str]:
    """Make it reachable; the address of its socket. On exit, connected clients have a moment to leave."""
    config = uvicorn.Config(
        app or create_app(hub),
        ws=ws or cast("Any", hub.native.protocol),
        http=cast("Any", partial(HttpGuard, writes_bodies=True)),
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    async with run(config) as port:
        yield f"ws://127.0.0.1:{port}/ws/streaming"
        await until(lambda: not (len(hub.roster) or hub.native.open or hub.native.admitting))


@asynccontextmanager
async def run(config: uvicorn.Config) -> AsyncGenerator[int]:
    """Its server, in this event loop; the port."""
    # Without the protocol, asyncio does not switch Nagle's algorithm off.
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    bound.bind(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[bound])
    try:
        yield bound.getsockname()[1]
        await until(lambda: not server.server_state.connections)
    finally:
        for listening in server.servers:
            listening.close()
            await listening.wait_closed()
        await server.lifespan.shutdown()


async def until(true: Callable[[], Any]) -> None:
    """Wait until it is true; fails when it is not by the deadline."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


async def say(hub: Hub, plan_id: str, times: int, size: int = 0) -> Position:
    """So many events, of at least this size."""
    text, place = "x" * size, None
    for _ in range(times):
        place = await hub.broadcaster.send_agent_message(plan_id, "Ana", text)
    assert place is not None
    return place


def token_of(hub: Hub, subject: str, plans: Mapping[str, list[str]], seconds: float = 600) -> str:
    return mint(hub.settings, subject, plans, seconds, time.time())
