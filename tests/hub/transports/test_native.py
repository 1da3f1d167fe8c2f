"""The native transport over a real connection: opening, heartbeat, slow clients, closing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import pytest
from fastapi import WebSocket
from websockets.asyncio.client import connect

from hub.access.principal import Principal
from hub.app import create_app
from hub.core.connection import Connection
from hub.core.subscriber import Standing
from hub.node import Hub
from hub.transports import admission, native
from hub.transports.admission import AdmissionRefused, AdmittedClient
from hub.wire.codes import CloseCode
from tests.faults.raw_socket import (
    CLOSE,
    CONT,
    PING,
    PONG,
    RawSocket,
    connected,
    dial,
    dialled,
    frame,
    handshake,
)
from tests.hub.transports.serving import SECRET, house, say, serving, token_of, until

LONG: Final = 1e6
"""Seconds after which anything that can be over is over."""


@asynccontextmanager
async def hub_and_url(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Hub, str]]:
    async with house(folder, **settings) as hub, serving(hub) as url:
        yield hub, url


def pass_by(hub: Hub, seconds: float) -> None:
    """Sets all clients' timers back by these seconds."""
    for one in list(hub.native.open):
        one._received_at -= seconds
        one._pinged -= seconds
        one.beat(asyncio.get_running_loop().time())


# --- opening


async def test_the_handshake_and_the_greeting(tmp_path: Path) -> None:
    """C-CON-1, C-FRM-1: and compression, which is offered, is not taken up; RSV1 then means nothing."""
    async with hub_and_url(tmp_path) as (hub, url), connected(port_of(url)) as client:
        await client.send(handshake(url, {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}))
        answer = await client.until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in answer.lower()
        assert (await client.receive())["type"] == "connected"
        assert hub.counts.connections == {"native": 1}
        await client.send(frame(b"{}", reserved=4))
        assert await client.closed() == 1002


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Sec-WebSocket-Version": "12"}, b"400"),
        ({"Sec-WebSocket-Key": "short"}, b"400"),
        ({"X-Long": "x" * 9000}, b"431"),
    ],
)
async def test_a_handshake_that_is_none(change: dict[str, str], status: bytes, tmp_path: Path) -> None:
    async with hub_and_url(tmp_path) as (hub, url), connected(port_of(url)) as client:
        await client.send(handshake(url, change))
        assert (await client.until_eof()).split()[1] == status
        assert not hub.counts.connections_total


async def test_other_paths_are_left_to_uvicorn(tmp_path: Path) -> None:
    async with house(tmp_path) as hub:
        app = create_app(hub)

        @app.websocket("/echo")
        async def echo(websocket: WebSocket) -> None:
            await websocket.accept(subprotocol="chat")
            await websocket.send_text(await websocket.receive_text())
            await websocket.close(3001, "enough")

        async with serving(hub, app=app) as url:
            elsewhere = url.replace("/ws/streaming", "/echo")
            async with connect(elsewhere, subprotocols=["chat"], proxy=None) as client:  # type: ignore[list-item]
                await client.send("hello")
                assert await client.recv() == "hello"
                await client.wait_closed()
                assert (client.subprotocol, client.close_code, client.close_reason) == ("chat", 3001, "enough")
            for path in ("/ws/streaming/", "/ws/streamin", "/nowhere"):
                async with connected(port_of(url)) as one:
                    await one.send(handshake(url.replace("/ws/streaming", path), {}))
                    assert (await one.until_eof()).startswith(b"HTTP/1.1 40")
            assert not hub.counts.connections_total


# --- admission takes a while


