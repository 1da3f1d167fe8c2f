"""The embedded log beyond the contract suite: its URL, its file, its threads, its errors."""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from broadcasters.errors import InvalidEvent, LogFull, LogMisconfigured, LogUnavailable
from broadcasters.log.contract import MAX_APPEND_EVENTS, Appended, Checkpoint, Entry, Facts, PlanLog
from broadcasters.log.sqlite import append, tail
from broadcasters.log.sqlite import log as embedded
from broadcasters.log.sqlite import writer as writer_module
from broadcasters.log.sqlite.append import Append
from broadcasters.log.sqlite.file import SqliteConnection, SqliteFile
from broadcasters.log.sqlite.log import SqliteLog
from broadcasters.log.sqlite.writer import Writer
from broadcasters.position import Position
from tests.contract.clients import Batch, Producer, RecordingWatcher, all_of

NOBODY = 65534
DEADLINE_S = 20.0
OpenPlans = Callable[..., Awaitable[PlanLog]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plans.db"


@pytest_asyncio.fixture
async def open_plans(path: Path) -> AsyncIterator[OpenPlans]:
    """Opens the file as often as called, each time as another program would."""
    opened: list[PlanLog] = []

    async def open_one(options: str = "") -> PlanLog:
        log = SqliteLog(f"sqlite:///{path}{options}")
        await log.open()
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        await log.close()


@pytest_asyncio.fixture
async def plans(open_plans: OpenPlans) -> PlanLog:
    return await open_plans()


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as another program sees it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """While another program holds the write lock."""
    with connected(path) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


def numbers(db: sqlite3.Connection, table: str) -> int:
    (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def contents(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, text: str) -> None:
    path.write_text(text)


def put_back(path: Path, copy: bytes) -> None:
    """As an operator does: move the old file aside, and put the copy in its place."""
    path.rename(path.with_suffix(".old"))
    path.write_bytes(copy)


def overwrite(path: Path, start: int, byte: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(byte * (path.stat().st_size - start))


# --- the URL


def test_a_url_names_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    named = {
        "sqlite:///plans.db": tmp_path / "plans.db",
        "sqlite:///sub/plans.db": tmp_path / "sub/plans.db",
        "sqlite:////var/lib/plans.db": Path("/var/lib/plans.db"),
        "sqlite:////var/lib/my plans #1.db": Path("/var/lib/my plans #1.db"),
        "sqlite:///~/plans.db": Path("/home/ann/plans.db"),
    }
    assert {url: SqliteFile.at(url).path for url in named} == named


def test_a_url_has_options() -> None:
    file = SqliteFile.at("sqlite:////x.db?ttl=0.5&timeout=2")
    assert (file.path, file.ttl_s, file.patience_s) == (Path("/x.db"), 43_200, 2.0)
    assert SqliteFile.at("sqlite:////x.db").ttl_s == 30 * 86_400
    assert SqliteFile.at("sqlite:////x.db?ttl=never").ttl_s == math.inf


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "sqlite://"),
        ("sqlite:///", "sqlite:///"),
        ("sqlite://plans.db", "sqlite://plans.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///~nobody-at-all/x.db", "~nobody-at-all"),
        ("sqlite:///x.db?ttl=soon", "ttl='soon'"),
        ("sqlite:///x.db?ttl=0", "ttl='0'"),
        ("sqlite:///x.db?timeout=nan", "timeout='nan'"),
        ("sqlite:///x.db?tll=3", "'tll'"),
    ],
)
def test_a_wrong_url_is_refused(url: str, says: str) -> None:
    with pytest.raises(LogMisconfigured, match=says):
        SqliteLog(url)


# --- the file


async def refusal(path: Path) -> str:
    log = SqliteLog(f"sqlite:///{path}")
    with pytest.raises(LogMisconfigured) as refused:
        await log.open()
    with pytest.raises(LogUnavailable):
        await log.head("plan-1")
    return str(refused.value)


async def test_a_name_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    assert "File name too long" in await refusal(tmp_path / ("n" * 300))


async def test_missing_directories_are_made(tmp_path: Path) -> None:
    log = SqliteLog(f"sqlite:///{tmp_path / 'not' / 'there' / 'plans.db'}")
    await log.open()
    assert list((await Producer("plan-1").batch("a").to(log)).offsets) == [1]
    await log.close()


async def test_a_directory_that_is_made_for_plans_is_for_their_owner_only(tmp_path: Path) -> None:
    log = SqliteLog(f"sqlite:///{tmp_path / '.plancast' / 'plans.db'}")
    await log.open()
    await log.close()
    assert stat.S_IMODE((tmp_path / ".plancast").stat().st_mode) == 0o700


