"""An older front end, which knows nothing of positions, lives on this hub as it did on its own."""

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
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(f"sqlite:///{tmp_path_factory.mktemp('seed') / 'plans.db'}", drain_seconds=0.4) as one:
        yield one
        assert one.logged("error") == one.logged("critical") == []


@pytest.fixture
def hub(house: HubServer) -> HubServer:
    """One for all of these tests; started again when a test has ended it."""
    return house if house.alive else house.start()


@pytest_asyncio.fixture
async def seed(hub: HubServer) -> AsyncIterator[LegacyClient]:
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


async def all_of_the_sample(seed: LegacyClient, times: int = 1) -> None:
    for kind, count in SAMPLE.items():
        await seed.until(kind, count * times)


async def test_it_shows_a_plan(hub: HubServer, seed: LegacyClient, plan: str) -> None:
    seed.subscribe(plan)
    await seed.until_other("subscription_confirmed", 1)
    await sample(hub, plan)
    await all_of_the_sample(seed)
    assert len(seed.events) == sum(SAMPLE.values())
    ended = seed.events[-1]
    assert (ended[0], ended[1]["status"]) == ("plan_update", "completed")


async def test_a_plan_that_streams_is_shown_as_whole_messages(hub: HubServer, seed: LegacyClient, plan: str) -> None:
    """C-SUB-9: it shows each frame as a message; 175 words were 170 messages."""
    async with Broadcaster(hub.log) as broadcaster:
        async with broadcaster.message(plan, "Ana") as begun:
            await begun.write("before it came, ")
            await until_said(hub, plan, 1)
            seed.subscribe(plan)
            await seed.until_other("subscription_confirmed", 1)
            await begun.write("and after")
        async with broadcaster.message(plan, "Ben") as one, broadcaster.message(plan, "Cem") as other:
            for number in range(170):
                await one.write(f"{number} ")
                await other.write(f"{-number} ")
                if number % 10 == 0:
                    await until_said(hub, plan, 2 + number // 10)
        await broadcaster.send_plan_update(plan, status="completed")
    await seed.until("plan_update", 1)
    texts = {data["agent_name"]: data["content"] for kind, data in seed.events if kind == "agent_message"}
    assert texts == {
        "Ana": "before it came, and after",
        "Ben": "".join(f"{number} " for number in range(170)),
        "Cem": "".join(f"{-number} " for number in range(170)),
    }
    assert len(seed.events) == 4
    assert all("append" not in data for _, data in seed.events)


async def until_said(hub: HubServer, plan: str, offset: int) -> None:
    """Until so many events of the plan are in the log: parts that were written are rolled up first."""
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as page:
        await page.get(f"/api/plans/{plan}/events?after={offset - 1}&wait=30")


async def test_it_subscribes_twice_and_is_told_once(hub: HubServer, seed: LegacyClient, plan: str) -> None:
    seed.subscribe(plan)
    seed.subscribe(plan)
    await seed.until_other("subscription_confirmed", 2)
    await sample(hub, plan)
    await all_of_the_sample(seed)
    await sample(hub, plan)
    await all_of_the_sample(seed, times=2)
    assert len(seed.events) == 2 * sum(SAMPLE.values())


async def test_it_comes_back_and_hears_what_is_said_from_then_on(hub: HubServer, seed: LegacyClient, plan: str) -> None:
    """What was said while it was away is not told again: its page would show the rest twice."""
    seed.subscribe(plan)
    await seed.until_other("subscription_confirmed", 1)
    async with Broadcaster(hub.log) as broadcaster:
        await broadcaster.send_agent_message(plan, "Agent", "before")
        await seed.until("agent_message", 1)
        for times in range(1, 4):
            seed.cut()
            await seed.until_other("subscription_confirmed", 1 + 2 * times)  # the service's, and the page's
            await broadcaster.send_agent_message(plan, "Agent", f"after {times}")
            await seed.until("agent_message", 1 + times)
    assert [data["content"] for _, data in seed.events] == ["before", "after 1", "after 2", "after 3"]
    assert seed.connections == 4


async def test_its_abandoned_sockets_do_no_harm_and_are_drained(hub: HubServer, seed: LegacyClient, plan: str) -> None:
    others = [LegacyClient(hub.ws) for _ in range(5)]
    for other in others:
        await other.connect()
        other.subscribe(plan)
        await other.disconnect()  # and comes back, without a subscription
    for other in others:
        await other.until_other("connected", 2)
    seed.subscribe(plan)
    await seed.until_other("subscription_confirmed", 1)
    await sample(hub, plan)
    await all_of_the_sample(seed)
    assert hub.metric("plancast_connections", transport="native") == 6
    await asyncio.to_thread(eventually, "one is subscribed", lambda: hub.metric("plancast_subscribers") == 1)
    assert [other.events for other in others] == [[]] * 5

    hub.signal(signal.SIGTERM)
    for client in (*others, seed):
        await client.until_other("going_away", 1)
    await asyncio.to_thread(hub.wait, 30)
    assert [client.codes[-1] for client in (*others, seed)] == [1012] * 6
    for other in others:
        await other.close()
        assert other.problems == []


async def test_it_is_drained_and_goes_on_with_the_successor(hub: HubServer, plan: str) -> None:
    """1012 and not 1000: after that, a newer version of it would not come back."""
    seed = LegacyClient(hub.ws, pause=1.0)
    await seed.connect()
    seed.subscribe(plan)
    await seed.until_other("subscription_confirmed", 1)
    hub.signal(signal.SIGTERM)
    await seed.until_other("going_away", 1)
    await asyncio.to_thread(hub.wait, 30)
    assert seed.codes == [1012]
    hub.start(wait=False)  # by the thread that stays: a hub ends with the one that started it
    await asyncio.to_thread(hub.wait_until_ready)
    await seed.until_other("subscription_confirmed", 3)
    await sample(hub, plan)
    await all_of_the_sample(seed)
    assert seed.connections == 2
    await seed.close()
    assert seed.problems == []


async def test_it_leaves_a_plan_and_hears_no_more_of_it(
    hub: HubServer, seed: LegacyClient, plan: str, other_plan: str
) -> None:
    seed.subscribe(plan)
    seed.subscribe(other_plan)
    await seed.until_other("subscription_confirmed", 2)
    seed.unsubscribe(plan)
    await asyncio.to_thread(eventually, "it left", partial(_channel_left, hub))
    await sample(hub, plan)
    await sample(hub, other_plan)
    await all_of_the_sample(seed)
    assert {data["plan_id"] for _, data in seed.events} == {other_plan}


def _channel_left(hub: HubServer) -> bool:
    return hub.metric("plancast_subscribers") == 1


async def test_what_it_gets_wrong_is_answered_where_it_looks(hub: HubServer, seed: LegacyClient) -> None:
    """Its page shows `data.error`."""
    seed.subscribe("no plan at all")
    await seed.until_other("error", 1)
    error = next(frame for frame in seed.others if frame["type"] == "error")
    assert isinstance(error["data"]["error"], str)
    assert seed.connected
    assert json.loads(hub.get("/readyz")[1]) == {"status": "ready"}
