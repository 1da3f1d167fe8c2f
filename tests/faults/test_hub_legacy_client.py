"""An older front end, which does not support positions, works with this hub as it did with its own server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from secrets import token_hex

import httpx
import pytest
import pytest_asyncio

from broadcasters import Broadcaster
from tests.faults.legacy_client import LegacyClient
from tests.servers import eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

SAMPLE = {"step_update": 4, "agent_message": 4, "plan_update": 3}


@pytest.fixture(scope="module")
def module_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(f"sqlite:///{tmp_path_factory.mktemp('legacy') / 'plans.db'}", drain_seconds=0.4) as one:
        yield one
        assert one.logged("error") == one.logged("critical") == []


@pytest.fixture
def hub(module_hub: HubServer) -> HubServer:
    """One hub for all tests of this module, restarted after a test that stopped it."""
    return module_hub if module_hub.alive else module_hub.start()


@pytest_asyncio.fixture
async def legacy(hub: HubServer) -> AsyncIterator[LegacyClient]:
    client = LegacyClient(hub.ws)
    await client.connect()
    yield client
    await client.close()
    assert client.problems == []


@pytest.fixture
def plan() -> str:
    return f"plan-{token_hex(4)}"


@pytest.fixture
def other_plan() -> str:
    return f"plan-{token_hex(4)}"


async def sample(hub: HubServer, plan_id: str) -> None:
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as page:
        answer = await page.post(f"/api/test/streaming/{plan_id}?speed=50")
    assert answer.json()["status"] == "success"


async def all_of_the_sample(legacy: LegacyClient, times: int = 1) -> None:
    for kind, count in SAMPLE.items():
        await legacy.until(kind, count * times)


async def test_it_shows_a_plan(hub: HubServer, legacy: LegacyClient, plan: str) -> None:
    legacy.subscribe(plan)
    await legacy.until_other("subscription_confirmed", 1)
    await sample(hub, plan)
    await all_of_the_sample(legacy)
    assert len(legacy.events) == sum(SAMPLE.values())
    ended = legacy.events[-1]
    assert (ended[0], ended[1]["status"]) == ("plan_update", "completed")


async def test_streamed_messages_arrive_whole(hub: HubServer, legacy: LegacyClient, plan: str) -> None:
    """C-SUB-9: it shows each frame as a message; 175 words were 170 messages."""
    async with Broadcaster(hub.log) as broadcaster:
        async with broadcaster.message(plan, "Ana") as begun:
            await begun.write("before it came, ")
            await until_stored(hub, plan, 1)
            legacy.subscribe(plan)
            await legacy.until_other("subscription_confirmed", 1)
            await begun.write("and after")
        async with broadcaster.message(plan, "Ben") as one, broadcaster.message(plan, "Cem") as other:
            for number in range(170):
                await one.write(f"{number} ")
                await other.write(f"{-number} ")
                if number % 10 == 0:
                    await until_stored(hub, plan, 2 + number // 10)
        await broadcaster.send_plan_update(plan, status="completed")
    await legacy.until("plan_update", 1)
    texts = {data["agent_name"]: data["content"] for kind, data in legacy.events if kind == "agent_message"}
    assert texts == {
        "Ana": "before it came, and after",
        "Ben": "".join(f"{number} " for number in range(170)),
        "Cem": "".join(f"{-number} " for number in range(170)),
    }
    assert len(legacy.events) == 4
    assert all("append" not in data for _, data in legacy.events)


async def until_stored(hub: HubServer, plan: str, offset: int) -> None:
    """Waits until this many events of the plan are in the log; written parts are rolled up first."""
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as page:
        await page.get(f"/api/plans/{plan}/events?after={offset - 1}&wait=30")


async def test_it_subscribes_twice_and_receives_each_event_once(
    hub: HubServer, legacy: LegacyClient, plan: str
) -> None:
    legacy.subscribe(plan)
    legacy.subscribe(plan)
    await legacy.until_other("subscription_confirmed", 2)
    await sample(hub, plan)
    await all_of_the_sample(legacy)
    await sample(hub, plan)
    await all_of_the_sample(legacy, times=2)
    assert len(legacy.events) == 2 * sum(SAMPLE.values())


async def test_it_reconnects_and_receives_live_events_only(hub: HubServer, legacy: LegacyClient, plan: str) -> None:
    """Events are not replayed after a reconnect: its page would show those it already has twice."""
    legacy.subscribe(plan)
    await legacy.until_other("subscription_confirmed", 1)
    async with Broadcaster(hub.log) as broadcaster:
        await broadcaster.send_agent_message(plan, "Agent", "before")
        await legacy.until("agent_message", 1)
        for times in range(1, 4):
            legacy.cut()
            await legacy.until_other("subscription_confirmed", 1 + 2 * times)  # the service's, and the page's
            await broadcaster.send_agent_message(plan, "Agent", f"after {times}")
            await legacy.until("agent_message", 1 + times)
    assert [data["content"] for _, data in legacy.events] == ["before", "after 1", "after 2", "after 3"]
    assert legacy.connections == 4


async def test_its_abandoned_sockets_do_no_harm_and_are_drained(
    hub: HubServer, legacy: LegacyClient, plan: str
) -> None:
    others = [LegacyClient(hub.ws) for _ in range(5)]
    for other in others:
        await other.connect()
        other.subscribe(plan)
        await other.disconnect()  # reconnects without a subscription
    for other in others:
        await other.until_other("connected", 2)
    legacy.subscribe(plan)
    await legacy.until_other("subscription_confirmed", 1)
    await sample(hub, plan)
    await all_of_the_sample(legacy)
    assert hub.metric("plancast_connections", transport="native") == 6
    await asyncio.to_thread(eventually, "one is subscribed", lambda: hub.metric("plancast_subscribers") == 1)
    assert [other.events for other in others] == [[]] * 5

    hub.signal(signal.SIGTERM)
    for client in (*others, legacy):
        await client.until_other("going_away", 1)
    await asyncio.to_thread(hub.wait, 30)
    assert [client.codes[-1] for client in (*others, legacy)] == [1012] * 6
    for other in others:
        await other.close()
        assert other.problems == []


async def test_it_is_drained_and_continues_with_the_next_hub(hub: HubServer, plan: str) -> None:
    """With 1012, not 1000: after a 1000, a newer version of it would not reconnect."""
    legacy = LegacyClient(hub.ws, pause=1.0)
    await legacy.connect()
    legacy.subscribe(plan)
    await legacy.until_other("subscription_confirmed", 1)
    hub.signal(signal.SIGTERM)
    await legacy.until_other("going_away", 1)
    await asyncio.to_thread(hub.wait, 30)
    assert legacy.codes == [1012]
    hub.start(wait=False)  # in the main thread: the hub ends with the thread that started it
    await asyncio.to_thread(hub.wait_until_ready)
    await legacy.until_other("subscription_confirmed", 3)
    await sample(hub, plan)
    await all_of_the_sample(legacy)
    assert legacy.connections == 2
    await legacy.close()
    assert legacy.problems == []


async def test_after_unsubscribing_it_receives_no_more_events(
    hub: HubServer, legacy: LegacyClient, plan: str, other_plan: str
) -> None:
    legacy.subscribe(plan)
    legacy.subscribe(other_plan)
    await legacy.until_other("subscription_confirmed", 2)
    legacy.unsubscribe(plan)
    await asyncio.to_thread(eventually, "it has unsubscribed", partial(_has_one_subscriber, hub))
    await sample(hub, plan)
    await sample(hub, other_plan)
    await all_of_the_sample(legacy)
    assert {data["plan_id"] for _, data in legacy.events} == {other_plan}


def _has_one_subscriber(hub: HubServer) -> bool:
    return hub.metric("plancast_subscribers") == 1


async def test_errors_arrive_in_the_member_that_it_reads(hub: HubServer, legacy: LegacyClient) -> None:
    """Its page shows `data.error`."""
    legacy.subscribe("no plan at all")
    await legacy.until_other("error", 1)
    error = next(frame for frame in legacy.others if frame["type"] == "error")
    assert isinstance(error["data"]["error"], str)
    assert legacy.connected
    assert json.loads(hub.get("/readyz")[1]) == {"status": "ready"}