async def test_opening_twice_is_harmless(plans: PlanLog) -> None:
    await plans.open()
    assert list((await Producer("plan-1").batch("a").to(plans)).offsets) == [1]


async def test_many_programs_may_open_a_new_file_at_once(open_plans: OpenPlans) -> None:
    logs = await asyncio.gather(*[open_plans() for _ in range(8)])
    appends = [Producer("plan-1", f"p{i}").batch("a").to(log) for i, log in enumerate(logs)]
    offsets = [appended.offsets[0] for appended in await asyncio.gather(*appends)]
    assert sorted(offsets) == list(range(1, 9))


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in await refusal(tmp_path)


async def test_a_file_where_the_directory_should_be_is_refused(path: Path) -> None:
    put(path, "")
    assert "directory" in await refusal(path / "plans.db")


async def test_what_is_not_a_database_is_refused_and_left_alone(path: Path) -> None:
    put(path, "Dear diary, " * 100)
    assert "not a database" in await refusal(path)
    assert contents(path) == b"Dear diary, " * 100


async def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    with connected(path) as db:
        db.execute("CREATE TABLE diary (day TEXT)")
    assert str(path) in await refusal(path)
    with connected(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("diary",)]


async def test_a_newer_schema_is_refused(path: Path, open_plans: OpenPlans) -> None:
    await (await open_plans()).close()
    with connected(path) as db:
        db.execute("PRAGMA user_version = 99")
    assert "schema 99" in await refusal(path)


async def test_a_damaged_file_has_a_clear_error(path: Path, open_plans: OpenPlans) -> None:
    log = await open_plans()
    await Producer("plan-1").batch(*["x" * 1000] * 100).to(log)
    await log.close()
    overwrite(path, 4096, b"\xff")
    assert "damaged" in await refusal(path)


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A directory that this process may not write to."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        root = os.geteuid() == 0
        yield directory
        if root:
            os.seteuid(0)
        directory.chmod(0o755)


def give_up_rights(directory: Path) -> None:
    for file in directory.iterdir():
        file.chmod(0o444)
    directory.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


async def test_a_file_that_may_only_be_read_is_refused(nobody: Path) -> None:
    log = SqliteLog(f"sqlite:///{nobody / 'plans.db'}")
    await log.open()
    await log.close()
    give_up_rights(nobody)
    assert str(nobody / "plans.db") in await refusal(nobody / "plans.db")


async def test_a_directory_that_may_only_be_read_is_refused(nobody: Path) -> None:
    give_up_rights(nobody)
    assert str(nobody / "plans.db") in await refusal(nobody / "plans.db")
    assert str(nobody / "sub") in await refusal(nobody / "sub" / "plans.db")


# --- the lock of another program


async def test_a_lock_held_too_long_is_unavailable_and_reads_go_on(path: Path, open_plans: OpenPlans) -> None:
    log = await open_plans("?timeout=0.1")
    producer = Producer("plan-1")
    await producer.batch("a").to(log)
    batch = producer.batch("b")
    with locked(path):
        with pytest.raises(LogUnavailable):
            await batch.to(log)
        with pytest.raises(LogUnavailable):
            await log.delete("plan-1")
        assert await all_of(log, "plan-1") == ["a"]
    assert list((await batch.to(log)).offsets) == [2]


async def test_an_append_waits_for_a_lock_that_is_given_back(path: Path, plans: PlanLog) -> None:
    with locked(path) as db:
        append = asyncio.create_task(Producer("plan-1").batch("a").to(plans))
        assert (await plans.head("plan-1")).offset == 0
        db.execute("ROLLBACK")
    assert list((await append).offsets) == [1]


async def test_closing_does_not_wait_for_a_lock(path: Path, open_plans: OpenPlans) -> None:
    log = await open_plans("?timeout=1000")
    with locked(path):
        append = asyncio.create_task(Producer("plan-1").batch("a").to(log))
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            await log.close()
        with pytest.raises(LogUnavailable, match="closed"):
            await append


# --- errors of the reader


async def test_a_defect_in_a_read_is_not_taken_for_a_closed_log(
    plans: PlanLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    await Producer("plan-1").batch("a").to(plans)
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "page_of", defect)
        with pytest.raises(RecursionError):
            await plans.read("plan-1", 0)
    assert await all_of(plans, "plan-1") == ["a"]


