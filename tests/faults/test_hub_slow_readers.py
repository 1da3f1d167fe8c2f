"""Readers that read slowly or not at all: others are unaffected, memory stays in bounds, and they may reconnect."""

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
from tests.faults.event_recorder import Delivery, EventRecorder
from tests.faults.publisher_process import PublisherProcess
from tests.faults.readers import Reader, verify_received
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLAN = "plan"
DELIVERIES_S = 2000.0
"""Events a second to all readers together, so that this process keeps up on a busy machine."""


class Latency:
    """Milliseconds from an event's timestamp to its receipt by some of the readers, per phase of the test."""

    def __init__(self) -> None:
        self.phases: list[list[float]] = []

    def begin(self) -> None:
        self.phases.append([])

    def add(self, _: Delivery, frame: bytes) -> None:
        if self.phases and (at := sent_at(frame)) is not None:
            self.phases[-1].append((time.time() - at) * 1000)

    def __str__(self) -> str:
        return " | ".join(_distribution(phase) for phase in self.phases)


def _distribution(samples: list[float]) -> str:
    if len(samples) < 2:
        return f"{len(samples)} events"
    cuts = quantiles(samples, n=100)
    return f"{len(samples):,} events, ms: p50 {cuts[49]:.1f}, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f}"


class TricklingReader:
    """Reads one byte a second."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.bytes_read = 0

    async def run(self) -> None:
        assert self.reader.socket is not None
        while True:
            self.bytes_read += self.reader.socket.read_bytes(1)
            await asyncio.sleep(1.0)


def most_memory(limits: Limits, stuck: int) -> int:
    """The documented bounds for this many stuck clients and one plan, plus what an allocator rounds up to."""
    return stuck * per_connection(limits) + per_plan(limits) + 4 * MIB


async def publish_for(seconds: float) -> None:
    await asyncio.sleep(seconds)  # the duration of the phase, not a wait


async def until(true: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Waits for a condition of the hub."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not await asyncio.to_thread(true):
        assert asyncio.get_running_loop().time() < end, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.25)


async def others_unaffected(
    hub: HubServer, recorder: EventRecorder, directory: Path, limits: Limits, *, clients: int, seconds: float
) -> None:
    latency = Latency()
    await publish(hub.log, 4000, 2000)
    others = [Reader(recorder, hub.ws, f"other-{i}") for i in range(clients)]
    never = Reader(recorder, hub.ws, "never", receive_buffer=65_536)
    trickling = TricklingReader(Reader(recorder, hub.ws, "trickling", receive_buffer=65_536))
    stuck = [never, trickling.reader]
    for reader in (*others, *stuck):
        await reader.connect()
    for reader in others:
        reader.subscribe(PLAN)
    for reader in others[:20]:
        reader.on_event = latency.add
    async with PublisherProcess(
        hub.log, [PLAN], directory, senders=4, rate=DELIVERIES_S / clients, size=1000
    ) as publisher:
        latency.begin()
        await publish_for(seconds)
        before = hub.memory
        latency.begin()
        for reader in stuck:
            reader.subscribe(PLAN, "start")
            assert reader.socket is not None
            reader.socket.stop_reading()
        reading = asyncio.create_task(trickling.run())
        await until(lambda: hub.metric("plancast_slow_consumers_total") >= 1, "one is closed as slow")
        await publish_for(seconds)
        most = hub.memory
        latency.begin()
        reading.cancel()
        for reader in stuck:
            assert reader.socket is not None
            reader.socket.resume_reading()
        await publish_for(seconds)
    for reader in stuck:
        await catch_up(reader, await head_of(hub.log))
    tally = await verify_received([*others, *stuck], hub.log, publisher.acks)
    assert {tuple(reader.close_codes) for reader in others} == {()}
    assert {code for reader in stuck for code in reader.close_codes} == {4408}
    growth, allowed = most - before, most_memory(limits, len(stuck))
    assert growth <= allowed
    print(
        f"\n{clients} others: {tally}\nwithout | with | as they catch up: {latency}\n"
        f"memory grew by {growth / KIB:,.0f} KiB of {allowed / KIB:,.0f} KiB allowed; read by hand: {trickling.bytes_read}"
    )


async def catch_up(reader: Reader, head: int) -> None:
    """Reads to the head, reconnecting whenever the connection is closed; the close may come late."""
    while reader.at(PLAN) < head:
        await reader.until(lambda one: not one.connected or one.at(PLAN) >= head, "the close or the head")
        if not reader.connected:
            await reader.connect()  # and resume


async def head_of(log: str) -> int:
    async with Broadcaster(log) as broadcaster, broadcaster.reading() as read:
        return (await read.head(PLAN)).offset


LONG_TIMEOUTS = {
    "hub.config.limits.PARTING_SECONDS": 120.0,
    "hub.transports.native.CLOSING_SECONDS": 120.0,
    "hub.transports.native.SILENCE_SECONDS": 120.0,
    "hub.transports.websocket.CLOSING_SECONDS": 120.0,
}
"""So that stuck clients that resume reading still receive the close code, even on a busy machine."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "mounted", [pytest.param(False, id="native"), pytest.param(True, id="asgi", marks=pytest.mark.slow)]
)
async def test_one_never_reads_and_one_reads_a_byte_a_second_among_100(
    tmp_path: Path, recorder: EventRecorder, mounted: bool
) -> None:
    """On a busy machine this process may read its sockets only every second or two; that must not count as slow."""
    log, limits = f"sqlite:///{tmp_path / 'plans.db'}", Settings(slow_seconds=4, outlet_bytes=64 * KIB).limits
    async with HubServer(log, mounted=mounted, constants=LONG_TIMEOUTS, slow_seconds=4, outlet_bytes=64 * KIB) as hub:
        await others_unaffected(hub, recorder, tmp_path, limits, clients=100, seconds=1.5)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mounted", [False, True], ids=["native", "asgi"])
