"""C-CON-4: the sockets of repeatedly refused pages are held, on both transports, longer each time, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.config.limits import ConnectionLimits
from hub.core.shares import ConnectionCounts
from hub.node import Hub
from hub.transports import native, refusals
from hub.transports.refusals import HeldSocket, Refusals
from hub.wire.codes import CloseCode
from tests.faults.raw_socket import CLOSE, PING, PONG, connected, dialled, frame, handshake
from tests.hub.core.virtual_time import in_virtual_time
from tests.hub.transports.serving import house, serving, until

PAGE = "http://page.example"
HERE = "192.0.2.1"


class Page:
    """A page that is refused, and reconnects at once."""

    def __init__(self, held: Refusals, address: str | None = HERE, origin: str | None = PAGE) -> None:
        self._refusals = held
        self._address, self._origin = address, origin
        self.code = CloseCode.ORIGIN_REFUSED

    def comes(self) -> tuple[HeldSocket, asyncio.Event]:
        ended = asyncio.Event()
        held = self._refusals.hold(self._address, self._origin, self.code, ended.set)
        held.begin()
        return held, ended

    async def is_held_for(self) -> float:
        began = asyncio.get_running_loop().time()
        _, ended = self.comes()
        await ended.wait()
        return asyncio.get_running_loop().time() - began


def room(total: int = 1000) -> ConnectionCounts:
    return ConnectionCounts(ConnectionLimits(per_address=1000, total=total))


@in_virtual_time
async def test_each_time_it_is_held_longer_up_to_a_limit() -> None:
    page = Page(Refusals(room()))
    assert [await page.is_held_for() for _ in range(9)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]


@in_virtual_time
async def test_after_a_while_it_is_treated_as_new() -> None:
    page = Page(Refusals(room()))
    assert [await page.is_held_for() for _ in range(4)] == [0, 1, 2, 4]
    await asyncio.sleep(refusals.FORGET_SECONDS + 1)
    assert await page.is_held_for() == 0


@in_virtual_time
async def test_others_are_not_held_for_it() -> None:
    held = Refusals(room())
    assert [await Page(held).is_held_for() for _ in range(3)] == [0, 1, 2]
    assert await Page(held, address="192.0.2.2").is_held_for() == 0
    assert await Page(held, origin="http://other.example").is_held_for() == 0


@in_virtual_time
@pytest.mark.parametrize("code", [CloseCode.RESTART, CloseCode.TOO_MANY_REQUESTS, CloseCode.TOKEN_EXPIRED])
async def test_who_may_come_back_is_not_held(code: CloseCode) -> None:
    page = Page(Refusals(room()))
    page.code = code
    assert [await page.is_held_for() for _ in range(3)] == [0, 0, 0]


@in_virtual_time
async def test_a_program_is_not_held() -> None:
    page = Page(Refusals(room()), origin=None)
    assert [await page.is_held_for() for _ in range(3)] == [0, 0, 0]


@in_virtual_time
@pytest.mark.parametrize("bound", ["HELD", "HELD_PER_ADDRESS"])
async def test_beyond_a_bound_the_handshake_is_refused(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, bound, 2)
    held = Refusals(present := room())
    page = Page(held)
    await page.is_held_for()
    first, second, third = [page.comes()[0] for _ in range(3)]
    assert [first.accepted, second.accepted, third.accepted] == [True, True, False]
    assert len(held) == present.total == 2
    first.leave()
    first.leave()
    assert page.comes()[0].accepted


@in_virtual_time
async def test_what_is_held_counts_as_a_connection() -> None:
    held = Refusals(present := room(total=1))
    page = Page(held)
    await page.is_held_for()
    assert [page.comes()[0].accepted for _ in range(2)] == [True, False]
    assert present.total == 1
    held.end_all()
    assert present.total == len(held) == len(held._held_by) == 0


@in_virtual_time
async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "REMEMBERED", 10)
    held = Refusals(room())
    for number in range(100):
        await Page(held, origin=f"http://{number}.example").is_held_for()
    assert len(held._times) == 10
    assert await Page(held, origin="http://99.example").is_held_for() == 1
    assert await Page(held, origin="http://1.example").is_held_for() == 0


# --- over a real connection


@asynccontextmanager
async def hub_and_url(folder: Path, transport: str, **settings: Any) -> AsyncGenerator[tuple[Hub, str]]:
    ws = None if transport == "native" else "websockets-sansio"
    async with house(folder, **settings) as hub, serving(hub, ws=ws) as url:
        yield hub, url


@pytest.fixture(params=["native", "asgi"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Held for so long that no socket is closed because of the time."""
    monkeypatch.setattr(refusals, "FIRST_SECONDS", 1000.0)
    monkeypatch.setattr(refusals, "LONGEST_SECONDS", 1000.0)
    name: str = request.param
    return name


