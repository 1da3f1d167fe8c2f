"""Opens a hub whose log or engine may be unreachable at first, and answers the clients that come meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from broadcasters.errors import LogFull, LogUnavailable
from broadcasters.supervision import pauses
from hub.api.problems import Problem
from hub.engine_port import EngineUnreachable
from hub.node import Hub
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["Opening"]

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S: Final = 2.0
REMIND_S: Final = 60.0
"""How often the log of this process repeats what the hub waits for."""
NOT_YET: Final = "the hub is not open yet; try again in a moment"


class Opening:
    """Tries to open a hub until it succeeds. Also the ASGI application that answers until then."""

    def __init__(self, make: Callable[[], Hub]) -> None:
        self._make = make
        self._problem = "the hub is starting"
        self._reported: float | None = None

    async def run(self) -> Hub:
        """The hub, open; leave it in the end. Each attempt makes a new one, so that nothing of a failed one remains.

        Raises what no attempt can mend, such as `LogMisconfigured`."""
        rests = pauses(LONGEST_PAUSE_S)
        while True:
            hub = self._make()
            try:
                await hub.__aenter__()
            except (LogUnavailable, LogFull, EngineUnreachable) as error:
                self._report(str(error))
            else:
                if self._reported is not None:
                    logger.info("the hub is open: what it waited for is there")
                return hub
            await asyncio.sleep(next(rests))

    def _report(self, problem: str) -> None:
        self._problem = problem
        now = asyncio.get_running_loop().time()
        if self._reported is None or now - self._reported >= REMIND_S:
            self._reported = now
            logger.warning("the hub can't open yet, and tries again until it can: %s", problem)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            websocket = WebSocket(scope, receive, send)
            with suppress(WebSocketDisconnect, RuntimeError, OSError):  # it went first
                await websocket.accept()
                await websocket.close(CloseCode.RESTART, NOT_YET)
        elif scope["path"] == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, send)
        elif scope["path"] == "/readyz":
            body = {"status": "not ready", "problem": self._problem}
            await JSONResponse(body, status_code=503)(scope, receive, send)
        else:
            await Problem(ErrorCode.UNAVAILABLE, NOT_YET).response()(scope, receive, send)
