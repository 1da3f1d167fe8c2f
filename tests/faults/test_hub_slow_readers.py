"""Readers that take little or nothing: nobody else notices, they cost what was printed, and they may come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

import pytest

from broadcasters import Broadcaster
from broadcasters.event_bytes import sent_at
from hub.config.limits import KIB, MIB, Limits, per_connection, per_plan
from hub.config.settings import Settings
from tests.faults.chronicle import Chronicle, Told
from tests.faults.readers import Reader, told_all
from tests.faults.talker import Talker
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLAN = "plan"
DELIVERIES_S = 2000.0
"""To all readers together: what this process can check on a busy machine, lest all of them be slow."""


class Latency:
    """From an event's timestamp to its reader, in milliseconds, as told to some of the readers."""

    def __init__(self) -> None:
        self.phases: list[list[float]] = []

    def begin(self) -> None:
        self.phases.append([])

    def told(self, _: Told, frame: bytes) -> None:
        if self.phases and (at := sent_at(frame)) is not None:
            self.phases[-1].append((time.time() - at) * 1000)

    def __str__(self) -> str:
        return " | ".join(_distribution(phase) for phase in self.phases)


def _distribution(samples: list[float]) -> str:
    if len(samples) < 2:
        return f"{len(samples)} events"
    cuts = quantiles(samples, n=100)
    return f"{len(samples):,} events, ms: p50 {cuts[49]:.1f}, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f}"


class Drip:
    """One byte a second, by hand."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.taken = 0

    async def go_on(self) -> None:
        assert self.reader.line is not None
        while True:
            self.taken += self.reader.line.read_by_hand(1)
            await asyncio.sleep(1.0)


def most_memory(limits: Limits, stuck: int) -> int:
    """What the printed bounds allow so many clients that are stuck, and the plan; and what an allocator rounds up to."""
    return stuck * per_connection(limits) + per_plan(limits) + 4 * MIB


async def seconds_of_talk(seconds: float) -> None:
    await asyncio.sleep(seconds)  # how long is measured, not how long something takes


async def until(true: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Wait for something that happens in the hub."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not await asyncio.to_thread(true):
        assert asyncio.get_running_loop().time() < end, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.25)


async def nobody_notices(
    hub: HubServer, chronicle: Chronicle, directory: Path, limits: Limits, *, clients: int, seconds: float
) -> None:
    latency = Latency()
    await tell(hub.log, 4000, 2000)
    others = [Reader(chronicle, hub.ws, f"other-{i}") for i in range(clients)]
    never = Reader(chronicle, hub.ws, "never", receive_buffer=65_536)
    drip = Drip(Reader(chronicle, hub.ws, "drip", receive_buffer=65_536))
    stuck = [never, drip.reader]
    for reader in (*others, *stuck):
        await reader.connect()
    for reader in others:
        reader.subscribe(PLAN)
    for reader in others[:20]:
        reader.on_told = latency.told
    async with Talker(hub.log, [PLAN], directory, senders=4, rate=DELIVERIES_S / clients, size=1000) as talker:
        latency.begin()
        await seconds_of_talk(seconds)
        before = hub.memory
        latency.begin()
        for reader in stuck:
            reader.subscribe(PLAN, "start")
            assert reader.line is not None
            reader.line.stop_reading()
        dripping = asyncio.create_task(drip.go_on())
        await until(lambda: hub.metric("plancast_slow_consumers_total") >= 1, "one is given up")
        await seconds_of_talk(seconds)
        most = hub.memory
        latency.begin()
        dripping.cancel()
        for reader in stuck:
            assert reader.line is not None
            reader.line.read_on()
        await seconds_of_talk(seconds)
    for reader in stuck:
        await catch_up(reader, await head_of(hub.log))
    tally = await told_all([*others, *stuck], hub.log, talker.acks)
    assert {tuple(reader.closes) for reader in others} == {()}
    assert {code for reader in stuck for code in reader.closes} == {4408}
    growth, allowed = most - before, most_memory(limits, len(stuck))
    assert growth <= allowed
    print(
        f"\n{clients} others: {tally}\nwithout | with | as they catch up: {latency}\n"
        f"memory grew by {growth / KIB:,.0f} KiB of {allowed / KIB:,.0f} KiB allowed; the drip took {drip.taken} bytes"
    )


async def catch_up(reader: Reader, head: int) -> None:
    """Read to the head, on a new connection whenever this one is closed: the close may come late."""
    while reader.at(PLAN) < head:
        await reader.until(lambda one: not one.connected or one.at(PLAN) >= head, "the close or the head")
        if not reader.connected:
            await reader.connect()  # and resume


async def head_of(log: str) -> int:
    async with Broadcaster(log) as broadcaster, broadcaster.reading() as read:
        return (await read.head(PLAN)).offset


PATIENT = {
    "hub.config.limits.PARTING_SECONDS": 120.0,
    "hub.transports.native.CLOSING_SECONDS": 120.0,
    "hub.transports.native.SILENCE_SECONDS": 120.0,
    "hub.transports.websocket.CLOSING_SECONDS": 120.0,
}
"""So that the stuck ones, when they read on, are in time to hear why they were closed, however busy this machine is."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mounted", [False, True], ids=["native", "asgi"])
async def test_one_never_reads_and_one_reads_a_byte_a_second_among_100(
    tmp_path: Path, chronicle: Chronicle, mounted: bool
) -> None:
    """On a busy machine this process may come to its sockets only every second or two: so slow is nobody here."""
    log, limits = f"sqlite:///{tmp_path / 'plans.db'}", Settings(slow_seconds=4, outlet_bytes=64 * KIB).limits
    async with HubServer(log, mounted=mounted, constants=PATIENT, slow_seconds=4, outlet_bytes=64 * KIB) as hub:
        await nobody_notices(hub, chronicle, tmp_path, limits, clients=100, seconds=1.5)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mounted", [False, True], ids=["native", "asgi"])
