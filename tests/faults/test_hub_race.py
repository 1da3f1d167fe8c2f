"""Races between subscribing and publishing: clients join, leave, lag and reconnect under publishing at full speed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from broadcasters.log import log_of
from tests.faults.event_recorder import EventRecorder, Tally
from tests.faults.publisher_process import PublisherProcess
from tests.faults.readers import Reader, Since
from tests.servers import RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(6)]
SETTLE_S = 120.0
ACTIONS = {
    "subscribe": 40,
    "unsubscribe": 25,
    "subscribe again": 5,
    "resubscribe": 5,
    "stop reading": 5,
    "reset": 5,
    "close": 3,
}
"""What a client does next, with its weight."""


class RandomClient:
    """Client that acts at random, repeatable by its seed."""

    def __init__(self, reader: Reader, hubs: Sequence[HubServer], seed: int) -> None:
        self.reader = reader
        self.actions = 0
        self._hubs = hubs
        self._random = random.Random(seed)

    async def run(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            if not self.reader.connected:
                await self.reader.connect_with_retries(self._random.choice(self._hubs).ws)
            await self._act()
            self.actions += 1
            await asyncio.sleep(self._random.uniform(0.01, 0.2))

    async def settle(self, heads: dict[str, int]) -> None:
        """Stays subscribed to its plans, or else subscribes to all, until it has received everything."""
        if not self.reader.subscriptions:
            await self.reader.connect_with_retries()
            for plan_id in PLANS:
                self.reader.resume(plan_id)
        while not self._received_all(heads):
            await self.reader.connect_with_retries()
            await self.reader.until(partial(self._has_changed, heads), "the last events")

    def _has_changed(self, heads: dict[str, int], reader: Reader) -> bool:
        for plan_id in list(reader.interrupted):
            reader.resume(plan_id)
        return not reader.connected or self._received_all(heads)

    def _received_all(self, heads: dict[str, int]) -> bool:
        plan_ids = list(self.reader.subscriptions)
        return not self.reader.unsubscribing and all(self.reader.at(plan_id) >= heads[plan_id] for plan_id in plan_ids)

    async def _act(self) -> None:
        reader, plan_id = self.reader, self._random.choice(PLANS)
        [action] = self._random.choices(list(ACTIONS), list(ACTIONS.values()))
        match action:
            case "subscribe":
                if plan_id not in reader.subscriptions:
                    reader.subscribe(plan_id, self._since(plan_id))
            case "subscribe again":
                reader.subscribe(
                    plan_id, reader.subscriptions[plan_id].since if plan_id in reader.subscriptions else "now"
                )
            case "unsubscribe" if plan_id in reader.subscriptions:
                reader.unsubscribe(plan_id)
            case "resubscribe" if plan_id in reader.subscriptions:
                reader.unsubscribe(plan_id)
                reader.subscribe(plan_id, self._since(plan_id))
            case "close":
                await reader.close()
            case "reset" if reader.socket is not None:
                reader.socket.reset()
                await reader.until_closed()
            case "stop reading" if reader.socket is not None:
                reader.socket.stop_reading()
                await asyncio.sleep(self._random.uniform(0.1, 0.5))
                reader.socket.resume_reading()
            case _:
                pass

    def _since(self, plan_id: str) -> Since:
        position = self.reader.positions.get(plan_id)
        return self._random.choice(("now", "start", "snapshot", *([position] * 3 if position else ["now"])))


async def race(
    log_url: str,
    hubs: Sequence[HubServer],
    recorder: EventRecorder,
    directory: Path,
    senders: int,
    clients: int,
    seconds: float,
) -> Tally:
    enough = asyncio.Event()
    # With small receive buffers, events queue up in the hub. With much smaller ones, TCP itself becomes slow.
    readers = [Reader(recorder, hubs[0].ws, f"reader-{i}", receive_buffer=131_072) for i in range(clients)]
    random_clients = [RandomClient(reader, hubs, seed) for seed, reader in enumerate(readers)]
    publishers = [
        PublisherProcess(log_url, PLANS[:3], directory, name="streamed", senders=3, streamed=True),
        PublisherProcess(log_url, PLANS[2:], directory, name="whole", senders=senders),
    ]
    async with publishers[0], publishers[1], asyncio.TaskGroup() as group:
        for one in random_clients:
            group.create_task(one.run(enough))
        await asyncio.sleep(seconds)  # the duration of the race, not a wait
        enough.set()
    log = log_of(log_url)
    await log.open()
    try:
        heads = {plan_id: head.offset for plan_id, head in (await log.heads(PLANS)).items()}
        async with asyncio.timeout(SETTLE_S):
            await asyncio.gather(*[one.settle(heads) for one in random_clients])
        tally = await recorder.verify(log, *[publisher.acks for publisher in publishers])
    finally:
        await log.close()
    assert min(one.actions for one in random_clients) > 0
    assert tally.snapshots > 0
    assert tally.deliveries > tally.stored
    assert {error["message"] for hub in hubs for error in hub.logged("error")} == set()
    actions = sum(one.actions for one in random_clients)
    codes = sum((reader.errors + reader.reasons for reader in readers), Counter[str]())
    print(f"\n{clients} clients, {seconds:g} s, {len(hubs)} hubs, {actions:,} actions: {tally}; codes {dict(codes)}")
    return tally


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@pytest.mark.parametrize(
    ("senders", "clients", "seconds"),
    [(4, 30, 4.0), pytest.param(16, 200, 30.0, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
    ids=["short", "long"],
)
async def test_clients_that_come_and_go_miss_no_event(
    tmp_path: Path, recorder: EventRecorder, kind: str, senders: int, clients: int, seconds: float
) -> None:
    with ExitStack() as servers:
        if kind == "redis":
            url, count = servers.enter_context(RedisServer()).url, 2
        else:
            url, count = f"sqlite:///{tmp_path / 'plans.db'}", 1
        hubs = [servers.enter_context(HubServer(url, frames_per_second=200)) for _ in range(count)]
        await race(url, hubs, recorder, tmp_path, senders, clients, seconds)
