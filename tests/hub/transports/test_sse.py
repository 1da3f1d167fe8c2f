"""H-SSE-1 to H-SSE-5: event streams of a real hub, parsed as the HTML standard defines."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.events import PlanStatus, PlanUpdate, build
from broadcasters.log.contract import Checkpoint
from hub.core.counts import HubCounts
from hub.transports.sse import EndedPlans
from tests.hub.core.scripted_log import ScriptedLog, step
from tests.hub.core.virtual_time import in_virtual_time, turns
from tests.hub.event_source import EventSource, Message
from tests.hub.hubs import Said, say, until
from tests.hub.transports.serving import house, serving
from tests.servers.hub import HubServer


def stream_of(*plan_ids: str, since: str | None = None) -> str:
    query = "&".join([*(f"plan={plan_id}" for plan_id in plan_ids), *([f"since={since}"] if since else [])])
    return f"/api/stream?{query}" if len(plan_ids) > 1 else f"/api/plans/{plan_ids[0]}/stream?{query}"


def events_of(messages: list[Message]) -> list[tuple[str, int, str]]:
    """Plan, offset and text of each message that is an event of a plan."""
    frames = [message.said for message in messages if message.name == "message"]
    return [
        (frame["plan_id"], frame["offset"], frame["data"].get("content", ""))
        for frame in frames
        if frame["type"] in ("agent_message", "plan_update")
    ]


async def test_a_stream_begins_as_the_standard_and_the_protocol_define(client: httpx.AsyncClient, plan_id: str) -> None:
    placed = await say(client, plan_id, Said.message("before"))
    async with EventSource.open(client, stream_of(plan_id)) as source:
        assert (await source.until("connected")).said["protocol"] == 1
        assert source.retry == 2000
        confirmed = await source.until("subscription_confirmed")
        assert confirmed.said["offset"] == 1
        assert confirmed.last_event_id == f"{placed['epoch']}:1"
        await say(client, plan_id, Said.message("after"))
        event = await source.until("agent_message")
        assert event.said["data"]["content"] == "after"
        assert event.last_event_id == f"{placed['epoch']}:2"


async def test_any_text_arrives_unchanged(client: httpx.AsyncClient, plan_id: str) -> None:
    text = "lines\nand\r\nmore\rlines, \u2028 \u2029 \x85 \0 data: x\n\nid: 7\n\n🚂"
    async with EventSource.open(client, stream_of(plan_id)) as source:
        await source.until("subscription_confirmed")
        await say(client, plan_id, Said.message(text))
        assert (await source.until("agent_message")).said["data"]["content"] == text


async def test_an_interrupted_stream_continues_at_its_position(client: httpx.AsyncClient, plan_id: str) -> None:
    dice = random.Random(7)

    async def publish() -> None:
        for at in range(0, 60, 3):
            await say(client, plan_id, *[Said.message(str(at + i)) for i in range(3)])

    publishing = asyncio.create_task(publish())
    told: list[Message] = []
    last_event_id = ""
    while len(events_of(told)) < 60:
        async with EventSource.open(client, stream_of(plan_id, since="start"), last_event_id=last_event_id) as source:
            for _ in range(dice.randint(0, 9)):
                if len(events_of(told)) == 60:
                    break
                message = await source.next()
                assert message is not None
                told.append(message)
            last_event_id = source.last_event_id
    await publishing
    assert events_of(told) == [(plan_id, i + 1, str(i)) for i in range(60)]


async def test_each_of_several_plans_continues_at_its_position(client: httpx.AsyncClient, plan_id: str) -> None:
    plans = [f"{plan_id}-{i}" for i in range(3)]
    await say(client, plans[0], Said.message("old"))
    told: list[Message] = []
    last_event_id = ""
    for round_ in range(6):
        async with EventSource.open(client, stream_of(*plans, since="start"), last_event_id=last_event_id) as source:
            plan = plans[round_ % 2]  # the third never has an event
            await say(client, plan, Said.message(f"{round_}"), Said.message(f"{round_}+"))
            while [text for _, _, text in events_of(told)].count(f"{round_}") == 0:
                message = await source.next()
                assert message is not None
                told.append(message)
            last_event_id = source.last_event_id
            assert len(last_event_id.split(",")) == 3
    async with EventSource.open(client, stream_of(*plans), last_event_id=last_event_id) as source:
        told.append(await source.until("agent_message"))
    for plan in plans[:2]:
        own = [(offset, text) for of, offset, text in events_of(told) if of == plan]
        assert [offset for offset, _ in own] == list(range(1, len(own) + 1))
        assert len({text for _, text in own}) == len(own)
    assert {text for _, _, text in events_of(told)} == {"old", *"012345", *(f"{i}+" for i in range(6))}


async def test_a_position_without_an_event_yet_is_kept(client: httpx.AsyncClient, plan_id: str) -> None:
    """What is said between two connections about a plan that was silent before is not missed, nor is anything older
    told."""
    silent, talks = f"{plan_id}-silent", f"{plan_id}-talks"
    await say(client, silent, Said.message("long ago"))
    async with EventSource.open(client, stream_of(silent, talks)) as source:
        await source.until("subscription_confirmed")
        await source.until("subscription_confirmed")
        await say(client, talks, Said.message("hello"))
        await source.until("agent_message")
    await say(client, silent, Said.message("in between"))
    async with EventSource.open(client, stream_of(silent, talks), last_event_id=source.last_event_id) as again:
        assert (await again.until("agent_message")).said["data"]["content"] == "in between"


@pytest.mark.parametrize("since", ["start", "snapshot", None])
async def test_a_stream_ends_with_its_plan(client: httpx.AsyncClient, plan_id: str, since: str | None) -> None:
    async with EventSource.open(client, stream_of(plan_id, since=since)) as source:
        await source.until("subscription_confirmed")
        await say(client, plan_id, Said.message("a"), Said.update(status="completed", content="b"))
        messages = await source.rest()
    assert events_of(messages) == [(plan_id, 1, "a"), (plan_id, 2, "b")]
    assert (messages[-1].name, messages[-1].said) == ("end", {"plan_id": plan_id})


@pytest.mark.parametrize("since", ["start", "snapshot", None, "place", "place before"])
async def test_a_plan_that_had_ended_before_is_reported_as_ended(
    client: httpx.AsyncClient, plan_id: str, since: str | None
) -> None:
    placed = await say(client, plan_id, Said.message("a"), Said.update(status="error", content="b"))
    await say(client, plan_id, Said.message("a last word"))
    places = {"place": f"{placed['epoch']}:3", "place before": f"{placed['epoch']}:2"}
    async with EventSource.open(client, stream_of(plan_id, since=places.get(since or "", since))) as source:
        messages = await source.rest()
    expected = {"start": [1, 2, 3], "place before": [3]}.get(since or "", [])
    assert [offset for _, offset, _ in events_of(messages)] == expected
    assert [message.name for message in messages].count("end") == 1
    assert messages[-1].name == "end"


async def test_a_plan_that_was_resumed_continues(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, Said.update(status="completed"), Said.update(status="in_progress"))
    async with EventSource.open(client, stream_of(plan_id, since="start")) as source:
        for _ in range(2):
            await source.until("plan_update")
        await say(client, plan_id, Said.message("more"), Said.update(status="completed"))
        assert [message.name for message in await source.rest()] == ["message", "message", "end"]


async def test_a_step_that_ends_does_not_end_its_plan(client: httpx.AsyncClient, plan_id: str) -> None:
    async with EventSource.open(client, stream_of(plan_id)) as source:
        await source.until("subscription_confirmed")
        await say(client, plan_id, Said.update(step_id="one", status="completed"))
        await source.until("plan_update")
        await say(client, plan_id, Said.message("more"))
        await source.until("agent_message")


async def test_each_of_several_plans_ends_and_the_last_one_ends_the_stream(
    client: httpx.AsyncClient, plan_id: str
) -> None:
    one, two = f"{plan_id}-1", f"{plan_id}-2"
    await say(client, one, Said.update(status="completed"))
    async with EventSource.open(client, stream_of(one, two)) as source:
        assert (await source.until("end")).said == {"plan_id": one}
        await say(client, two, Said.update(status="cancelled"))
        messages = await source.rest()
    assert messages[-1].said == {"plan_id": two}


async def test_a_position_that_was_lost_gets_a_snapshot_and_keeps_the_old_id_until_then(
    client: httpx.AsyncClient, plan_id: str
) -> None:
    placed = await say(client, plan_id, Said.message("a"))
    async with EventSource.open(client, stream_of(plan_id), last_event_id="ffffffff:7") as source:
        confirmed = await source.until("subscription_confirmed")
        assert (confirmed.said["recovered"], confirmed.said["reason"]) == (False, "epoch")
        assert confirmed.last_event_id == "ffffffff:7"
        snapshot = await source.until("snapshot")
        assert snapshot.said["data"]["messages"][0]["content"] == "a"
        assert snapshot.last_event_id == f"{placed['epoch']}:1"


async def test_a_plan_that_is_deleted_ends_its_stream(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, Said.message("a"))
    async with EventSource.open(client, stream_of(plan_id)) as source:
        await source.until("subscription_confirmed")
        assert (await client.delete(f"/api/plans/{plan_id}")).status_code == 204
        assert (await source.until("subscription_ended")).said["code"] == 2404
        assert (await source.until("close")).said["code"] == 1000
        assert await source.next() is None


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("/api/plans/no!plan/stream", 422, "invalid_plan_id"),
        ("/api/plans/~plancast.probe/stream", 403, "forbidden"),
        ("/api/stream", 422, "invalid_field"),
        ("/api/stream?plan=a&plan=b/c", 422, "invalid_plan_id"),
        ("/api/stream?plan=a&plan=~plancast.tickets", 403, "forbidden"),
        ("/api/stream?" + "&".join(f"plan=p{i}" for i in range(51)), 422, "invalid_field"),
        ("/api/plans/a/stream?since=yesterday", 422, "invalid_field"),
        ("/api/plans/a/stream?since=e:1,e:2", 422, "invalid_field"),
        ("/api/plans/a/stream?since=e:-1", 422, "invalid_field"),
        ("/api/plans/a/stream?since=e%0a:1", 422, "invalid_field"),
        ("/api/stream?plan=a&plan=b&since=e:1", 422, "invalid_field"),
    ],
)
async def test_what_can_not_be_streamed_gets_a_status(
    client: httpx.AsyncClient, url: str, status: int, code: str
) -> None:
    response = await client.get(url)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_client_that_leaves_is_counted_no_more(
    server: HubServer, client: httpx.AsyncClient, plan_id: str
) -> None:
    async with EventSource.open(client, stream_of(plan_id)) as source:
        await source.until("subscription_confirmed")
        assert server.metric("plancast_connections", transport="sse") >= 1
    await until(lambda: not server.metric("plancast_connections", transport="sse"))


async def test_many_who_watch_see_the_same(client: httpx.AsyncClient, plan_id: str) -> None:
    async def watch() -> list[tuple[str, int, str]]:
        async with EventSource.open(client, stream_of(plan_id, since="start")) as source:
            return events_of(await source.rest())

    watching = [asyncio.create_task(watch()) for _ in range(20)]
    for at in range(0, 300, 10):
        await say(client, plan_id, *[Said.message(str(at + i)) for i in range(10)])
    await say(client, plan_id, Said.update(status="completed"))
    for told in await asyncio.gather(*watching):
        assert [offset for _, offset, _ in told] == list(range(1, 302))


@pytest.fixture
def quick_hub(tmp_path: Any) -> Any:
    """A hub with short keep-alive and closing times."""
    constants = {"hub.transports.sse.KEEP_ALIVE_SECONDS": 0.05, "hub.transports.pull_outlet.CLOSING_SECONDS": 0.5}
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    with HubServer(log, constants=constants, slow_seconds=1, outlet_bytes=16384, drain_seconds=2) as hub:
        yield hub


async def test_a_quiet_line_is_kept_alive(quick_hub: HubServer, plan_id: str) -> None:
    async with (
        httpx.AsyncClient(base_url=quick_hub.url) as client,
        EventSource.open(client, stream_of(plan_id)) as source,
    ):
        await source.until("subscription_confirmed")
        waiting = asyncio.create_task(source.next())
        await until(lambda: len(source.comments) >= 3)
        await say(client, plan_id, Said.message("a"))
        message = await waiting
        assert message is not None
        assert message.said["type"] == "agent_message"


async def test_a_reader_that_reads_nothing_is_let_go_and_the_others_notice_nothing(
    quick_hub: HubServer, plan_id: str
) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", quick_hub.port))
        deaf.sendall(f"GET {stream_of(plan_id)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with (
            httpx.AsyncClient(base_url=quick_hub.url, timeout=60) as client,
            EventSource.open(client, stream_of(plan_id, since="start")) as source,
        ):
            await source.until("subscription_confirmed")
            watching = asyncio.create_task(source.rest())
            count = 0
            while not await asyncio.to_thread(quick_hub.metric, "plancast_slow_consumers_total"):
                await say(client, plan_id, Said.message("x" * 20_000))
                count += 1
            await until(lambda: quick_hub.metric("plancast_connections", transport="sse") == 1)
            await say(client, plan_id, Said.update(status="completed"))
            told = events_of(await watching)
            assert [offset for _, offset, _ in told] == list(range(1, count + 2))


async def test_a_stopped_hub_says_when_to_reconnect(quick_hub: HubServer, plan_id: str) -> None:
    async with (
        httpx.AsyncClient(base_url=quick_hub.url) as client,
        EventSource.open(client, stream_of(plan_id)) as source,
    ):
        await source.until("subscription_confirmed")
        quick_hub.signal(signal.SIGTERM)
        assert (await source.until("going_away")).said["reconnect_after_ms"] >= 0
        assert (await source.until("close")).said["code"] == 1012
        assert await source.next() is None
    assert await asyncio.to_thread(quick_hub.wait) == 0


async def test_a_plan_that_ended_while_the_log_was_away_ends_its_stream_when_the_log_is_back(
    tmp_path: Path, plan_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{plan_id}-other"
    async with (
        house(tmp_path) as hub,
        serving(hub) as url,
        httpx.AsyncClient(base_url=f"http{url.removeprefix('ws').removesuffix('/ws/streaming')}", timeout=60) as client,
    ):
        await say(client, plan_id, Said.update(status="completed"))
        away = asyncio.Event()
        back = asyncio.Event()
        checkpoint = hub.log.checkpoint

        async def away_for_a_while(of: str) -> Checkpoint | None:
            if of == plan_id and not back.is_set():
                away.set()
                raise LogUnavailable("away")
            return await checkpoint(of)

        monkeypatch.setattr(hub.log, "checkpoint", away_for_a_while)
        async with EventSource.open(client, stream_of(plan_id, other)) as source:
            await source.until("subscription_confirmed")
            async with asyncio.timeout(30):
                await away.wait()
            await say(client, other, Said.message("meanwhile"))
            assert (await source.until("agent_message")).said["plan_id"] == other
            back.set()
            assert (await source.until("end")).said == {"plan_id": plan_id}
            await say(client, other, Said.update(status="completed"))
            assert (await source.rest())[-1].said == {"plan_id": other}


# -- whether a plan has ended


def status(word: PlanStatus) -> bytes:
    return build(PlanUpdate, {"plan_id": "p", "status": word}).payload("i")


@in_virtual_time
async def test_a_plan_that_has_ended() -> None:
    log = ScriptedLog()
    log.say(step(1), status("completed"))
    assert await EndedPlans(log, HubCounts()).ended("p", 2)


@in_virtual_time
async def test_a_plan_that_has_continued() -> None:
    log = ScriptedLog()
    log.say(status("completed"), status("in_progress"))
    assert not await EndedPlans(log, HubCounts()).ended("p", 2)


@in_virtual_time
async def test_an_unavailable_log_is_retried() -> None:
    log, counts = ScriptedLog(), HubCounts()
    log.say(step(1), status("completed"))
    log.down = True
    asking = asyncio.create_task(EndedPlans(log, counts).ended("p", 2))
    await asyncio.sleep(60)
    assert not asking.done()
    assert 20 < counts.log_errors["LogUnavailable"] < 120  # with growing pauses
    log.down = False
    assert await asking


@in_virtual_time
async def test_many_callers_cause_one_read_of_an_unavailable_log() -> None:
    log, counts = ScriptedLog(), HubCounts()
    log.say(status("completed"))
    log.down = True
    ended_plans = EndedPlans(log, counts)
    asking = [asyncio.create_task(ended_plans.ended("p", 1)) for _ in range(50)]
    await asyncio.sleep(60)
    assert counts.log_errors["LogUnavailable"] < 120
    asking.pop(0).cancel()  # the first caller leaves; the others must not be affected
    log.down = False
    assert await asyncio.gather(*asking) == [True] * 49
    assert log.count("checkpoint", "p") < 130


@in_virtual_time
async def test_a_known_result_is_not_read_again() -> None:
    log = ScriptedLog()
    log.say(status("completed"))
    ended_plans = EndedPlans(log, HubCounts())
    assert await ended_plans.ended("p", 1)
    before = len(log.asked)
    assert await ended_plans.ended("p", 1)
    await turns()
    assert len(log.asked) == before
