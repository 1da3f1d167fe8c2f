"""The log behind a hub, beyond the contract suite: hubs that restart, fail or refuse; tails that continue."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread

import pytest

from broadcasters import Broadcaster
from broadcasters.errors import InvalidEvent, LogMisconfigured, LogUnavailable
from broadcasters.log.contract import Entry, Facts
from broadcasters.log.http import HttpLog
from tests.contract.clients import Producer, RecordingWatcher, all_of
from tests.hub.tokens import SECRET, token
from tests.servers.hub import HubServer

OpenLog = Callable[..., Awaitable[HttpLog]]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    directory: Path = tmp_path_factory.mktemp("http-log")
    with HubServer(f"sqlite:///{directory / 'plans.db'}", drain_seconds=1) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    directory: Path = tmp_path_factory.mktemp("http-log-guarded")
    with HubServer(f"sqlite:///{directory / 'plans.db'}", auth_secret=SECRET, auth_leeway=0) as server:
        yield server


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[HttpLog]:
    log = HttpLog(url)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def started_again(hub: HubServer) -> None:
    hub.start(wait=False)  # in this thread: a process ends with the thread that started it
    await asyncio.to_thread(hub.wait_until_ready)


def plan_ids(name: str, count: int) -> list[str]:
    return [f"{name}-{time.time_ns()}-{i}" for i in range(count)]


# -- tails ----------------------------------------------------------------------------------------------------------


async def test_watching_more_and_more_plans_one_by_one_loses_nothing(hub: HubServer) -> None:
    plans = plan_ids("many", 30)
    async with opened(hub.url) as log, opened(hub.url) as other:
        producers = {plan_id: Producer(plan_id) for plan_id in plans}
        received: dict[str, RecordingWatcher] = {}
        heads: dict[str, int] = {}
        stop = asyncio.Event()

        async def talk() -> None:
            while not stop.is_set():
                for producer in producers.values():
                    await producer.batch("x").to(other)

        talking = asyncio.create_task(talk())
        for plan_id in plans:
            received[plan_id] = RecordingWatcher()
            await log.watch(plan_id, received[plan_id])
            heads[plan_id] = (await log.head(plan_id)).offset
        stop.set()
        await talking
        for plan_id, one in received.items():
            last = producers[plan_id].seq - 1
            if last > heads[plan_id]:
                await one.until_offset(last)
            assert set(range(heads[plan_id] + 1, last + 1)) <= set(one.offsets)
            assert one.words == []
        assert hub.metric("plancast_connections", transport="tail") <= 2


async def test_a_tail_survives_its_hub(hub: HubServer) -> None:
    [plan_id] = plan_ids("survivor", 1)
    async with opened(hub.url) as log:
        producer, received = Producer(plan_id), RecordingWatcher()
        await log.watch(plan_id, received)
        await producer.batch("a").to(log)
        await received.until_offset(1)
        hub.kill()
        await received.until_word("lost")
        with pytest.raises(LogUnavailable):
            await log.head(plan_id)
        await started_again(hub)
        await received.until_word("resumed")
        await producer.batch("b").to(log)
        await received.until_offset(2)
        assert received.words == ["lost", "resumed"]
        assert await all_of(log, plan_id) == ["a", "b"]


async def test_a_hub_that_is_drained_ends_its_tails_at_once(hub: HubServer) -> None:
    [plan_id] = plan_ids("drained", 1)
    async with opened(hub.url) as log:
        received = RecordingWatcher()
        await log.watch(plan_id, received)
        hub.signal(15)
        await received.until_word("lost")
        await asyncio.to_thread(hub.wait)
        await started_again(hub)
        await received.until_word("resumed")


@pytest.mark.parametrize("broken", ["tail_stream.TailStream.open", "tail._HttpPlan.stand_at"])
async def test_a_tail_that_fails_in_an_unknown_way_is_opened_again(
    broken: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("not a number")

    plan_id, received = plan_ids("anew", 1)[0], RecordingWatcher()
    async with opened(hub.url) as log, asyncio.timeout(60):
        with monkeypatch.context() as patch:
            patch.setattr(f"broadcasters.log.http.{broken}", fails)
            with pytest.raises(LogUnavailable, match="not a number"):
                await log.watch(plan_id, received)
        await log.watch(plan_id, received)
        await Producer(plan_id).batch("a").to(log)
        await received.until_offset(1)
        assert not any(part.down for part in log.parts.values())


async def test_a_plan_that_may_not_be_watched_does_not_affect_others(guarded: HubServer) -> None:
    claims = {"sub": "ada", "exp": 4_000_000_000, "plans": {"open-*": ["read", "publish"]}}
    plan_id, other, closed = *plan_ids("open", 2), *plan_ids("closed", 1)
    async with opened(f"{guarded.url}?token={token(claims)}") as log:
        received, later = RecordingWatcher(), RecordingWatcher()
        await log.watch(plan_id, received)
        with pytest.raises(LogMisconfigured, match="forbidden"):
            await log.watch(closed, RecordingWatcher())
        await log.watch(other, later)
        for each, one in ((plan_id, received), (other, later)):
            await Producer(each).batch("a").to(log)
            await one.until_offset(1)
            assert one.words == []


async def test_an_agent_that_is_too_slow_gets_a_report_of_missed_events(hub: HubServer) -> None:
    """The hub buffers little for a tail; beyond that it drops events and reports the loss to the tail."""
    [plan_id] = plan_ids("deaf", 1)
    async with opened(hub.url) as log, opened(hub.url) as other:
        received = RecordingWatcher()
        await log.watch(plan_id, received)
        flooding = Thread(target=asyncio.run, args=(flood(hub.url, plan_id),))
        flooding.start()
        flooding.join()  # meanwhile this event loop is blocked, and so the tail
        await received.until_word("resumed")
        assert received.words[:2] == ["lost", "resumed"]
        producer = Producer(plan_id, "afterwards")
        place = next(iter((await producer.batch("the last word").to(other)).offsets))
        await received.until_offset(place)


async def flood(url: str, plan_id: str) -> None:
    async with opened(url) as log:
        producer = Producer(plan_id, "flood")
        for _ in range(40):
            await producer.batch(*["x" * 200_000] * 5).to(log)


# -- appends --------------------------------------------------------------------------------------------------------


async def test_appends_of_many_plans_travel_together(hub: HubServer) -> None:
    before = hub.metric("plancast_connections_opened_total")
    plans = plan_ids("together", 200)
    async with opened(hub.url) as log:
        answers = await asyncio.gather(*[Producer(plan_id).batch("a", "b").to(log) for plan_id in plans])
        assert [list(answer.offsets) for answer in answers] == [[1, 2]] * 200
        heads = await log.heads(plans)
        assert {head.offset for head in heads.values()} == {2}
    assert hub.metric("plancast_connections_opened_total") == before


async def test_an_append_that_fails_in_an_unknown_way_may_be_repeated(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake of ours")

    producer = Producer(plan_ids("unknown", 1)[0])
    async with opened(hub.url) as log, asyncio.timeout(60):
        with monkeypatch.context() as broken:
            broken.setattr(log._link, "request", fails)
            with pytest.raises(LogUnavailable, match="a mistake of ours"):
                await producer.batch("a").to(log)
        await producer.batch("b").to(log)


async def test_one_that_is_refused_does_not_affect_others_in_its_request(guarded: HubServer) -> None:
    claims = {"sub": "ada", "exp": 4_000_000_000, "plans": {"open-*": ["read", "publish"]}}
    plans = [*plan_ids("open", 2), *plan_ids("closed", 1)]
    async with opened(f"{guarded.url}?token={token(claims)}") as log:
        one, two, three = await asyncio.gather(
            *[Producer(plan_id).batch("a").to(log) for plan_id in plans], return_exceptions=True
        )
        assert list(one.offsets) == list(two.offsets) == [1]  # type: ignore[union-attr]
        assert isinstance(three, LogMisconfigured)
        assert "no right to publish" in str(three)


async def test_a_payload_that_is_no_event_is_refused(hub: HubServer) -> None:
    [plan_id] = plan_ids("unfit", 1)
    async with opened(hub.url) as log:
        for payload in (b"hello", b'{"type":"snapshot","id":"a","data":{}}', b"a\nb"):
            with pytest.raises(InvalidEvent):
                await log.append(plan_id, "x", 1, [Entry(payload)], Facts())
        assert (await log.head(plan_id)).offset == 0


async def test_an_outbox_delivers_everything_through_a_hub_that_restarts(hub: HubServer) -> None:
    [plan_id] = plan_ids("restart", 1)
    async with Broadcaster(hub.url, deadline=60) as broadcaster:
        sending = [asyncio.create_task(talk(broadcaster, plan_id, f"{i}", 25)) for i in range(8)]
        await asyncio.sleep(0)
        await asyncio.wait(sending, timeout=0.2)
        hub.kill()
        await started_again(hub)
        placed = [offset for offsets in await asyncio.gather(*sending) for offset in offsets]
    async with opened(hub.url) as log:
        story = await all_of(log, plan_id)
    assert sorted(placed) == list(range(1, len(story) + 1)) == list(range(1, 201))
    assert len(set(story)) == 200


async def talk(broadcaster: Broadcaster, plan_id: str, name: str, count: int) -> list[int]:
    return [(await broadcaster.send_agent_message(plan_id, name, f"{name}/{i}")).offset for i in range(count)]


async def test_a_plan_sent_through_a_hub_is_checkpointed(hub: HubServer) -> None:
    [plan_id] = plan_ids("long", 1)
    async with Broadcaster(hub.url) as broadcaster:
        for _ in range(6):
            await asyncio.gather(*[broadcaster.send_agent_message(plan_id, "A", "x") for _ in range(100)])
    async with opened(hub.url) as log:
        kept = await log.checkpoint(plan_id)
    assert kept is not None
    assert json.loads(kept.snapshot)["offset"] == kept.position.offset >= 500


# -- tokens and addresses --------------------------------------------------------------------------------------------------


async def test_a_renewed_token_is_read_when_the_old_one_is_refused(guarded: HubServer, tmp_path: Path) -> None:
    path = tmp_path / "token"
    plans = {"plan-*": ["read", "publish"]}
    short = time.time() + 3.0
    path.write_text(token({"sub": "ada", "exp": short, "plans": plans}))
    [plan_id] = plan_ids("plan", 1)
    async with opened(f"{guarded.url}?token=@{path}") as log:
        producer = Producer(plan_id)
        await producer.batch("a").to(log)
        await asyncio.sleep(max(0, short - time.time()) + 0.1)  # tokens expire by the wall clock
        with pytest.raises(LogMisconfigured, match="expired"):
            await producer.batch("b").to(log)
        path.write_text(token({"sub": "ada", "exp": 4_000_000_000, "plans": plans}))
        assert list((await producer.batch("c").to(log)).offsets) == [2]


@pytest.mark.parametrize("url", ["", "?token=nonsense"])
async def test_without_a_good_token_opening_says_what_to_do(
    guarded: HubServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANCAST_TOKEN", raising=False)
    with pytest.raises(LogMisconfigured, match="PLANCAST_TOKEN"):
        await HttpLog(guarded.url + url).open()


async def test_an_address_of_another_server(hub: HubServer) -> None:
    with pytest.raises(LogMisconfigured, match="404"):
        await HttpLog(f"{hub.url}/elsewhere").open()
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1"):
        await HttpLog("http://127.0.0.1:1").open()


async def test_an_untrusted_certificate(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        with pytest.raises(LogMisconfigured, match="not trusted: "):
            await HttpLog(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}").open()


@pytest.mark.parametrize("plan_id", [".", "..", "~a:b@c_d-e.f", "x" * 128])
async def test_any_plan_id_finds_its_plan(hub: HubServer, plan_id: str) -> None:
    async with opened(hub.url) as log:
        before = (await log.head(plan_id)).offset
        await Producer(plan_id, f"p{time.time_ns()}").batch("a").to(log)
        page = await log.read(plan_id, before)
        assert (page.first, len(page.payloads)) == (before + 1, 1)
        assert await log.checkpoint(plan_id) is None
        assert await log.delete(plan_id) is True
