"""An answer over HTTP that goes on until its teller, its client or the hub ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["Outflow"]

CLOSING_S: Final = 5.0
"""How long a client may take to read what is left."""


class Outflow(Response):
    """Sends what `told` yields, and closes it in any case: when it ends, when the client has gone, and when the client
    takes nothing any more although `ended` says that it is over. Then `left` is called, even if nothing was ever sent.
    """

    def __init__(
        self,
        told: AsyncGenerator[bytes],
        headers: Mapping[str, str],
        ended: asyncio.Event,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._told = told
        self._ended = ended
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        sending = asyncio.ensure_future(self._send(send))
        leaving = [asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._ended.wait())]
        try:
            await asyncio.wait({sending, *leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not leaving[0].done():
                await asyncio.wait({sending, leaving[0]}, timeout=CLOSING_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, *leaving):
                task.cancel()
            results = await asyncio.gather(sending, *leaving, return_exceptions=True)
            await self._told.aclose()
            self._left()
        if isinstance(results[0], Exception):
            raise results[0]

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with suppress(OSError):  # gone, as servers say it since ASGI 2.4
            async for piece in self._told:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