async def test_one_never_reads_and_one_reads_a_byte_a_second_among_500(
    tmp_path: Path, recorder: EventRecorder, mounted: bool
) -> None:
    """With the default limits except `slow_seconds`."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    async with HubServer(log, mounted=mounted, constants=LONG_TIMEOUTS, slow_seconds=10) as hub:
        await others_unaffected(hub, recorder, tmp_path, Settings(slow_seconds=10).limits, clients=500, seconds=10.0)


async def publish(log: str, events: int, size: int) -> None:
    async with Broadcaster(log) as broadcaster:
        for at in range(0, events, 50):
            sends = [broadcaster.send_agent_message(PLAN, "Agent", f"{at + i} " + "x" * size) for i in range(50)]
            await asyncio.gather(*sends)


async def test_a_client_over_its_limit_may_still_send(tmp_path: Path, recorder: EventRecorder) -> None:
    """More is queued for it than its limit; it sends requests nevertheless, and is not closed for that."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    with HubServer(log, outlet_bytes=16 * KIB) as hub:
        await publish(log, 1000, 2000)
        reader = Reader(recorder, hub.ws, receive_buffer=65_536)
        await reader.connect()
        assert reader.socket is not None
        reader.socket.stop_reading()
        reader.subscribe(PLAN, "start")
        await until(lambda: hub.metric("plancast_subscribers", standing="behind") == 1, "it is over its limit")
        for _ in range(5):
            reader.subscribe(PLAN)  # asks for its position
        await until(lambda: hub.metric("plancast_frames_received_total") == 6, "the hub has received all frames")
        reader.socket.resume_reading()
        await reader.until_at(PLAN, 1000)
        await reader.until(lambda one: not one.subscriptions[PLAN].requests, "all answers")
        assert reader.close_codes == []


async def test_a_slow_connection_is_not_taken_for_a_dead_one(tmp_path: Path, recorder: EventRecorder) -> None:
    """Pings queue behind data that is read slowly; the hub must not close a client that still reads."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    short_timeouts = {"hub.transports.native.HEARTBEAT_SECONDS": 0.5, "hub.transports.native.SILENCE_SECONDS": 1.0}
    with HubServer(log, constants=short_timeouts) as hub:
        await publish(log, 700, 2000)
        reader = Reader(recorder, hub.ws, receive_buffer=65_536)
        await reader.connect()
        assert reader.socket is not None
        reader.socket.stop_reading()
        reader.subscribe(PLAN, "start")
        for _ in range(60):
            reader.socket.read_bytes(12_000)
            await asyncio.sleep(0.1)  # the speed of the connection
        reader.socket.resume_reading()
        await reader.until_at(PLAN, 700)
        assert reader.close_codes == []
