"""A master that is resynchronised from its own replica and promoted again while its writers stay connected.

The events that the replica did not have are lost. The offsets they had are given to other events, so a new epoch must
begin with the next append, by any writer: a reader that received a lost event then resumes from a position that is
`forked`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files

import pytest

from broadcasters.log.contract import PlanLog
from broadcasters.log.redis import index, link
from broadcasters.position import Position
from tests.contract.clients import entry_of
from tests.faults.conftest import OpenLog
from tests.faults.event_recorder import EventRecorder
from tests.faults.readers import Reader
from tests.faults.senders import Sender, SenderProcess
from tests.servers import RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

EVENTS = "plancast:{plan}:log"
NEVER = 600.0


@pytest.fixture
def unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links do not check the server's identity again: the whole fork happens between two checks."""
    monkeypatch.setattr(link, "BEAT", NEVER)
    monkeypatch.setattr(
        index, "BEAT", NEVER
    )  # its write to the master alone would rule out a partial resynchronisation


@contextmanager
def master_and_replica(load: str = "disabled") -> Generator[tuple[RedisServer, RedisServer]]:
    """`load`: how the master loads the replica's data, see repl-diskless-load."""
    with RedisServer(repl_diskless_load=load, repl_ping_replica_period=3600) as master, RedisServer() as replica:
        follow(replica, master)
        yield master, replica


def follow(server: RedisServer, master: RedisServer) -> None:
    """Makes it a replica; returns once it is synchronised."""
    server.call("REPLICAOF", "127.0.0.1", master.port)
    eventually("the replica is synchronised", lambda: server.info("replication")["master_link_status"] == "up")


def detach(replica: RedisServer, events: int) -> None:
    """Cuts the replica off from its master once it has this many events."""
    eventually("the replica has the events", lambda: replica.call("XLEN", EVENTS) == events)
    replica.call("REPLICAOF", "127.0.0.1", 1)


def promote(server: RedisServer) -> None:
    server.call("REPLICAOF", "NO", "ONE")


def take_data_of(master: RedisServer, replica: RedisServer) -> None:
    """The detached replica becomes the master, and the master its replica, by a full resynchronisation."""
    promote(replica)
    before = int(replica.info("stats")["sync_full"])
    follow(master, replica)
    assert int(replica.info("stats")["sync_full"]) > before


async def assert_loss_reported(log: PlanLog, kept: Position, lost: list[Position], after: Position) -> None:
    head = await log.head("plan")
    assert head.position == after
    assert after.epoch != kept.epoch
    assert head.lineage.continuity(kept, head.offset, head.floor) == "ok"
    assert {head.lineage.continuity(one, head.offset, head.floor) for one in lost} == {"forked"}


async def fork_under(log: PlanLog, master: RedisServer, replica: RedisServer, window: float) -> None:
    """Appends five events, three that are lost, and five more by the same writer."""
    writer = Sender(log, "plan", "writer")
    kept = await writer.append(events=5)
    await asyncio.to_thread(detach, replica, 5)
    lost = [await writer.append() for _ in range(3)]
    await asyncio.to_thread(take_data_of, master, replica)
    await asyncio.sleep(window)
    promote(master)
    await assert_loss_reported(log, kept, lost, await writer.append(events=5))


@pytest.mark.usefixtures("unnoticed")
@pytest.mark.parametrize("load", ["disabled", "swapdb"])
async def test_events_lost_by_a_resynchronisation_are_reported(open_log: OpenLog, load: str) -> None:
    with master_and_replica(load) as (master, replica):
        await fork_under(await open_log(master.url), master, replica, 0)


@pytest.mark.usefixtures("unnoticed")
async def test_the_next_writer_is_not_the_one_whose_events_were_lost(open_log: OpenLog) -> None:
    with master_and_replica() as (master, replica):
        first, second = Sender(await open_log(master.url), "plan", "first"), await open_log(master.url)
        kept = await Sender(second, "plan", "second").append(events=5)
        await asyncio.to_thread(detach, replica, 5)
        lost = [await first.append() for _ in range(3)]
        await asyncio.to_thread(take_data_of, master, replica)
        promote(master)
        both = [await Sender(second, "plan", "another").append(events=5), await first.append()]
        assert both[0].epoch == both[1].epoch
        await assert_loss_reported(second, kept, lost, both[1])


@pytest.mark.usefixtures("unnoticed")
async def test_a_partial_resynchronisation_loses_nothing_and_begins_no_epoch(open_log: OpenLog) -> None:
    with master_and_replica() as (master, replica):
        log = await open_log(master.url)
        writer = Sender(log, "plan", "writer")
        before = await writer.append(events=5)
        await asyncio.to_thread(detach, replica, 5)
        promote(replica)
        await asyncio.to_thread(follow, master, replica)
        assert replica.info("stats")["sync_partial_ok"] == "1"
        promote(master)
        assert await writer.append() == Position(before.epoch, 6)


