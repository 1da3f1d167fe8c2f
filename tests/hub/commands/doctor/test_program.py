"""`plancast doctor`: variables, settings, extras, model and limits of this program, SQLite files, and deadlines."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from broadcasters.blocking import Broadcaster
from hub.commands.doctor.finding import Check, Finding, Section, examine
from hub.commands.doctor.logs import checks_of_log
from hub.commands.doctor.program import checks_of_program
from tests.hub.commands.command_lines import CommandLines


async def examined(checks: Sequence[Check]) -> dict[str, Finding]:
    [(_, findings)] = await examine([Section("", "", checks)])
    return {finding.name: finding for finding in findings}


async def test_variables_that_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_LGO", "redis://cache")
    found = (await examined(checks_of_program()))["variables"]
    assert found.found == "PLANCAST_LGO is not a setting and is ignored; did you mean PLANCAST_LOG?"
    assert found.fix == 'export PLANCAST_LOG="$PLANCAST_LGO"; unset PLANCAST_LGO'


async def test_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_PORT", "eighty")
    found = await examined(checks_of_program())
    assert found["settings"].status == "failed"
    assert "PLANCAST_PORT: expected a whole number" in found["settings"].found
    assert found["settings"].fix == "unset PLANCAST_PORT"


@pytest.mark.parametrize(
    ("model", "status", "words"),
    [("offline", "ok", "follow a script"), ("test", "ok", "test can be used"), ("gossip:1", "failed", "gossip")],
)
async def test_the_model(model: str, status: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_MODEL", model)
    found = (await examined(checks_of_program()))["model"]
    assert found.status == status
    assert words in found.found


async def test_an_extra_of_which_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(package: str) -> bool:
        return package != "sqlglot"

    monkeypatch.setattr("hub.commands.doctor.program._installed", installed)
    monkeypatch.setenv("PLANCAST_MODEL", "test")
    found = await examined(checks_of_program())
    assert found["extras"].found == "templates is incomplete: no sqlglot"
    assert found["extras"].fix == found["model"].fix == "pip install 'plancast[templates]'"


async def test_a_plain_install_of_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.commands.doctor.program._installed", lambda _package: False)
    found = await examined(checks_of_program())
    assert found["extras"].found == "installed: none; agents need none"
    assert found["page"].status == "skipped"


@pytest.mark.parametrize(
    ("engine", "database", "status", "words"),
    [
        ("auto", "sqlite:///e.db", "failed", "requires SQLite 3.42 or newer"),
        ("auto", "postgresql://db/e", "ok", "its database is PostgreSQL"),
        ("off", "sqlite:///e.db", "skipped", "no engine runs here"),
    ],
)
async def test_an_sqlite_too_old_for_the_engine(
    engine: str, database: str, status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.hexversion", 0x030C0000)
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 40, 1))
    monkeypatch.setenv("PLANCAST_ENGINE", engine)
    monkeypatch.setenv("PLANCAST_ENGINE_DB", database)
    found = (await examined(checks_of_program()))["engine"]
    assert found.status == status
    assert words in found.found
    assert found.fix.startswith("export PLANCAST_ENGINE_DB=postgresql://" if status == "failed" else "")


async def test_too_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.process.workers.files_allowed", lambda: 1024)
    found = (await examined(checks_of_program()))["open files"]
    assert found.found == "at most 1,024, but a hub with 10,000 connections opens 10,256 (systemd: LimitNOFILE=10256)"
    assert found.fix == "ulimit -n 10256"


# --- SQLite


async def test_a_file_in_order(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/plans.db"
    assert "does not exist yet" in (await examined(checks_of_log(url)))["file"].found
    assert not (tmp_path / "plans.db").exists()
    with Broadcaster(url) as broadcaster:
        await asyncio.to_thread(broadcaster.send_plan_update, "p")
    found = await examined(checks_of_log(url))
    assert found["file"].found.startswith("can be written")
    assert found["disk"].found.endswith("GiB free")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not a database, though it has enough bytes" * 20, "is not a database"),
        (None, "is a database of another program"),
    ],
)
async def test_a_file_that_is_no_log(content: bytes | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "plans.db"
    if content is None:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE others (x)")
        db.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    found = (await examined(checks_of_log(f"sqlite:///{path}")))["file"]
    assert found.status == "failed"
    assert problem in found.found
    assert found.fix == f"export PLANCAST_LOG=sqlite:///{tmp_path}/new-plans.db"
    assert path.read_bytes() == before


async def test_a_file_that_another_process_locks(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/plans.db?timeout=0.05"
    with Broadcaster(url) as broadcaster:
        await asyncio.to_thread(broadcaster.send_plan_update, "p")
    other = sqlite3.connect(tmp_path / "plans.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        found = (await examined(checks_of_log(url)))["file"]
    finally:
        other.close()
    assert "holds the lock" in found.found
    assert found.fix.startswith("fuser -v ")


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = (await examined(checks_of_log(f"sqlite:///{tmp_path}/file/plans.db")))["file"]
    assert found.status == "failed"
    assert found.fix == f"sudo install -d -o $(id -un) {tmp_path}/file"


@pytest.mark.parametrize(("free_mib", "status"), [(10_000, "ok"), (500, "warning"), (50, "failed")])
async def test_a_disk_that_is_nearly_full(
    free_mib: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = free_mib * 2**20

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
    assert (await examined(checks_of_log(f"sqlite:///{tmp_path}/plans.db")))["disk"].status == status


# --- how checks run


async def test_a_check_that_does_not_end() -> None:
    async def waits() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    async def breaks() -> Sequence[Finding]:
        raise RuntimeError("gone")

    async def works() -> Sequence[Finding]:
        return [Finding("works", "ok", "fine")]

    checks = [Check("waits", waits(), 0.01), Check("breaks", breaks()), Check("works", works())]
    found = await examined(checks)
    assert found["waits"].found == "no result within 0.01 s"
    assert found["breaks"].found == "the check failed: RuntimeError: gone"
    assert found["works"].status == "ok"


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("plancast doctor --log carrier-pigeon://home", "✗ url          there is no log of the kind 'carrier-pigeon'"),
        ("plancast doctor --log reds://home", "did you mean redis?"),
        ("plancast doctor --log redis+sentinel://h:1", "✗ url          a Sentinel URL names the service"),
        ("plancast doctor plans.example.org", "✗ address      expected a hub's address, http://… or https://…"),
    ],
)
def test_an_address_that_is_none(
    line: str, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = CommandLines(monkeypatch, capsys, PLANCAST_LOG=f"sqlite:///{tmp_path}/plans.db")
    done = lines.run(line)
    assert done.code == 1
    assert check in done.out