async def test_a_held_page_has_an_open_socket_until_the_hub_is_drained(tmp_path: Path, transport: str) -> None:
    async with hub_and_url(tmp_path, transport) as (hub, url):
        async with dialled(url, Origin=PAGE) as client:
            assert await client.closed() == 4504
        async with dialled(url, Origin=PAGE) as client:
            await client.send_json("subscribe_plan", plan_id="p")
            await client.send(frame(b"x", PING))
            assert await client.receive_raw() == (PONG, b"x")
            assert (len(hub.admission.refusals), hub.admission._present.total, len(hub.roster)) == (1, 1, 0)
            await hub.drain(10)
            assert await client.closed() == 4504
        assert len(hub.admission.refusals) == 0


async def test_it_is_closed_when_its_time_is_over(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_SECONDS", 0.01)
    async with hub_and_url(tmp_path, transport) as (_, url):
        for _ in range(4):
            async with dialled(url, Origin=PAGE) as client:
                assert await client.closed() == 4504


@pytest.mark.parametrize("how", ["closes", "vanishes"])
async def test_a_held_page_that_leaves_is_held_no_more(tmp_path: Path, transport: str, how: str) -> None:
    async with hub_and_url(tmp_path, transport) as (hub, url):
        async with dialled(url, Origin=PAGE) as client:
            assert await client.closed() == 4504
        async with dialled(url, Origin=PAGE) as client:
            await until(lambda: len(hub.admission.refusals) == 1)
            if how == "closes":
                await client.send(frame((1000).to_bytes(2, "big"), CLOSE))
            else:
                client.reset()
            await until(lambda: len(hub.admission.refusals) == 0)


async def test_a_held_page_that_sends_without_end_is_no_longer_read(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "CLOSING_SECONDS", 0.1)
    async with hub_and_url(tmp_path, transport) as (hub, url), AsyncExitStack() as lines:
        first = await lines.enter_async_context(dialled(url, Origin=PAGE))
        assert await first.closed() == 4504
        client = await lines.enter_async_context(dialled(url, Origin=PAGE))
        await until(lambda: len(hub.admission.refusals) == 1)
        await client.send(frame(b'{"type":"ping"}') * hub.settings.limits.session.frames_burst * 2)
        if transport == "native":
            await until(lambda: any(one._held and not one._transport.is_reading() for one in hub.native.open))
            hub.admission.refusals.end_all()
        else:
            assert await client.closed() == 4504


async def test_beyond_the_bound_the_handshake_of_a_page_is_refused(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees no `open`, and so doesn't forget how often it has tried."""
    monkeypatch.setattr(refusals, "HELD", 0)
    async with hub_and_url(tmp_path, transport) as (_, url):
        async with dialled(url, Origin=PAGE) as client:
            assert await client.closed() == 4504
        async with connected(int(url.split(":")[2].split("/")[0])) as client:
            await client.send(handshake(url, {"Origin": PAGE}))
            assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
