"""Serves a hub from one process: its opening and draining.

While the hub's log or engine can't be reached, clients get an answer that the hub is not open yet. The first signal
(SIGTERM, Ctrl-C) stops accepting and drains: clients are disconnected, each with its own delay before it reconnects. A
second signal exits at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from broadcasters.errors import LogFull, LogUnavailable
from broadcasters.supervision import pauses
from hub.api.problems import Problem
from hub.app import create_app
from hub.config.settings import Settings
from hub.engine_port import EngineUnreachable
from hub.node import Hub
from hub.process.listening import BACKLOG
from hub.transports.http_guard import HttpGuard, WebSocketGuard
from hub.transports.peers import with_mapped_ipv4
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["Opening", "serve"]

log: Final = logging.getLogger(__name__)
COLLECT_AFTER: Final = 10_000
"""Net allocations of objects, a few MiB, after which Python's cycle collector runs."""
ANSWER_AFTER_S: Final = 1.0
"""Seconds for which clients wait in the socket's queue for a hub to open, before they are answered that it is not open."""
POLL_S: Final = 0.1
IDLE_S: Final = 65
"""Seconds for which an idle HTTP connection stays open: longer than proxies and HTTP clients keep theirs (60 s, 4 s), so
that it is they who close. A request that meets the hub's close fails."""
GRACE: Final = 5
"""Seconds for requests still in progress after the drain."""
LONGEST_PAUSE_S: Final = 2.0
REMIND_S: Final = 60.0
"""Seconds between log messages that the hub is still waiting."""
NOT_YET: Final = "the hub is not open yet; try again in a moment"


class Opening:
    """Tries to open a hub until it succeeds, and is the ASGI application that answers clients until then."""

    def __init__(self, make: Callable[[], Hub]) -> None:
        self._make = make
        self._problem = "the hub is starting"
        self._reported: float | None = None

    async def run(self) -> Hub:
        """Returns the open hub, which the caller must exit. Each attempt makes a new hub.

        Raises errors that no attempt can fix, such as `LogMisconfigured`."""
        delays = pauses(LONGEST_PAUSE_S)
        while True:
            hub = self._make()
            try:
                await hub.__aenter__()
            except (LogUnavailable, LogFull, EngineUnreachable) as error:
                self._report(str(error))
            else:
                if self._reported is not None:
                    log.info("the hub is open: its log and engine can be reached again")
                return hub
            await asyncio.sleep(next(delays))

    def _report(self, problem: str) -> None:
        self._problem = problem
        now = asyncio.get_running_loop().time()
        if self._reported is None or now - self._reported >= REMIND_S:
            self._reported = now
            log.warning("the hub can't open yet and keeps trying: %s", problem)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            websocket = WebSocket(scope, receive, send)
            with suppress(WebSocketDisconnect, RuntimeError, OSError):  # the client has gone
                await websocket.accept()
                await websocket.close(CloseCode.RESTART, NOT_YET)
        elif scope["path"] == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, send)
        elif scope["path"] == "/readyz":
            body = {"status": "not ready", "problem": self._problem}
            await JSONResponse(body, status_code=503)(scope, receive, send)
        else:
            await Problem(ErrorCode.UNAVAILABLE, NOT_YET).response()(scope, receive, send)


def serve(make: Callable[[], Hub], settings: Settings, bound: socket.socket) -> None:
    """Run a hub of `make` in this process, on this socket, until a signal stops it."""
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
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        **more,
    )


def _collect_rarely() -> None:
    """Run the cycle collector rarely. Reference counting frees all objects of a client that disconnects
    (tests/hub/transports/test_freed.py). With the default threshold of 700 objects, the collector took a fifth of the
    time when thousands of clients connected at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


async def _done(task: asyncio.Task[Any], *, unless: Callable[[], bool]) -> None:
    """Wait until the task is done or `unless` is true."""
    while not task.done() and not unless():
        await asyncio.wait({task}, timeout=POLL_S)


class _Server(uvicorn.Server):
    """uvicorn's server with the hub's opening and drain."""

    def __init__(self, opening: Opening, settings: Settings) -> None:
        super().__init__(_config(opening, settings, lifespan="off", http=HttpGuard, ws=WebSocketGuard))
        self._opening = opening
        self._settings = settings
        self._hub: Hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal starts the drain; a second one is passed to uvicorn, which ends the process by it."""
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
            create_app(hub),
            self._settings,
            http=partial(HttpGuard, limit=hub.http_limit, writes_bodies=True),
            ws=hub.native.protocol,
        )
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await super().startup(sockets)
        _collect_rarely()

    async def _opened(self, sockets: list[socket.socket]) -> Hub | None:
        """The open hub, or None if a signal came first. Clients that connect meanwhile are answered."""
        opening = asyncio.create_task(self._opening.run(), name="opening the hub")
        await asyncio.wait({opening}, timeout=ANSWER_AFTER_S)
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
        """Stop the server that answered until the hub was open. New clients wait in the socket's queue."""
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