class Slow:
    """Admission that takes as long as the test wants."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._real = hub.admission.admit
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Principal] = asyncio.get_running_loop().create_future()

    def admit(self, peer: Any) -> AdmittedClient | Awaitable[AdmittedClient]:
        self.asked.set()
        return self._hub.admission._admit_later(peer, self.answer)


@asynccontextmanager
async def slow_admission(folder: Path, patch: pytest.MonkeyPatch) -> AsyncGenerator[tuple[Hub, Slow, RawSocket]]:
    """A client that waits for admission and already sends frames."""
    async with hub_and_url(folder) as (hub, url):
        slow = Slow(hub)
        patch.setattr(hub.admission, "admit", slow.admit)
        async with connected(port_of(url)) as client:
            await client.send(handshake(url, {}))
            await slow.asked.wait()
            for n in range(3):
                await client.send_json("ping", nonce=n)
            await client.send(frame(b"early", PING))
            yield hub, slow, client


async def test_frames_sent_meanwhile_wait_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow_admission(tmp_path, monkeypatch) as (hub, slow, client):
        pass_by(hub, LONG)  # and the heartbeat leaves it alone
        slow.answer.set_result(Principal.development())
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert (await client.receive())["type"] == "connected"
        assert [(await client.receive())["nonce"] for _ in range(3)] == [0, 1, 2]
        assert await client.receive_raw() == (PONG, b"early")


@pytest.mark.parametrize(
    ("error", "code"),
    [(AdmissionRefused(CloseCode.TOO_MANY_REQUESTS, "full"), 4429), (RuntimeError("a mistake of ours"), 1011)],
)
async def test_or_are_never_read(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """C-CON-2"""
    async with slow_admission(tmp_path, monkeypatch) as (hub, slow, client):
        if isinstance(error, AdmissionRefused):
            monkeypatch.setattr(hub.admission, "_enter", lambda *_: (_ for _ in ()).throw(error))
            slow.answer.set_result(Principal.development())
        else:
            slow.answer.set_exception(error)
        await client.until(b"\r\n\r\n")
        opcode, payload = await client.receive_raw()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
        client.reset()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == (
        ["a client's token could not be checked: a mistake of ours"] if code == 1011 else []
    )


async def test_admission_has_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ADMISSION_SECONDS", 0.01)
    async with slow_admission(tmp_path, monkeypatch) as (hub, _, client):
        await client.until(b"\r\n\r\n")
        assert await client.closed() == 1011
        assert hub.counts.auth_failures == {"unavailable": 1}


async def test_an_admission_in_progress_ends_with_the_hub(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with slow_admission(tmp_path, patch) as (hub, _, client):
            [admission] = hub.native.admitting
            await hub._open.aclose()
            assert admission.cancelled()
            await client.until_eof()


async def test_a_client_that_leaves_meanwhile_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow_admission(tmp_path, monkeypatch) as (hub, slow, client):
        client.reset()
        slow.answer.set_result(Principal.development())
    assert not +hub.counts.connections


# --- whose limits a connection counts against


async def test_a_connection_counts_for_the_first_principal_that_authenticates(tmp_path: Path) -> None:
    """C-LIM-7, C-AUT-2: with the first token, and with none of the later ones."""
    async with hub_and_url(tmp_path, auth_secret=SECRET, max_connections_per_principal=1) as (hub, url):
        ada, eve = (token_of(hub, name, {"*": ["read"]}) for name in ("ada", "eve"))
        first = await dial(url)
        await first.receive_until("connected")
        assert hub.admission._present._principals == {}
        for token in (ada, ada, eve):
            await first.request("authenticate", token=token)
        assert hub.admission._present._principals == {"ada": 1}
        async with dialled(url, token=ada) as second, dialled(url, token=eve) as third, dialled(url) as fourth:
            assert await second.closed() == 4429
            await third.receive_until("connected")
            await fourth.receive_until("connected")
            assert (await fourth.request("authenticate", token=ada))["code"] == "too_many_requests"
            assert await fourth.closed() == 4501
            first.reset()
            await until(lambda: "ada" not in hub.admission._present._principals)
            async with dialled(url, token=ada) as fifth:
                await fifth.receive_until("connected")


async def test_only_trusted_proxies_may_forward_addresses(tmp_path: Path) -> None:
    """C-ACL-4: behind TLS that ends in a proxy the hub's own origin is https; an address is the client's own."""
    forwarded = {"X-Forwarded-For": "203.0.113.7, 203.0.113.9", "X-Forwarded-Proto": "https"}
    async with hub_and_url(tmp_path, auth_secret=SECRET) as (hub, url):
        token = token_of(hub, "ada", {})
        own = url.replace("ws://", "https://").removesuffix("/ws/streaming")
        async with dialled(url, token=token, Origin=own, **forwarded) as client:
            await client.receive_until("connected")
            assert hub.admission._present._addresses == {"203.0.113.9": 1}
        async with dialled(url, token=token, Origin=own) as client:
            assert await client.closed() == 4504
    async with hub_and_url(tmp_path, auth_secret=SECRET, proxies="203.0.113.1") as (hub, url):
        async with dialled(url, token=token, **forwarded) as client:
            await client.receive_until("connected")
            assert hub.admission._present._addresses == {"127.0.0.1": 1}
        async with dialled(url, token=token, Origin=own, **forwarded) as client:
            assert await client.closed() == 4504


async def test_repeated_headers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first one counts, and nothing is logged as an error."""
    async with hub_and_url(tmp_path, auth_secret=SECRET) as (hub, url), connected(port_of(url)) as client:
        good = f"Bearer {token_of(hub, 'ada', {})}"
        twice = handshake(url, {"Authorization": good})[:-2] + b"Authorization: Bearer x\r\nHost: evil.example\r\n\r\n"
        await client.send(twice)
        await client.until(b"\r\n\r\n")
        assert (await client.receive())["type"] == "connected"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- the heartbeat


