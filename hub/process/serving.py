"""How a hub listens and how it leaves: a socket set up for clients that vanish, and the drain.

The first signal (SIGTERM, Ctrl-C) stops accepting and sends the clients away, each with a moment of its own to come
back at; a second one exits at once.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn

from broadcasters.errors import PlancastError
from hub.app import create_app
from hub.config.limits import OutletLimits
from hub.config.settings import Settings
from hub.node import Hub
from hub.process.opening import Opening
from hub.transports.http_guard import HttpGuard, WebSocketGuard
from hub.transports.peers import with_mapped_ipv4

__all__ = ["listeners", "serve"]

log: Final = logging.getLogger(__name__)
BACKLOG: Final = 4096
COLLECT_AFTER: Final = 10_000
"""Objects made and not freed, until Python looks for cycles among them: a few MiB."""
PROMPT: Final = 1.0
"""Seconds that clients wait in the socket's queue for a hub that opens; then they are answered that it is not open."""
LOOK: Final = 0.1
GRACE: Final = 5
"""Seconds for what is still under way when all clients were sent away."""


def listeners(settings: Settings, outlet: OutletLimits) -> list[socket.socket]:
    """A listening socket for each worker, all on one address. Linux spreads connections over them; elsewhere it is one
    socket that all workers share."""
    first = _socket(settings.host, outlet)
    bound = [first]
    try:
        first.bind((settings.host, settings.port))  # fails when anybody else has the port, even for such a group
        if sys.platform == "linux" and settings.workers > 1:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            for _ in range(settings.workers - 1):
                bound.append(_socket(settings.host, outlet))
                bound[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                bound[-1].bind(first.getsockname())
        for each in bound:
            each.listen(BACKLOG)
    except OSError as error:
        for each in bound:
            each.close()
        taken = error.errno == errno.EADDRINUSE
        hint = "choose another port: PLANCAST_PORT=… or --port" if taken else "see --host and --port"
        where = f"{settings.host}:{settings.port}"
        raise PlancastError(f"can't listen on {where}: {error.strerror} ({hint})") from None
    return bound if len(bound) == settings.workers else bound * settings.workers


def _socket(host: str, outlet: OutletLimits) -> socket.socket:
    """Its connections inherit what keeps a dead or deaf client from costing much."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, outlet.send_buffer)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(outlet.peer_timeout_seconds * 1000))
    return made


def serve(make: Callable[[], Hub], settings: Settings, bound: socket.socket) -> None:
    """Run a hub of `make` in this process, behind this socket, until a signal asks it to leave. While its log or its
    engine is away it waits, and says so to those who come."""
    _Server(Opening(make), settings).run(sockets=[bound])


def _config(app: Any, settings: Settings, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio" if sys.platform == "win32" else "uvloop",
        ws_ping_interval=25.0,
        ws_ping_timeout=10.0,
        ws_max_size=settings.max_frame_bytes,
        ws_per_message_deflate=False,
        proxy_headers=True,
        forwarded_allow_ips=with_mapped_ipv4(settings.proxies),
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        **more,
    )


def _collect_rarely() -> None:
    """All that a client leaves is freed by counting references (tests/hub/transports/test_freed.py), and what stays, stays
    for as long as its client does. To look for cycles after every 700 objects was a fifth of the
    work when thousands of clients came at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


async def _done(task: asyncio.Task[Any], *, unless: Callable[[], bool]) -> None:
    """Wait until the task is done, unless something else is true first."""
    while not task.done() and not unless():
        await asyncio.wait({task}, timeout=LOOK)


class _Server(uvicorn.Server):
    """uvicorn's server, but opening and leaving in the hub's way."""

    def __init__(self, opening: Opening, settings: Settings) -> None:
        super().__init__(_config(opening, settings, lifespan="off", http=HttpGuard, ws=WebSocketGuard))
        self._opening = opening
        self._settings = settings
        self._hub: Hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks to leave. What uvicorn hears of it ends the process by that signal: a second one."""
        if self.should_exit:
            self.force_exit = True
            super().handle_exit(sig, frame)
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        hub = await self._opened(sockets or [])
        if hub is None:
            return
        self._hub = hub
        self.config = _config(
            create_app(hub), self._settings, http=partial(HttpGuard, limit=hub.http_limit), ws=hub.native.protocol
        )
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await super().startup(sockets)
        _collect_rarely()

    async def _opened(self, sockets: list[socket.socket]) -> Hub | None:
        """The hub, open; None when a signal came first. Those who come while it takes its time get an answer."""
        opening = asyncio.create_task(self._opening.run(), name="opening the hub")
        await asyncio.wait({opening}, timeout=PROMPT)
        if not opening.done():
            await super().startup([bound.dup() for bound in sockets])
            await _done(opening, unless=lambda: self.should_exit)
            self._dismiss()
        if opening.done():
            return opening.result()
        opening.cancel()
        await _done(opening, unless=lambda: self.force_exit)
        return None

    def _dismiss(self) -> None:
        """End the server that answers until the hub is open. Who comes now waits in the socket's queue."""
        self.started = False
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        draining = asyncio.create_task(self._hub.drain(self._settings.drain_seconds))
        await _done(draining, unless=lambda: self.force_exit)
        draining.cancel()
        [ended] = await asyncio.gather(draining, return_exceptions=True)
        if isinstance(ended, Exception):
            log.error("the drain failed: %s", ended, exc_info=ended)
        await super().shutdown(sockets)
        if not self.force_exit:
            await self._hub.__aexit__()
