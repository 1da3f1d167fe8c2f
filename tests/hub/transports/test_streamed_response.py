"""A streamed response over a real connection: what its outlet writes at once arrives in order, however the client reads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from hub.config.limits import Limits
from hub.core.connections import WaterMarks
from hub.transports.http_guard import HttpGuard
from hub.transports.pull_outlet import PullOutlet, StreamedResponse
from tests.hub.transports.serving import run


class Streaming:
    """An application whose responses have what the test writes to their outlet."""

    def __init__(self) -> None:
        self.outlet = PullOutlet(WaterMarks(Limits()))
        self.begun = asyncio.Event()
        self.waken = 0
        """How often the response's own task had something to send."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = StreamedResponse(self._content(), {}, self.outlet.ended, outlet=self.outlet)
        await response(scope, receive, send)

    async def _content(self) -> AsyncGenerator[bytes]:
        yield b"begin;"
        self.begun.set()
        while waiting := await self.outlet.take():
            self.waken += 1
            for item in waiting:
                yield cast("bytes", item)


def frames(number: int) -> Sequence[bytes]:
    """Of a few bytes to more than a socket takes at once."""
    sizes = random.Random(1)
    return [b"%d:%b;" % (at, b"x" * sizes.choice([0, 10, 1000, 100_000])) for at in range(number)]


async def body(reader: asyncio.StreamReader) -> bytes:
    """The body of a chunked response, up to its end."""
    await reader.readuntil(b"\r\n\r\n")
    received = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        received += await reader.readexactly(size)
        await reader.readexactly(2)
    return received


@pytest.mark.parametrize("writes_bodies", [True, False])
@pytest.mark.parametrize("turns", [0, 3], ids=["in one go", "in turns"])
async def test_everything_arrives_in_order(*, writes_bodies: bool, turns: int) -> None:
    app = Streaming()
    guard = cast("Any", partial(HttpGuard, writes_bodies=writes_bodies))
    async with run(uvicorn.Config(cast("Any", app), http=guard, lifespan="off", log_config=None)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await app.begun.wait()
        await asyncio.sleep(0)
        expected = frames(200)
        for frame in expected:
            app.outlet.write(frame)
            for _ in range(turns):
                await asyncio.sleep(0)
        app.outlet.close(1000, "")
        assert await body(reader) == b"begin;" + b"".join(expected)
        writer.close()
    assert writes_bodies or app.waken > 0


async def test_a_client_that_reads_wakes_no_task() -> None:
    app = Streaming()
    guard = cast("Any", partial(HttpGuard, writes_bodies=True))
    async with run(uvicorn.Config(cast("Any", app), http=guard, lifespan="off", log_config=None)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await app.begun.wait()
        await asyncio.sleep(0)
        for at in range(100):
            app.outlet.write(b"%d;" % at)
            assert await reader.readuntil(b"%d;\r\n" % at)
        assert app.waken == 0
        app.outlet.write(b"")  # which would end the response
        app.outlet.write(b"end;")
        app.outlet.close(1000, "")
        assert (await reader.read()).endswith(b"end;\r\n0\r\n\r\n")
        writer.close()
