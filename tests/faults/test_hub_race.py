"""The race at the heart: everybody joins, leaves, lags and comes back while somebody talks as fast as the log takes it."""

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
from tests.faults.chronicle import Chronicle, Tally
from tests.faults.readers import Reader, Since
from tests.faults.talker import Talker
from tests.servers import RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(6)]
SETTLE_S = 120.0
DEEDS = {"come": 40, "go": 25, "again": 5, "both": 5, "doze": 5, "vanish": 5, "leave": 3}
"""What one may do, and how likely."""


class Restless:
    """A reader that can't decide. Everything it does is drawn from its own seed."""

    def __init__(self, reader: Reader, hubs: Sequence[HubServer], seed: int) -> None:
        self.reader = reader
        self.deeds = 0
        self._hubs = hubs
        self._random = random.Random(seed)

    async def live(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            if not self.reader.connected:
                await self.reader.insist(self._random.choice(self._hubs).ws)
            await self._do_something()
            self.deeds += 1
            await asyncio.sleep(self._random.uniform(0.01, 0.2))

    async def settle(self, heads: dict[str, int]) -> None:
        """Stay with the plans it watches, or with all of them, until it was told everything."""
        if not self.reader.stands:
            await self.reader.insist()
            for plan_id in PLANS:
                self.reader.resume(plan_id)
        while not self._told_all(heads):
            await self.reader.insist()
            await self.reader.until(partial(self._moved, heads), "what was said last")

    def _moved(self, heads: dict[str, int], reader: Reader) -> bool:
        for plan_id in list(reader.interrupted):
            reader.resume(plan_id)
        return not reader.connected or self._told_all(heads)

    def _told_all(self, heads: dict[str, int]) -> bool:
        stands = self.reader.stands
        return not self.reader.leaving and all(self.reader.at(plan_id) >= heads[plan_id] for plan_id in stands)

    async def _do_something(self) -> None:
        reader, plan_id = self.reader, self._random.choice(PLANS)
        [deed] = self._random.choices(list(DEEDS), list(DEEDS.values()))
        match deed:
            case "come":
                if plan_id not in reader.stands:
                    reader.subscribe(plan_id, self._since(plan_id))
            case "again":
                reader.subscribe(plan_id, reader.stands[plan_id].since if plan_id in reader.stands else "now")
            case "go" if plan_id in reader.stands:
                reader.unsubscribe(plan_id)
            case "both" if plan_id in reader.stands:
                reader.unsubscribe(plan_id)
                reader.subscribe(plan_id, self._since(plan_id))
            case "leave":
                await reader.leave()
            case "vanish" if reader.line is not None:
                reader.line.vanish()
                await reader.until_closed()
            case "doze" if reader.line is not None:
                reader.line.stop_reading()
                await asyncio.sleep(self._random.uniform(0.1, 0.5))
                reader.line.read_on()
            case _:
                pass

    def _since(self, plan_id: str) -> Since:
        place = self.reader.places.get(plan_id)
        return self._random.choice(("now", "start", "snapshot", *([place] * 3 if place else ["now"])))


async def race(
    log_url: str,
    hubs: Sequence[HubServer],
    chronicle: Chronicle,
    directory: Path,
    senders: int,
    clients: int,
    seconds: float,
) -> Tally:
    enough = asyncio.Event()
    # Small receive buffers: what waits, waits in the hub. (Much smaller ones, and TCP itself becomes slow.)
    readers = [Reader(chronicle, hubs[0].ws, f"reader-{i}", receive_buffer=131_072) for i in range(clients)]
    restless = [Restless(reader, hubs, seed) for seed, reader in enumerate(readers)]
    talkers = [
        Talker(log_url, PLANS[:3], directory, name="streams", senders=3, streamed=True),
        Talker(log_url, PLANS[2:], directory, name="talks", senders=senders),
    ]
    async with talkers[0], talkers[1], asyncio.TaskGroup() as lives:
        for one in restless:
            lives.create_task(one.live(enough))
        await asyncio.sleep(seconds)  # how long the race is, not how long something takes
        enough.set()
    log = log_of(log_url)
    await log.open()
    try:
        heads = {plan_id: head.offset for plan_id, head in (await log.heads(PLANS)).items()}
        async with asyncio.timeout(SETTLE_S):
            await asyncio.gather(*[one.settle(heads) for one in restless])
        tally = await chronicle.verify(log, *[talker.acks for talker in talkers])
    finally:
        await log.close()
    assert min(one.deeds for one in restless) > 0
    assert tally.snapshots > 0
    assert tally.deliveries > tally.stored
    told_errors = {error["message"] for hub in hubs for error in hub.logged("error")}
    assert told_errors == set()
    deeds = sum(one.deeds for one in restless)
    told = sum((reader.errors + reader.reasons for reader in readers), Counter[str]())
    print(f"\n{clients} clients, {seconds:g} s, {len(hubs)} hubs, {deeds:,} deeds: {tally}; told {dict(told)}")
    return tally


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@pytest.mark.parametrize(
    ("senders", "clients", "seconds"),
    [(4, 60, 4.0), pytest.param(16, 200, 30.0, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
    ids=["short", "long"],
)
async def test_everybody_comes_and_goes_and_nobody_misses_a_word(
    tmp_path: Path, chronicle: Chronicle, kind: str, senders: int, clients: int, seconds: float
) -> None:
    with ExitStack() as servers:
        if kind == "redis":
            url, count = servers.enter_context(RedisServer()).url, 2
        else:
            url, count = f"sqlite:///{tmp_path / 'plans.db'}", 1
        hubs = [servers.enter_context(HubServer(url, frames_per_second=200)) for _ in range(count)]
        await race(url, hubs, chronicle, tmp_path, senders, clients, seconds)