async def test_a_reader_whose_thread_has_ended_is_unavailable(path: Path) -> None:
    reader = embedded._ReaderThread(SqliteFile(path))
    await reader.close()
    with pytest.raises(LogUnavailable):
        await reader.run(lambda _: None)


# --- appends of one group


async def test_an_append_at_fault_does_not_fail_the_others(plans: PlanLog) -> None:
    good = [Producer(f"plan-{i}").batch("a") for i in range(5)]
    bad = Batch("plan-9", "half a surrogate \ud800", 1, good[0].entries, Facts())
    answers = await asyncio.gather(*[one.to(plans) for one in (*good[:3], bad, *good[3:])], return_exceptions=True)
    assert [type(answer) for answer in answers] == [Appended] * 3 + [InvalidEvent] + [Appended] * 2
    assert len((await plans.plans()).plans) == 5
    assert list((await Producer("plan-9").batch("a").to(plans)).offsets) == [1]


@pytest.mark.parametrize("count", [0, MAX_APPEND_EVENTS + 1])
async def test_an_append_of_no_or_too_many_entries_is_the_callers_mistake(plans: PlanLog, count: int) -> None:
    with pytest.raises(ValueError, match="256"):
        await plans.append("plan-1", "producer-1", 1, [Entry(b"{}")] * count, Facts())


async def test_a_plan_that_holds_all_it_can_is_full(plans: PlanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "LAST_OFFSET", 3)
    producer = Producer("plan-1")
    await producer.batch("a", "b").to(plans)
    with pytest.raises(LogFull, match="3 events"):
        await producer.batch("c", "d").to(plans)
    assert list((await producer.batch("e").to(plans)).offsets) == [3]


async def test_what_is_remembered_is_bounded_and_the_rest_is_looked_up(
    plans: PlanLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "MAX_REMEMBERED", 2)
    batches = [Producer(f"plan-{number % 4}", f"producer-{number}").batch("x") for number in range(24)]
    answers = await asyncio.gather(*[batch.to(plans) for batch in (*batches, *batches)])
    assert answers[:24] == answers[24:]
    assert [plan.head.offset for plan in (await plans.plans()).plans] == [6, 6, 6, 6]


def test_an_appender_remembers_so_many_plans_and_producers_and_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "MAX_REMEMBERED", 2)
    appender = append.Appender()
    with closing(SqliteConnection(SqliteFile.at(f"sqlite:///{path}"), wait_s=1.0)) as opened:
        db = opened.db()
        for number in range(10):
            appender.append(db, [Append("plan-0", f"producer-{number}", 1, [Entry(b"{}")], Facts())])
            assert len(appender._plans["plan-0"].last) <= 4
        for number in range(10):
            appender.append(db, [Append(f"plan-{number}", "one", 1, [Entry(b"{}")], Facts())])
            assert len(appender._plans) <= 4


async def test_within_one_group_the_last_append_decides_who_was_last_active(plans: PlanLog) -> None:
    producers = {name: Producer(name) for name in "abc"}
    await asyncio.gather(*[producers[name].batch("x").to(plans) for name in "abcab"])
    assert [plan.plan_id for plan in (await plans.plans()).plans] == ["b", "a", "c"]


async def test_a_plan_appended_to_and_deleted_in_one_turn_is_deleted(plans: PlanLog) -> None:
    _, deleted = await asyncio.gather(Producer("plan-1").batch("a").to(plans), plans.delete("plan-1"))
    assert deleted is True
    assert (await plans.head("plan-1")).offset == 0


async def test_a_deleted_plan_leaves_nothing_in_the_file(path: Path, plans: PlanLog) -> None:
    producer = Producer("plan-1")
    appended = await producer.update(owner="ann", labels=["x", "y"]).to(plans)
    await producer.batch("a", "b", keys=["key", None]).to(plans)
    await plans.keep_checkpoint("plan-1", Checkpoint(Position(appended.epoch, 1), b"{}"), 10)
    with connected(path) as db:
        tables = ("plans", "events", "producers", "keys", "labels", "checkpoints")
        assert [numbers(db, table) for table in tables] == [1, 3, 1, 1, 2, 1]
        await plans.delete("plan-1")
        assert [numbers(db, table) for table in tables] == [0] * 6


# --- bounds


