"""The ASGI transport under stock uvicorn: how it opens, how it lags, how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.websockets import WebSocket

from hub.core.connection import Connection
from hub.core.subscriber import Standing
from hub.node import Hub
from hub.transports import websocket as transport
from hub.transports.admission import AdmittedClient
from hub.transports.pull_outlet import PullOutlet
from hub.transports.websocket import serve_websocket
from hub.wire.codes import CloseCode
from tests.faults.raw_socket import CLOSE, PING, PONG, dialled, frame
from tests.hub.transports.serving import SECRET, house, say, serving, token_of, until


@asynccontextmanager
async def hub_and_url(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Hub, str]]:
    async with house(folder, **settings) as hub, serving(hub, ws="websockets-sansio") as url:
        yield hub, url


async def test_a_conversation(tmp_path: Path) -> None:
    """C-CON-1, C-PNG-1, C-SUB-2"""
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        assert (await client.receive())["type"] == "connected"
        assert hub.counts.connections == {"asgi": 1}
        assert (await client.request("ping", nonce="n"))["nonce"] == "n"
        await client.send(frame(b"x", PING))
        assert await client.receive_raw() == (PONG, b"x")
        assert (await client.request("subscribe_plan", plan_id="p"))["type"] == "subscription_confirmed"
        await say(hub, "p", 3)
        assert [(await client.receive())["offset"] for _ in range(3)] == [1, 2, 3]


async def test_a_slow_reader_is_behind_and_gets_everything(tmp_path: Path) -> None:
    """C-CLS-3, C-SUB-4"""
    async with hub_and_url(tmp_path) as (hub, url), dialled(url, receive_buffer=4096) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        [connection] = hub.roster._connections
        [subscriber] = connection.subscribers
        said = await say(hub, "p", 400, size=2000)
        await until(lambda: subscriber.standing is Standing.BEHIND)
        assert connection._outlet.unread() < 2 * (hub.admission.waters.high + hub.settings.limits.channel.burst_bytes)
        for offset in range(1, said.offset + 1):
            assert (await client.receive())["offset"] == offset
        await until(lambda: subscriber.standing is Standing.LIVE)


async def test_snapshots_fill_an_outlet_as_well(tmp_path: Path) -> None:
    """A client that joins many plans and reads nothing gets few of their snapshots until it does."""
    plans = [f"p{n}" for n in range(40)]
    async with hub_and_url(tmp_path) as (hub, url), dialled(url, receive_buffer=4096) as client:
        for plan_id in plans:
            await say(hub, plan_id, 1, size=100_000)
        await client.receive_until("connected")
        for plan_id in plans:
            await client.send_json("subscribe_plan", plan_id=plan_id, since="snapshot")
        [connection] = hub.roster._connections
        await until(lambda: connection._outlet.full)
        assert connection._outlet.unread() < 2 * (hub.admission.waters.high + 110_000)
        snapshots = {(await client.receive_until("snapshot"))["plan_id"] for _ in plans}
        assert snapshots == set(plans)


async def test_a_client_that_reads_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-CLS-3: and gets what was written before, if it reads on in time."""
    async with hub_and_url(tmp_path, slow_seconds=1.0) as (hub, url), dialled(url, receive_buffer=4096) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p", since="start")
        await say(hub, "p", 400, size=2000)
        await until(lambda: hub.counts.slow_consumers)
        at = 0
        while (heard := await client.next()) is not None:
            at += 1
            assert heard["offset"] == at
        assert client.code == 4408


async def test_a_client_that_never_reads_again_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CLOSING_SECONDS", 0.1)
    async with hub_and_url(tmp_path, slow_seconds=1.0) as (hub, url), dialled(url, receive_buffer=4096) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p", since="start")
        await say(hub, "p", 400, size=2000)
        await until(lambda: not len(hub.roster))


@pytest.mark.parametrize("said", [b"", (1000).to_bytes(2, "big"), (4321).to_bytes(2, "big") + b"so long"])
async def test_a_client_that_closes(said: bytes, tmp_path: Path) -> None:
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        await client.send(frame(said, CLOSE))
        assert await client.receive_raw() == (CLOSE, said)
        await until(lambda: not len(hub.roster))