@pytest.mark.usefixtures("unnoticed")
async def test_events_of_the_other_master_end_the_epoch(open_log: OpenLog) -> None:
    """Nothing is lost, but the other master appended to the plan."""
    with master_and_replica() as (master, replica):
        log = await open_log(master.url)
        writer = Sender(log, "plan", "writer")
        first = await writer.append(events=5)
        await asyncio.to_thread(detach, replica, 5)
        promote(replica)
        second = await Sender(await open_log(replica.url), "plan", "elsewhere").append()
        await asyncio.to_thread(follow, master, replica)
        assert replica.info("stats")["sync_partial_ok"] == "1"
        promote(master)
        third = await writer.append()
        head = await log.head("plan")
        assert (third.offset, head.lineage.ended) == (7, ((first.epoch, 5), (second.epoch, 6)))


@pytest.mark.usefixtures("unnoticed")
async def test_a_first_replica_begins_no_epoch(open_log: OpenLog) -> None:
    """The server takes a new replication id, but loses nothing."""
    with RedisServer() as master, RedisServer() as replica:
        writer = Sender(await open_log(master.url), "plan", "writer")
        before, replid = await writer.append(), master.info("replication")["master_replid"]
        await asyncio.to_thread(follow, replica, master)
        assert master.info("replication")["master_replid"] != replid
        assert await writer.append() == Position(before.epoch, 2)


@pytest.mark.usefixtures("unnoticed")
async def test_two_versions_of_the_function_agree_on_the_epoch(open_log: OpenLog) -> None:
    """The second version reads the server's identity later, gets another one, and the first version accepts it."""
    text = files("broadcasters.log.redis").joinpath("append.lua").read_text("utf-8")

    def append(seq: int) -> str:
        arguments = ("second", seq, f"later-{seq}", 0, "", 1, 0, entry_of("plan", f"second-{seq}").payload.decode())
        epoch, *_ = master.call("FCALL", "second", 2, EVENTS, "plancast:{plan}:meta", *arguments)
        return str(epoch)

    with RedisServer() as master, RedisServer() as replica:
        writer = Sender(await open_log(master.url), "plan", "first")
        before = await writer.append()
        await asyncio.to_thread(follow, replica, master)
        master.call("FUNCTION", "LOAD", text.replace("@NAME@", "second"))
        epochs = [append(1), (await writer.append()).epoch, append(2), (await writer.append()).epoch]
        assert epochs == ["later-1"] * 4
        assert before.epoch != "later-1"


@pytest.mark.usefixtures("unnoticed")
async def test_a_subscriber_that_received_lost_events_gets_a_snapshot(
    open_log: OpenLog, recorder: EventRecorder
) -> None:
    with master_and_replica() as (master, replica):
        async with HubServer(master.url, constants={"broadcasters.log.redis.link.BEAT": NEVER}) as hub:
            writer = Sender(await open_log(master.url), "plan", "writer")
            await writer.append(events=5)
            await asyncio.to_thread(detach, replica, 5)
            reader, other = Reader(recorder, hub.ws), Reader(recorder, hub.ws, "other")
            await reader.connect()
            reader.subscribe("plan", "start")
            for _ in range(3):
                await writer.append()
            await reader.until_at("plan", 8)
            await asyncio.to_thread(take_data_of, master, replica)
            promote(master)
            after = await writer.append(events=5)
            await reader.until(lambda one: one.positions["plan"] == after, "the events after the loss")
            assert reader.reasons.total() == 1
            assert reader.reasons.keys() <= {"forked", "ahead"}, "ahead: the loss was seen before the next append"

            await other.connect()
            other.subscribe("plan", "start")
            await other.until_at("plan", after.offset)


@pytest.mark.slow
@pytest.mark.parametrize("window", [0.03, 0.5])
async def test_sixteen_forks_within_a_window(open_log: OpenLog, window: float) -> None:
    for _ in range(16):
        with master_and_replica() as (master, replica):
            await fork_under(await open_log(master.url), master, replica, window)


@pytest.mark.slow
async def test_eight_forks_while_the_writer_is_stopped_for_four_seconds(open_log: OpenLog) -> None:
    for _ in range(8):
        with master_and_replica() as (master, replica):
            async with SenderProcess(master.url, "plan") as writer:
                kept = await writer.append(5)
                await asyncio.to_thread(detach, replica, 5)
                lost = [await writer.append(1) for _ in range(3)]
                writer.pause()
                await asyncio.to_thread(take_data_of, master, replica)
                promote(master)
                await asyncio.sleep(4)
                writer.request(5)
                writer.resume()
                after = await writer.position()
                await assert_loss_reported(await open_log(master.url), kept, lost, after)