async def test_one_never_reads_and_one_reads_a_byte_a_second_among_500(
    tmp_path: Path, chronicle: Chronicle, mounted: bool
) -> None:
    """With the limits as the hub comes, but for its patience."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    async with HubServer(log, mounted=mounted, constants=PATIENT, slow_seconds=10) as hub:
        await nobody_notices(hub, chronicle, tmp_path, Settings(slow_seconds=10).limits, clients=500, seconds=10.0)


async def tell(log: str, events: int, size: int) -> None:
    async with Broadcaster(log) as broadcaster:
        for at in range(0, events, 50):
            told = [broadcaster.send_agent_message(PLAN, "Teller", f"{at + i} " + "x" * size) for i in range(50)]
            await asyncio.gather(*told)


async def test_who_is_full_may_still_speak(tmp_path: Path, chronicle: Chronicle) -> None:
    """Much waits for it, more than its share; it asks something all the same, and is not cut off for that."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    with HubServer(log, outlet_bytes=16 * KIB) as hub:
        await tell(log, 1000, 2000)
        reader = Reader(chronicle, hub.ws, receive_buffer=65_536)
        await reader.connect()
        assert reader.line is not None
        reader.line.stop_reading()
        reader.subscribe(PLAN, "start")
        await until(lambda: hub.metric("plancast_subscribers", standing="behind") == 1, "it is full")
        for _ in range(5):
            reader.subscribe(PLAN)  # "where am I?"
        await until(lambda: hub.metric("plancast_frames_received_total") == 6, "all was heard")
        reader.line.read_on()
        await reader.until_at(PLAN, 1000)
        await reader.until(lambda one: not one.stands[PLAN].requests, "all answers")
        assert reader.closes == []


async def test_a_slow_line_is_no_dead_line(tmp_path: Path, chronicle: Chronicle) -> None:
    """What is read slowly hides the hub's pings behind it; as long as something is read, its reader lives."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    hurried = {"hub.transports.native.HEARTBEAT_SECONDS": 0.5, "hub.transports.native.SILENCE_SECONDS": 1.0}
    with HubServer(log, constants=hurried) as hub:
        await tell(log, 700, 2000)
        reader = Reader(chronicle, hub.ws, receive_buffer=65_536)
        await reader.connect()
        assert reader.line is not None
        reader.line.stop_reading()
        reader.subscribe(PLAN, "start")
        for _ in range(60):
            reader.line.read_by_hand(12_000)
            await asyncio.sleep(0.1)  # the line's speed
        reader.line.read_on()
        await reader.until_at(PLAN, 700)
        assert reader.closes == []