async def test_subscriptions_within_the_limits_are_confirmed_before_the_others_end_it(tmp_path: Path) -> None:
    """C-LIM-2, C-LIM-4"""
    asked = b"".join(frame(b'{"type":"subscribe_plan","plan_id":"many.%d"}' % n) for n in range(2_000))
    async with hub_and_url(tmp_path) as (_, url), dialled(url) as client:
        await client.receive_until("connected")
        sending = asyncio.create_task(client.send(asked))
        confirmed = 0
        while (said := await client.next()) is not None:
            confirmed += said["type"] == "subscription_confirmed"
        client.reset()
        await sending
    assert (client.code, confirmed) == (4429, 256)


async def test_a_client_that_vanishes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        client.reset()
        await until(lambda: not len(hub.roster))
        await say(hub, "p", 1)
        assert hub.counts.connections == {"asgi": 0}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_hub_closes(tmp_path: Path) -> None:
    """C-CLS-1"""
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        [connection] = hub.roster._connections
        connection.close(CloseCode.IDLE, "for a test")
        await say(hub, "p", 1)
        assert await client.receive_raw() == (CLOSE, (4410).to_bytes(2, "big") + b"for a test")


async def test_a_refused_client_receives_the_reason(tmp_path: Path) -> None:
    """C-CON-2, C-LIM-7"""
    async with hub_and_url(tmp_path, auth_secret=SECRET, max_connections_per_principal=1) as (hub, url):
        ada = token_of(hub, "ada", {})
        async with dialled(url, token=ada) as first, dialled(url, token=ada) as second, dialled(url) as third:
            await first.receive_until("connected")
            assert (await second.receive_raw())[1][:2] == (4429).to_bytes(2, "big")
            await third.receive_until("connected")
            assert (await third.request("authenticate", token=ada))["code"] == "too_many_requests"


@pytest.mark.parametrize("where", ["receive", "drained"])
async def test_an_error_closes_one_connection(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is closed with 1011, which is logged once; others continue."""
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as other, dialled(url, receive_buffer=4096) as client:
        await other.receive_until("connected")
        await client.receive_until("connected")
        unlucky = list(hub.roster._connections)[-1]
        real = getattr(Connection, where)

        def fails(self: Connection, *args: Any) -> Any:
            if self is unlucky:
                raise RuntimeError("a mistake of ours")
            return real(self, *args)

        monkeypatch.setattr(Connection, where, fails)
        if where == "drained":
            await client.request("subscribe_plan", plan_id="p")
            await say(hub, "p", 400, size=2000)
        else:
            await client.send_json("ping")
            await client.send_json("ping")
        assert await client.closed() == 1011
        assert (await other.request("ping"))["type"] == "pong"
        identity = unlucky.session.connection_id
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told == [f"connection {identity}: a mistake of ours"]


SCOPE: Final[dict[str, Any]] = {
    "type": "websocket",
    "path": "/ws/streaming",
    "query_string": b"",
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
    "scheme": "ws",
}


@pytest.mark.parametrize("secret", [None, SECRET], ids=["let in", "refused"])
async def test_a_client_that_has_gone_before_it_was_admitted(secret: Any, tmp_path: Path) -> None:
    """Servers report it by an OSError since ASGI 2.4. It must not be logged as an error."""

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_: Any) -> None:
        raise OSError("gone")

    async with house(tmp_path, auth_secret=secret) as hub:
        headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer nonsense")]
        await serve_websocket(hub.admission, WebSocket({**SCOPE, "headers": headers}, receive, send))
        assert not +hub.counts.connections


async def test_a_cancelled_connection_leaves_nothing_behind(tmp_path: Path) -> None:
    """A server that is stopped cancels the application at any point."""
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        if said:
            await asyncio.Event().wait()
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    async with house(tmp_path) as hub:
        headers = [(b"host", b"127.0.0.1")]
        websocket = WebSocket({**SCOPE, "headers": headers}, receive, send)
        under_way = asyncio.create_task(serve_websocket(hub.admission, websocket))
        await until(lambda: len(said) == 2)
        assert hub.counts.connections == {"asgi": 1}
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        assert hub.counts.connections == {"asgi": 0}


async def test_a_client_whose_connection_fails_to_open_is_not_counted(tmp_path: Path) -> None:
    def connect(outlet: PullOutlet, client: AdmittedClient) -> tuple[Connection, Callable[[str | bytes], None]]:
        raise RuntimeError("a mistake of ours")

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_: Any) -> None:
        raise AssertionError("nothing is sent before the connection is made")

    async with house(tmp_path) as hub:
        websocket = WebSocket({**SCOPE, "headers": [(b"host", b"127.0.0.1")]}, receive, send)
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            await serve_websocket(hub.admission, websocket, connect)
        assert len(hub.admission._present) == 0