async def test_what_waits_for_the_disk_is_bounded(path: Path, plans: PlanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WAITING_BYTES", 20_000)
    writer = Writer(SqliteFile(path), committed=lambda: None)
    one = Producer("plan-1").batch("x" * 2000)
    appends = [Append("plan-1", f"producer-{i}", 1, one.entries, Facts()) for i in range(100)]
    with locked(path) as db:
        waiting = [asyncio.create_task(writer.append(append)) for append in appends]
        highest = 0
        for _ in range(10):
            await asyncio.sleep(0)
            highest = max(highest, writer.waiting_bytes)
        assert 20_000 < highest < 25_000
        db.execute("ROLLBACK")
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.offsets[0] for answer in answers) == list(range(1, 101))
    assert writer.waiting_bytes == 0
    await writer.close()


async def test_appends_that_wait_for_room_fail_when_the_log_closes(
    path: Path, plans: PlanLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "WAITING_BYTES", 1)
    writer = Writer(SqliteFile(path), committed=lambda: None)
    one = Producer("plan-1").batch("x")
    with locked(path):
        appends = [Append("plan-1", f"producer-{i}", 1, one.entries, Facts()) for i in range(5)]
        waiting = [asyncio.create_task(writer.append(append)) for append in appends]
        await asyncio.sleep(0)
        await writer.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {LogUnavailable}


