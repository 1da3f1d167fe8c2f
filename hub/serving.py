"""How a hub listens and how it leaves: a socket set up for clients that vanish, and the drain.

The first signal (SIGTERM, Ctrl-C) stops accepting and sends the clients away, each with a moment of its own to come
back at; a second one exits at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from functools import partial
from types import FrameType
from typing import Final

import uvicorn

from broadcasters.errors import PlancastError
from hub.app import create_app
from hub.limits import OutletLimits
from hub.node import Hub
from hub.settings import Settings
from hub.transports.doorstep import Doorstep
from hub.transports.visitors import in_both_spellings

__all__ = ["listener", "serve"]

log: Final = logging.getLogger(__name__)
BACKLOG: Final = 4096
COLLECT_AFTER: Final = 10_000
"""Objects made and not freed, until Python looks for cycles among them: a few MiB."""
GRACE: Final = 5
"""Seconds for what is still under way when all clients were sent away."""


def listener(settings: Settings, outlet: OutletLimits) -> socket.socket:
    """A bound socket whose connections inherit what keeps a dead or deaf client from costing much."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, outlet.send_buffer)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(outlet.peer_timeout_seconds * 1000))
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        bound.close()
        where = f"{settings.host}:{settings.port}"
        raise PlancastError(f"can't listen on {where}: {error.strerror} (see --host and --port)") from None
    return bound


def serve(hub: Hub, bound: socket.socket) -> None:
    """Run this hub in this process, behind this socket, until it is told to leave."""
    settings = hub.settings
    config = uvicorn.Config(
        create_app(hub),
        ws=hub.native.protocol,  # type: ignore[arg-type]
        http=partial(Doorstep, crowd=hub.crowd),  # type: ignore[arg-type]
        loop="asyncio" if sys.platform == "win32" else "uvloop",
        ws_ping_interval=25.0,
        ws_ping_timeout=10.0,
        ws_max_size=settings.max_frame_bytes,
        ws_per_message_deflate=False,
        proxy_headers=True,
        forwarded_allow_ips=in_both_spellings(settings.proxies),
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )
    _Server(config, hub, settings.drain_seconds).run(sockets=[bound])


def _collect_rarely() -> None:
    """Nearly all that a hub makes is freed by counting references, and what stays, stays for as long as its client does.
    To look for cycles after every 700 objects was a fifth of the work when thousands of clients came at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


class _Server(uvicorn.Server):
    """uvicorn's server, but leaving in the hub's way."""

    def __init__(self, config: uvicorn.Config, hub: Hub, drain_seconds: float) -> None:
        super().__init__(config)
        self._hub = hub
        self._drain_seconds = drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Before the application does it, whose failure would be told as its framework's traceback.
        await self._hub.__aenter__()
        await super().startup(sockets)
        _collect_rarely()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        draining = asyncio.ensure_future(self._hub.drain(self._drain_seconds))
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=0.1)
        draining.cancel()
        [ended] = await asyncio.gather(draining, return_exceptions=True)
        if isinstance(ended, Exception):
            log.error("the drain failed: %s", ended, exc_info=ended)
        await super().shutdown(sockets)
        if not self.force_exit:
            await self._hub.__aexit__()
