"""An SQLite that lacks what DBOS calls on newer Pythons is refused by name, before DBOS uses it."""

from __future__ import annotations

import platform

import pytest

from plan_engine.errors import EngineMisconfigured
from plan_engine.worker.sqlite import sqlite_problem
from tests.plan_engine.harness import EngineHarness

OLD, NEW = (3, 40, 1), (3, 42, 0)


@pytest.mark.parametrize(
    ("python", "sqlite", "refused"),
    [(0x030B0700, OLD, False), (0x030C0100, NEW, False), (0x030C0100, (4, 0, 0), False), (0x030C0100, OLD, True)],
)
def test_only_a_newer_python_with_an_older_sqlite_is_refused(
    python: int, sqlite: tuple[int, ...], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.hexversion", python)
    monkeypatch.setattr("sqlite3.sqlite_version_info", sqlite)
    assert bool(sqlite_problem()) is refused


async def test_the_engine_names_versions_and_what_to_do(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.hexversion", 0x030C0100)
    monkeypatch.setattr("sqlite3.sqlite_version_info", OLD)
    monkeypatch.setattr("sqlite3.sqlite_version", "3.40.1")
    with pytest.raises(EngineMisconfigured) as refused:
        async with harness.engine():
            pass
    said = str(refused.value)
    assert said.startswith(f"Python {platform.python_version()} has SQLite 3.40.1, but ")
    assert "requires SQLite 3.42 or newer; set PLANCAST_ENGINE_DB=postgresql://…" in said
    assert "\n" not in said
