"""H-POL-1 to H-POL-3: long polls of a real hub respond at once, and lose and repeat nothing."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.hubs import Said, say, until
from tests.servers.hub import HubServer


async def poll(client: httpx.AsyncClient, plan_id: str, place: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = await client.get(f"/api/plans/{plan_id}/events", params={**place, "wait": 20, **more})
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def after(page: dict[str, Any]) -> dict[str, Any]:
    return {"after": page["offset"], "epoch": page["epoch"]}


def texts(page: dict[str, Any]) -> list[str]:
    return [event["data"]["content"] for event in page["events"]]


async def waiting(server: HubServer, count: int) -> None:
    """Waits until this many polls wait at the hub."""
    await until(lambda: server.metric("plancast_connections", transport="poll") >= count)


async def test_a_poll_is_answered_by_the_event_it_waits_for(
    server: HubServer, client: httpx.AsyncClient, plan_id: str
) -> None:
    polls = [asyncio.create_task(poll(client, plan_id, {"after": 0})) for _ in range(5)]
    await waiting(server, 5)
    placed = await say(client, plan_id, Said.message("a"), Said.message("b"))
    pages = await asyncio.gather(*polls)
    assert [texts(page) for page in pages] == [["a", "b"]] * 5
    assert {(page["epoch"], page["offset"], page["head"]) for page in pages} == {(placed["epoch"], 2, 2)}


async def test_a_poll_that_times_out_gets_an_empty_page(client: httpx.AsyncClient, plan_id: str) -> None:
    placed = await say(client, plan_id, Said.message("a"))
    page = await poll(client, plan_id, {"after": 1, "epoch": placed["epoch"]}, wait=0.05)
    assert (page["events"], page["epoch"], page["offset"], page["head"]) == ([], placed["epoch"], 1, 1)


async def test_a_limit_applies_to_the_awaited_events(
    server: HubServer, client: httpx.AsyncClient, plan_id: str
) -> None:
    polling = asyncio.create_task(poll(client, plan_id, {"after": 0}, limit=2))
    await waiting(server, 1)
    await say(client, plan_id, *[Said.message(str(i)) for i in range(5)])
    page = await polling
    assert texts(page) == ["0", "1"]
    assert page["offset"] == 2
    assert texts(await poll(client, plan_id, after(page))) == ["2", "3", "4"]


async def test_a_poll_is_refused_when_its_plan_is_deleted(
    server: HubServer, client: httpx.AsyncClient, plan_id: str
) -> None:
    placed = await say(client, plan_id, Said.message("a"))
    place = {"after": 1, "epoch": placed["epoch"], "wait": 20}
    polling = asyncio.create_task(client.get(f"/api/plans/{plan_id}/events", params=place))
    await waiting(server, 1)
    assert (await client.delete(f"/api/plans/{plan_id}")).status_code == 204
    response = await polling
    assert (response.status_code, response.json()["code"]) == (410, "plan_deleted")


async def test_a_cancelled_poll_is_no_longer_counted(
    server: HubServer, client: httpx.AsyncClient, plan_id: str
) -> None:
    async with httpx.AsyncClient(base_url=server.url) as other:
        polling = asyncio.create_task(poll(other, plan_id, {"after": 0}))
        await waiting(server, 1)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
    await say(client, plan_id, Said.message("a"))
    await until(lambda: not server.metric("plancast_connections", transport="poll"))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 40), min_size=5, max_size=40), readers=st.integers(1, 4)
)
async def test_polls_at_random_beside_a_publisher_at_full_speed_lose_nothing_and_repeat_nothing(
    client: httpx.AsyncClient, seed: int, sizes: list[int], readers: int
) -> None:
    dice = random.Random(seed)
    plan_id = f"poll-{uuid4().hex}"  # not from the seed: the same example may be run again, and has a plan of its own
    story = [str(i) for i in range(sum(sizes))]

    async def publish() -> None:
        at = 0
        for size in sizes:
            await say(client, plan_id, *[Said.message(text) for text in story[at : at + size]])
            at += size

    async def read(dice: random.Random) -> list[str]:
        told: list[str] = []
        place: dict[str, Any] = {"after": 0}
        while len(told) < len(story):
            wait, limit = dice.choice([0, 0.001, 0.05, 20]), dice.choice([1, 7, 100, 1000])
            page = await poll(client, plan_id, place, wait=wait, limit=limit)
            assert page["offset"] == place["after"] + len(page["events"])
            assert [event["offset"] for event in page["events"]] == list(range(place["after"] + 1, page["offset"] + 1))
            told += texts(page)
            place = after(page)
        return told

    _, *told = await asyncio.gather(publish(), *[read(random.Random(dice.random())) for _ in range(readers)])
    assert told == [story] * readers


async def test_a_reader_whose_position_was_trimmed_continues_from_the_snapshot(
    client: httpx.AsyncClient, plan_id: str
) -> None:
    placed = await say(client, plan_id, *[Said.message(str(i)) for i in range(200)])
    for at in range(200, 1200, 200):
        await say(client, plan_id, *[Said.message(str(at + i)) for i in range(200)])
    checkpoint = (await client.get(f"/api/plans/{plan_id}")).content
    kept = await client.put(
        f"/api/plans/{plan_id}/checkpoint",
        content=b'{"epoch":"%b","offset":1200,"window":10,"count":1}\n%b\n' % (placed["epoch"].encode(), checkpoint),
    )
    assert kept.json() == {"kept": True}
    for wait in (0, 20):
        place = {"after": 5, "epoch": placed["epoch"], "wait": wait}
        response = await client.get(f"/api/plans/{plan_id}/events", params=place)
        said = response.json()
        assert (response.status_code, said["code"], said["reason"]) == (410, "continuity_lost", "trimmed")
    snapshot = (await client.get(said["snapshot"])).json()
    await say(client, plan_id, Said.message("later"))
    page = await poll(client, plan_id, {"after": snapshot["offset"], "epoch": placed["epoch"]})
    assert texts(page) == ["later"]


@pytest.fixture
def small_hub(tmp_path: Any) -> Any:
    """Lets in three of one address."""
    with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", max_connections_per_address=3) as hub:
        yield hub


async def test_polls_and_streams_are_counted_and_bounded(small_hub: HubServer, plan_id: str) -> None:
    async with httpx.AsyncClient(base_url=small_hub.url, timeout=30) as client:
        polls = [asyncio.create_task(poll(client, plan_id, {"after": 0})) for _ in range(2)]
        await waiting(small_hub, 2)
        async with client.stream("GET", f"/api/plans/{plan_id}/stream") as stream:
            assert stream.status_code == 200
            for path in (f"/api/plans/{plan_id}/events?wait=5", f"/api/plans/{plan_id}/stream"):
                response = await client.get(path)
                assert (response.status_code, response.json()["code"]) == (429, "too_many_requests")
                assert int(response.headers["retry-after"]) > 0
            assert (await client.get(f"/api/plans/{plan_id}/events")).status_code == 200  # this one does not wait
            await say(client, plan_id, Said.message("a"))
            assert [texts(page) for page in await asyncio.gather(*polls)] == [["a"], ["a"]]


async def test_a_poll_for_whose_plan_there_is_no_room_is_to_be_tried_again(tmp_path: Path, plan_id: str) -> None:
    async with (
        HubServer(f"sqlite:///{tmp_path / 'plans.db'}", max_plans=1) as hub,
        httpx.AsyncClient(base_url=hub.url, timeout=30) as client,
    ):
        polling = asyncio.create_task(poll(client, plan_id, {"after": 0}))
        await waiting(hub, 1)
        response = await client.get(f"/api/plans/{plan_id}-b/events?wait=5")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert "PLANCAST_MAX_PLANS" in response.json()["detail"]
        await say(client, plan_id, Said.message("a"))
        assert texts(await polling) == ["a"]


async def test_a_hub_that_is_stopped_lets_polls_go(small_hub: HubServer, plan_id: str) -> None:
    async with httpx.AsyncClient(base_url=small_hub.url, timeout=30) as client:
        polling = asyncio.create_task(poll(client, plan_id, {"after": 0}))
        await waiting(small_hub, 1)
        small_hub.signal(signal.SIGTERM)
        assert (await polling)["events"] == []
    assert await asyncio.to_thread(small_hub.wait) == 0