async def test_a_silent_client_is_pinged_and_then_dropped(tmp_path: Path) -> None:
    """C-PNG-2"""
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        pass_by(hub, admission.HEARTBEAT_SECONDS - 1)
        pass_by(hub, 2)
        pass_by(hub, native.SILENCE_SECONDS - 1)
        assert await client.receive_raw() == (PING, b"")  # one, although it was asked about twice
        assert (await client.request("ping", nonce="a"))["nonce"] == "a"
        pass_by(hub, admission.HEARTBEAT_SECONDS + 1)
        assert (await client.receive_raw())[
            0
        ] == PING  # it has sent something since, so it is pinged again, not dropped
        pass_by(hub, native.SILENCE_SECONDS + 1)
        assert await client.until_eof() == b""


async def test_a_pong_has_the_data_of_its_ping(tmp_path: Path) -> None:
    async with hub_and_url(tmp_path) as (_, url), dialled(url) as client:
        await client.receive_until("connected")
        for said in (b"", b"x" * 125):
            await client.send(frame(said, PING))
            assert await client.receive_raw() == (PONG, said)
        await client.send(frame(b"nobody asked", PONG))
        assert (await client.request("ping"))["type"] == "pong"


async def test_a_heartbeat_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unlucky:
        beats = 0

        def beat(self, _: float) -> None:
            self.beats += 1
            raise RuntimeError("a mistake of ours")

    unlucky = Unlucky()
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        hub.native.open = {cast("Any", unlucky), *hub.native.open}
        monkeypatch.setattr(native, "HEARTBEAT_SECONDS", 0.0)
        assert (await client.receive_raw())[0] == PING
        await until(lambda: unlucky.beats > 1)
        hub.native.open.discard(cast("Any", unlucky))
    assert {record.getMessage() for record in caplog.records} == {"a heartbeat failed: a mistake of ours"}


async def test_an_error_in_admission_closes_only_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with slow_admission(tmp_path, monkeypatch) as (hub, slow, client):
        monkeypatch.setattr(hub.admission, "connect", cast("Any", None))
        slow.answer.set_result(Principal.development())
        await client.until_eof()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


async def test_a_handshake_behind_a_request_that_is_still_answered(tmp_path: Path) -> None:
    """Neither would learn that the connection ended, so it is ended at once."""
    async with hub_and_url(tmp_path) as (hub, url), connected(port_of(url)) as client:
        stream = b"GET /api/plans/p/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await client.send(stream)
        await client.until(b"connected")
        assert hub.counts.connections == {"sse": 1}
        await client.send(handshake(url, {}))
        assert b"HTTP/1.1 101" not in await client.until_eof()
        await until(lambda: hub.counts.connections == {"sse": 0})


# --- more than allowed


async def test_ten_thousand_subscriptions_in_one_write(tmp_path: Path) -> None:
    """C-LIM-2, C-LIM-4: those within the limits are confirmed before the connection is closed."""
    asked = b"".join(frame(b'{"type":"subscribe_plan","plan_id":"many.%d"}' % n) for n in range(10_000))
    async with hub_and_url(tmp_path) as (_, url), dialled(url) as client:
        await client.receive_until("connected")
        sending = asyncio.create_task(client.send(asked))
        heard: Counter[str] = Counter()
        while (said := await client.next()) is not None:
            heard[said.get("code", said["type"])] += 1
        client.reset()
        await sending
    assert client.code == 4429
    assert heard.keys() == {"subscription_confirmed", "too_many_subscriptions"}
    assert heard["subscription_confirmed"] == 256


# --- a reader that is slow


async def test_a_slow_reader_is_behind_and_gets_everything(tmp_path: Path) -> None:
    """C-CLS-3, C-SUB-4"""
    async with hub_and_url(tmp_path) as (hub, url), dialled(url, receive_buffer=4096) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        [connection] = hub.roster._connections
        [subscriber] = connection.subscribers
        said = await say(hub, "p", 400, size=2000)
        await until(lambda: subscriber.standing is Standing.BEHIND)
        assert subscriber.offset < said.offset
        assert connection._outlet.unread() < hub.admission.waters.high + hub.settings.limits.channel.burst_bytes * 2
        for offset in range(1, said.offset + 1):
            assert (await client.receive())["offset"] == offset
        await until(lambda: subscriber.standing is Standing.LIVE)
        await say(hub, "p", 1)
        assert (await client.receive())["offset"] == said.offset + 1


