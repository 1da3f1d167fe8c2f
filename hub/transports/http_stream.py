"""A streamed HTTP response to one client, which counts as a connection of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final, Generic, TypeVar

from hub.access.principal import Principal
from hub.core.connection import ClientOutlet
from hub.transports.admission import AdmissionControl
from hub.transports.peers import Peer
from hub.transports.pull_outlet import ControlFrame, PullOutlet, StreamedResponse

__all__ = ["KEEP_ALIVE", "HttpStream"]

KEEP_ALIVE_SECONDS: Final = 15.0
KEEP_ALIVE: Final = b": still here\n\n"

C = TypeVar("C", bound=ClientOutlet)


class HttpStream(Generic[C]):
    """What a client's outlet writes, for the response. Raises `AdmissionRefused`.

    `outlet_of` makes the outlet that the connection writes to; that one writes to the `PullOutlet`. Read `frames()` to its
    end and close it, or use `response`.
    """

    def __init__(
        self, admission: AdmissionControl, peer: Peer, principal: Principal, outlet_of: Callable[[PullOutlet], C]
    ) -> None:
        self.outlet = PullOutlet(admission.waters)
        self._admission = admission
        self._client = admission.admit_principal(peer, principal)
        self.writer = outlet_of(self.outlet)
        self.connection = self.outlet.connection = admission.connect(self.writer, self._client, "sse")
        self._here = True

    def response(self, headers: Mapping[str, str]) -> StreamedResponse:
        """The response with these headers."""
        return StreamedResponse(self.frames(), headers, self.outlet.ended, self.leave, self.outlet)

    async def frames(self) -> AsyncGenerator[bytes]:
        """Yields the frames, and `KEEP_ALIVE` from time to time when there are none."""
        try:
            self._admission.begin(self.connection)
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        waiting = await self.outlet.take()
                except TimeoutError:
                    yield KEEP_ALIVE
                    continue
                if not waiting:
                    return
                for item in waiting:
                    if isinstance(item, bytes):
                        yield item
                    elif isinstance(item, ControlFrame):
                        yield item.encoded
        finally:
            self.leave()

    def leave(self) -> None:
        """Counts the client no longer; it has gone. May be called again."""
        if self._here:
            self._here = False
            self._admission.leave(self.connection, self._client)
