"""The private methods of DBOS that the engine uses exist; without them it refuses to start."""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from plan_engine import EngineMisconfigured
from plan_engine.worker.worker import DBOS_VERSION, PRIVATE
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import nothing, only

ROOT = Path(__file__).parents[3]


def test_the_expected_version_is_pinned_locked_and_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"dbos=={DBOS_VERSION}" in project["optional-dependencies"]["engine"]
    locked = re.findall(r"^dbos==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked == [DBOS_VERSION]
    assert version("dbos") == DBOS_VERSION


def at_work() -> DBOS:
    """The DBOS of this process. While an engine works, the configuration given here is ignored."""
    return DBOS(config={"name": "plancast"})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_active_workflows_set.add", ["key", "queue_name", "queue_partition_key"]),
        ("_active_workflows_set._remove", ["key", "bucket"]),
    ],
)
async def test_the_private_methods_exist(harness: EngineHarness, name: str, parameters: list[str]) -> None:
    assert name in PRIVATE
    async with harness.engine(only(nothing)):
        found: Any = attrgetter(name)(at_work())
        assert [*inspect.signature(found).parameters] == parameters


def test_no_private_module_of_dbos_is_imported() -> None:
    sources = [path.read_text() for path in (ROOT / "plan_engine").rglob("*.py")]
    assert [found for source in sources for found in re.findall(r"dbos\._\w+|from dbos import .*\b_\w+", source)] == []


def installed(_: str) -> str:
    return "9.9.9"


@pytest.mark.parametrize("name", PRIVATE)
async def test_without_the_private_methods_the_engine_names_the_version_to_install(
    harness: EngineHarness, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with harness.engine(only(nothing)):
        counted: object = attrgetter("_active_workflows_set")(at_work()).__class__
    with monkeypatch.context() as patched:
        patched.delattr(counted, name.rpartition(".")[2])
        patched.setattr("plan_engine.worker.worker.version", installed)
        with pytest.raises(EngineMisconfigured, match=rf"9\.9\.9.*{re.escape(name)}.*dbos=={re.escape(DBOS_VERSION)}"):
            async with harness.engine(only(nothing)):
                pass
    async with harness.engine(only(nothing)) as engine:
        await engine.start("only", {}, "p")
        assert (await harness.outcome(engine, "p")).status == "completed"