async def test_who_came_early_leaves_room_for_those_who_come_later(tmp_path: Path) -> None:
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        [early] = hub.native.open
        waters = hub.admission.waters
        for connections in (10_000, 1):
            waters.share(connections)
            await until(lambda: early._transport.get_write_buffer_limits() == (waters.low, waters.high))


async def test_a_reader_that_takes_nothing_is_closed_and_may_come_back(tmp_path: Path) -> None:
    """C-CLS-3, C-CLS-1"""
    async with hub_and_url(tmp_path, slow_seconds=1.0) as (hub, url):
        async with dialled(url, receive_buffer=4096) as client:
            await client.receive_until("connected")
            await client.request("subscribe_plan", plan_id="p", since="start")
            said = await say(hub, "p", 400, size=2000)
            await until(lambda: hub.counts.slow_consumers)
            place = {"offset": 0}
            while (heard := await client.next()) is not None:
                assert heard["offset"] == place["offset"] + 1
                place = heard
            assert client.code == 4408
        async with dialled(url) as client:
            await client.receive_until("connected")
            since = {"epoch": place["epoch"], "offset": place["offset"]}
            await client.request("subscribe_plan", plan_id="p", since=since)
            for offset in range(int(place["offset"]) + 1, said.offset + 1):
                assert (await client.receive())["offset"] == offset


# --- endings


@pytest.mark.parametrize("said", [b"", (1000).to_bytes(2, "big"), (4321).to_bytes(2, "big") + b"so long"])
async def test_a_close_is_answered_with_the_same_code(said: bytes, tmp_path: Path) -> None:
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        await client.send(frame(said, CLOSE))
        assert await client.receive_raw() == (CLOSE, said)
        await say(hub, "p", 1)
        assert await client.until_eof() == b""
        await until(lambda: not len(hub.roster))


async def test_a_client_that_vanishes(tmp_path: Path) -> None:
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        client.reset()
        await until(lambda: not len(hub.roster))
        assert hub.counts.connections == {"native": 0}


async def test_a_client_that_does_not_answer_a_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-CLS-1: nothing follows it, and the connection is not kept for long."""
    monkeypatch.setattr(native, "CLOSING_SECONDS", 0.3)
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p")
        [connection] = hub.roster._connections
        connection.close(CloseCode.INTERNAL, "for a test")
        await say(hub, "p", 3)
        connection.close(CloseCode.NORMAL, "again")
        pass_by(hub, LONG)
        assert await client.receive_raw() == (CLOSE, (1011).to_bytes(2, "big") + b"for a test")
        assert await client.until_eof() == b""


async def test_a_client_that_is_still_sending_receives_the_close_code(tmp_path: Path) -> None:
    """C-LIM-1: closing a connection while the client still sends would reset it, and the reason would be lost."""
    async with hub_and_url(tmp_path) as (_, url), dialled(url) as client:
        await client.receive_until("connected")
        sending = asyncio.create_task(client.send(frame(b"x" * 8_000_000)))
        assert await client.closed() == 1009
        await sending


async def test_a_message_in_as_many_fragments_as_allowed(tmp_path: Path) -> None:
    """C-LIM-1"""
    whole = b'{"type":"ping","nonce":"' + b"x" * 60 + b'"}'
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as client:
        most = hub.settings.limits.session.frame_fragments
        await client.receive_until("connected")
        for empty, heard in ((most - 2, "pong"), (most - 1, None)):
            pieces = [frame(whole[:9], fin=False), *[frame(b"", CONT, fin=False)] * empty, frame(whole[9:], CONT)]
            await client.send(b"".join(pieces) + frame(b"", PING))
            said = await client.next()
            assert (said and said["type"]) == heard
        assert client.code == 1009


# --- mistakes of ours


@pytest.mark.parametrize("where", ["receive", "drained"])
async def test_a_mistake_costs_one_connection(
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
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told == [f"connection {unlucky.session.connection_id}: a mistake of ours"]


async def test_a_mistake_in_a_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with hub_and_url(tmp_path) as (hub, url), dialled(url) as other:
        await other.receive_until("connected")
        monkeypatch.setattr(hub.admission, "admit", cast("Any", None))
        async with connected(port_of(url)) as client:
            await client.send(handshake(url, {}))
            assert await client.until_eof() == b""
        assert (await other.request("ping"))["type"] == "pong"
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def port_of(url: str) -> int:
    return int(url.split(":")[2].partition("/")[0])