async def test_closing_among_many_appends_leaves_each_stored_or_refused(open_plans: OpenPlans) -> None:
    log = await open_plans()
    batches = [Producer("plan-1", f"producer-{i}").batch(f"{i}") for i in range(300)]
    appends = [asyncio.create_task(batch.to(log)) for batch in batches]
    await appends[0]
    more = [asyncio.create_task(Producer("plan-2", f"producer-{i}").batch("x").to(log)) for i in range(50)]
    await asyncio.sleep(0)
    await log.close()
    answers = await asyncio.gather(*appends, *more, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {Appended, LogUnavailable}
    story = await all_of(await open_plans(), "plan-1")
    stored = [answer.offsets[0] for answer in answers[:300] if isinstance(answer, Appended)]
    assert {story[offset - 1] for offset in stored} <= {f"{i}" for i in range(300)}
    assert len(stored) == len(set(stored)) > 0


# --- age


async def test_a_plan_idle_for_longer_than_its_ttl_is_deleted_and_its_watchers_notified(
    path: Path, open_plans: OpenPlans, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_plans("?ttl=never")
    for name in ("old", "young"):
        await Producer(name).batch("a").to(log)
    with connected(path) as db:
        db.execute("UPDATE plans SET updated_ms = updated_ms - 86400000 * 3 WHERE plan_id = 'old'")
    received = RecordingWatcher()
    await log.watch("old", received)
    monkeypatch.setattr(embedded, "TIDY_FIRST_S", 0)
    await open_plans("?ttl=2")
    await received.until_word("deleted")
    assert [plan.plan_id for plan in (await log.plans()).plans] == ["young"]


async def test_old_plans_are_removed_although_that_failed(
    path: Path, open_plans: OpenPlans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "TIDY_FIRST_S", 0)
    failed = asyncio.Event()

    def fails(*_: object) -> bool:
        failed.set()
        raise ValueError("not a number")

    with monkeypatch.context() as broken:
        broken.setattr(embedded, "delete_idle", fails)
        log = await open_plans("?ttl=2")
        await Producer("old").batch("a").to(log)
        received = RecordingWatcher()
        await log.watch("old", received)
        async with asyncio.timeout(30):
            await failed.wait()
        with connected(path) as db:
            db.execute("UPDATE plans SET updated_ms = updated_ms - 86400000 * 3")
    await received.until_word("deleted")
    assert [part.failures > 0 for part in log.parts.values()] == [True]


# --- the file is removed, or restored from a copy


async def test_a_file_taken_away_is_a_log_begun_again(path: Path, plans: PlanLog) -> None:
    received = RecordingWatcher()
    await plans.watch("plan-1", received)
    before = await Producer("plan-1").batch("a", "b").to(plans)
    await received.until_offset(2)
    for file in path.parent.glob("plans.db*"):
        file.unlink()
    await received.until(lambda received: received.words == ["lost", "resumed"])
    after = await Producer("plan-1", "another").batch("c").to(plans)
    await received.until(lambda received: received.calls[-1][0] == after.epoch)
    head = await plans.head("plan-1")
    assert list(after.offsets) == [1]
    assert head.lineage.continuity(Position(before.epoch, 2), head.offset, head.floor) == "epoch"
    assert await all_of(plans, "plan-1") == ["c"]


async def test_l7_a_file_put_back_from_a_copy_begins_a_new_epoch(path: Path, open_plans: OpenPlans) -> None:
    log = await open_plans()
    producer = Producer("plan-1")
    before = await producer.batch("a", "b").to(log)
    await log.close()
    copy = contents(path)
    later = await open_plans()
    await producer.batch("not in the copy").to(later)
    await later.close()
    put_back(path, copy)
    restored = await open_plans()
    head = await restored.head("plan-1")
    assert head.lineage.continuity(Position(before.epoch, 3), head.offset, head.floor) == "ahead"
    after = await Producer("plan-1", "another").batch("c", "d").to(restored)
    head = await restored.head("plan-1")
    assert (list(after.offsets), after.epoch == before.epoch) == ([3, 4], False)
    assert head.lineage.continuity(Position(before.epoch, 2), head.offset, head.floor) == "ok"
    assert head.lineage.continuity(Position(before.epoch, 3), head.offset, head.floor) == "forked"
    assert (await restored.read("plan-1", 0)).head == head


async def test_a_lineage_keeps_its_last_sixteen_epochs(path: Path, plans: PlanLog) -> None:
    producer = Producer("plan-1")
    epochs = []
    for _ in range(20):
        epochs.append((await producer.batch("x").to(plans)).epoch)
        with connected(path) as db:
            db.execute("UPDATE log SET incarnation = incarnation + 1")
    assert [epoch for epoch, _ in (await plans.head("plan-1")).lineage.ended] == epochs[3:19]


async def test_a_file_opened_again_goes_on_in_its_epoch(open_plans: OpenPlans) -> None:
    epochs = set()
    for i in range(3):
        log = await open_plans()
        epochs.add((await Producer("plan-1", f"{i}").batch("a").to(log)).epoch)
        await log.close()
    assert len(epochs) == 1


# --- threads and watchers


async def test_a_watcher_that_raises_does_not_harm_the_others(plans: PlanLog, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RecordingWatcher):
        def arrived(self, *_: object) -> None:
            raise RuntimeError("I promised not to")

    received = RecordingWatcher()
    await plans.watch("plan-1", Broken())
    await plans.watch("plan-1", received)
    await Producer("plan-1").batch("a").to(plans)
    await received.until_offset(1)
    assert caplog.text.count("RuntimeError: I promised not to") == 1


@pytest.mark.parametrize("trouble", [sqlite3.OperationalError("disk I/O error"), KeyError("a mistake of ours")])
async def test_a_tail_that_fails_is_lost_and_resumed(
    plans: PlanLog, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    received = RecordingWatcher()
    await plans.watch("plan-1", received)
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    await received.until_offset(1)

    def fail(*_: object) -> None:
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(tail, "_since", fail)
        await producer.batch("may be missed").to(plans)
        await received.until_word("lost")
    await received.until(lambda received: received.words.count("lost") == received.words.count("resumed"))
    head = (await plans.head("plan-1")).offset
    await producer.batch("received").to(plans)
    await received.until_offset(head + 1)


async def test_a_watch_fails_if_the_tail_can_not_read_the_head(plans: PlanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(tail, "_at_head", fail)
        with pytest.raises(LogUnavailable):
            await plans.watch("plan-1", RecordingWatcher())
    received = RecordingWatcher()
    await plans.watch("plan-1", received)
    await Producer("plan-1").batch("a").to(plans)
    await received.until_offset(1)


async def test_a_busy_loop_gets_pages_and_misses_nothing(plans: PlanLog) -> None:
    told_in_turn: Counter[int] = Counter()
    turn = 0

    class Weighing(RecordingWatcher):
        def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
            super().arrived(epoch, first, payloads)
            told_in_turn[turn] += sum(map(len, payloads))

    received = Weighing()
    await plans.watch("plan-1", received)
    batches = [Producer("plan-1", f"p{i}").batch(*["x" * 10_000] * 90) for i in range(6)]
    appends = [asyncio.create_task(batch.to(plans)) for batch in batches]
    async with asyncio.timeout(DEADLINE_S):
        while len(received.offsets) < 540:
            turn += 1
            await asyncio.sleep(0)
    assert received.offsets == list(range(1, 541))
    assert max(told_in_turn.values()) <= 2 * 1024 * 1024
    await asyncio.gather(*appends)


UNCLOSED = """
import asyncio, sys
from broadcasters.log import log_of
from tests.contract.clients import RecordingWatcher, Producer

async def main():
    log = log_of(sys.argv[1])
    await log.open()
    await log.watch("plan-1", RecordingWatcher())
    print(list((await Producer("plan-1").batch("a").to(log)).offsets))

asyncio.run(main())
"""


def test_a_program_that_does_not_close_the_log_still_ends(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCLOSED, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[4],
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1]\n", "")
