"""A redis-server that refuses commands: the error names the cause, and nothing is stored by mistake."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters.errors import LogFull, LogMisconfigured, LogUnavailable
from broadcasters.log.contract import Checkpoint, Entry, Facts, PlanLog
from broadcasters.log.redis import RedisLog, link
from tests.contract.clients import Producer, RecordingWatcher
from tests.faults.conftest import OpenLog
from tests.faults.senders import Sender
from tests.servers import RedisServer, eventually

pytestmark = pytest.mark.faults

RIGHTS = "~plancast:*", "&plancast:*", "+@all"


async def refused(url: str) -> str:
    """The error of opening this log."""
    with pytest.raises(LogMisconfigured) as caught:
        await RedisLog(url).open()
    return str(caught.value)


async def append_5_mb(log: PlanLog, seq: int) -> None:
    """Appends five megabytes to the plan `big`."""
    entry = Entry(b'{"type":"agent_message","id":"big","data":{"content":"%b"}}' % (b"x" * 100_000))
    for number in range(50):
        await log.append("big", "publisher", seq + number, [entry], Facts())


def use_up_the_room(server: RedisServer) -> None:
    server.call("CONFIG", "SET", "maxmemory", int(server.info("memory")["used_memory"]) - 2_000_000)


def room_in(server: RedisServer) -> int:
    memory = server.info("memory")
    return int(memory["maxmemory"]) - int(memory["used_memory"])


async def test_with_memory_full_appends_fail_reads_work_and_room_can_be_made(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(server.url)
        await append_5_mb(log, 1)
        use_up_the_room(server)
        with pytest.raises(LogFull, match="maxmemory"):
            await Producer("another").batch("x").to(log)
        head = await log.head("big")
        assert head.offset == 50
        assert (await log.read("big", 49)).payloads
        assert (await log.head("another")).offset == 0

        # Both ways to make room must work while there is none.
        assert await log.keep_checkpoint("big", Checkpoint(head.position, b"the plan so far"), window=1)
        assert (await Sender(log, "another", "agent").append()).offset == 1
        server.call("CONFIG", "SET", "maxmemory", 0)
        await append_5_mb(log, 51)
        use_up_the_room(server)
        with pytest.raises(LogFull):
            await Producer("another", "another producer").batch("x").to(log)
        assert await log.delete("big")
        eventually("the unlinked memory is freed", lambda: room_in(server) > 0)
        assert (await Sender(log, "another", "one more").append()).offset == 2


async def test_a_full_server_that_has_never_stored_a_plan_can_be_read(open_log: OpenLog) -> None:
    """It also refuses to load the function that appends."""
    with RedisServer(maxmemory="100kb") as server:
        log = await open_log(server.url)
        assert (await log.read("plan", 0)).head.offset == 0
        with pytest.raises(LogFull, match="maxmemory"):
            await Producer("plan").batch("x").to(log)
        server.call("CONFIG", "SET", "maxmemory", 0)
        assert (await Sender(log, "plan", "agent").append()).offset == 1


async def test_the_disk_is_full(open_log: OpenLog) -> None:
    """A failed snapshot to disk makes Redis refuse writes, just as a full disk does."""
    with RedisServer() as server:
        log = await open_log(server.url)
        position = await Sender(log, "plan", "agent").append()
        server.call("CONFIG", "SET", "save", "3600 1", "rdbcompression", "no")
        (server.directory / "dump.rdb").mkdir()  # so that the snapshot can't be written
        server.call("BGSAVE")
        eventually("the snapshot failed", lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(LogFull, match="disk"):
            await Producer("plan", "another").batch("x").to(log)
        assert (await log.head("plan")).position == position
        assert (await log.read("plan", 0)).payloads


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-random", "volatile-ttl"])
async def test_an_evicting_policy_is_refused(policy: str) -> None:
    with RedisServer(maxmemory_policy=policy) as server:
        error = await refused(server.url)
        assert policy in error
        assert "noeviction" in error


async def test_the_password_is_wrong_or_missing(open_log: OpenLog) -> None:
    with RedisServer(password="s3cret") as server:
        assert "WRONGPASS" in await refused(f"redis://:wrong@127.0.0.1:{server.port}")
        assert "NOAUTH" in await refused(f"redis://127.0.0.1:{server.port}")
        assert (await Sender(await open_log(server.url), "plan", "agent").append()).offset == 1


@pytest.mark.parametrize(
    ("rights", "named"),
    [
        (("~other:*", "&plancast:*", "+@all"), "+xadd"),
        (("~plancast:*", "&other:*", "+@all"), "+spublish"),
        (("~plancast:*", "&plancast:*", "+@all", "-zadd"), "+zadd"),
        (("~plancast:*", "&plancast:*", "+@all", "-evalsha", "-eval"), "eval"),
        (("~plancast:*", "&plancast:*", "+@all", "-info"), "info"),
        (("~plancast:*", "&plancast:*", "+@all", "-@scripting"), "eval"),
        (("~plancast:*", "&plancast:*", "+@all", "-evalsha"), "+evalsha"),
        (("~plancast:*", "&plancast:*", "+@all", "-script"), "+script|load"),
        (("~plancast:*", "&plancast:*", "+@all", "-fcall"), "+fcall"),
        (("~plancast:*", "&plancast:*", "+@all", "-function"), "+function|load"),
    ],
)
async def test_a_missing_acl_right_is_named(rights: tuple[str, ...], named: str) -> None:
    with RedisServer() as server:
        server.call("ACL", "SETUSER", "agent", "on", ">pw", *rights)
        assert named in await refused(f"redis://agent:pw@127.0.0.1:{server.port}")


async def test_the_documented_acl_rights_suffice(open_log: OpenLog) -> None:
    with RedisServer() as server:
        server.call("ACL", "SETUSER", "agent", "on", ">pw", *RIGHTS, "-@admin", "-@dangerous", "+info")
        log = await open_log(f"redis://agent:pw@127.0.0.1:{server.port}")
        watcher = RecordingWatcher()
        await log.watch("plan", watcher)
        await Sender(log, "plan", "agent").append()
        await watcher.until_offset(1)
        assert (await log.plans()).plans[0].plan_id == "plan"


@pytest.mark.parametrize("part", ["log", "meta"])
async def test_another_kind_of_value_is_stored_at_the_key(open_log: OpenLog, part: str) -> None:
    with RedisServer() as server:
        key = f"plancast:{{plan}}:{part}"
        server.call("SET", key, "another program's")
        log = await open_log(server.url)
        with pytest.raises(LogMisconfigured, match=r"plancast:\{plan\}"):
            await Producer("plan").batch("x").to(log)
        assert server.call("GET", key) == "another program's"
        assert server.call("DBSIZE") == 1


async def test_another_program_writes_to_the_stream(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(server.url)
        sender = Sender(log, "plan", "agent")
        await sender.append()
        server.call("XADD", "plancast:{plan}:log", "77-0", "e", "mine")
        with pytest.raises(LogMisconfigured, match="equal or smaller"):
            await sender.append()


async def test_a_gap_in_the_stream_is_an_error(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(server.url)
        await Sender(log, "plan", "agent").append(events=5)
        server.call("XDEL", "plancast:{plan}:log", "3-0")
        with pytest.raises(LogMisconfigured, match="HOLE"):
            await log.read("plan", 0)


async def test_a_replica_is_refused() -> None:
    with RedisServer() as master, RedisServer(replicaof=f"127.0.0.1 {master.port}") as replica:
        log = RedisLog(replica.url)
        with pytest.raises(LogUnavailable, match=r"replica.*127\.0\.0\.1"):
            await log.open()
        assert replica.call("DBSIZE") == 0


async def test_a_master_becomes_a_replica_and_a_master_again(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scripts survive, but it must get a new identity: its history may have changed in between."""
    monkeypatch.setattr(link, "BEAT", 0.1)
    with RedisServer() as server, RedisServer() as other:
        log, watcher = await open_log(server.url), RecordingWatcher()
        await log.watch("plan", watcher)
        sender = Sender(log, "plan", "agent")
        before = await sender.append()
        server.call("REPLICAOF", "127.0.0.1", other.port)
        await watcher.until_word("lost")
        with pytest.raises(LogUnavailable, match="replica"):
            await Producer("plan", "late").batch("x").to(log)
        server.call("REPLICAOF", "NO", "ONE")
        await watcher.until_word("resumed")

        after = await Sender(log, "plan", "after").append()
        assert after.epoch != before.epoch


async def test_too_few_replicas_are_connected(open_log: OpenLog) -> None:
    with RedisServer(min_replicas_to_write=1) as server:
        log = await open_log(server.url)
        with pytest.raises(LogUnavailable, match="min-replicas-to-write"):
            await Producer("plan").batch("x").to(log)
        with RedisServer(replicaof=f"127.0.0.1 {server.port}"):
            assert (await Sender(log, "plan", "agent").append()).offset == 1


async def test_replicated_means_on_a_replica_too(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(f"{server.url}?replicas=1")
        assert log.durability == "replicated"
        batch = Producer("plan").batch("x")
        with pytest.raises(LogUnavailable, match=r"0\D+1\D*replica"):
            await batch.to(log)
        with RedisServer(replicaof=f"127.0.0.1 {server.port}") as replica:
            eventually("it is linked", lambda: replica.info("replication")["master_link_status"] == "up")
            async with asyncio.timeout(30):
                while True:  # a replica counts only once it has acknowledged something
                    try:
                        appended = await batch.to(log)
                        break
                    except LogUnavailable:
                        continue
            assert list(appended.offsets) == [1]
            assert replica.call("XLEN", "plancast:{plan}:log") == 1


async def test_a_server_at_its_limit_of_connections(open_log: OpenLog) -> None:
    with RedisServer(maxclients=4) as server:  # each log has two connections
        await open_log(server.url)
        log = await open_log(server.url)
        with pytest.raises(LogUnavailable, match="maxclients"):
            await RedisLog(server.url).open()
        with pytest.raises(LogUnavailable, match="maxclients"):
            await log.watch("plan", RecordingWatcher())


async def test_something_that_is_not_redis_answers() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LogUnavailable, match="protocol"):
            await RedisLog(f"redis://127.0.0.1:{port}").open()
