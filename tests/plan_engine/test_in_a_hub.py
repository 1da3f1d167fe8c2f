"""The engine behind the hub's port, and the command that runs workers."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hub.cli import main
from hub.commands.embedded import Embedded
from hub.engine_port import BrokenTemplate, EnginePort, InputRejected, PlanNotRunning, TemplateInfo, TemplateNotFound
from plan_engine import Plan, Step, template
from tests.plan_engine.harness import EngineHarness, statuses
from tests.plan_engine.plans import quick, shop


@template("clumsy", title="Clumsy")
def clumsy(given: dict[str, Any]) -> Plan:
    return Plan("P", [Step("a", "A", print)] * given["steps"])


WORKER = [str(Path(sys.executable).with_name("plancast")), "worker", "--templates", "tests.plan_engine.plans"]


async def test_a_hub_starts_and_signals_plans_and_gets_its_own_errors(harness: EngineHarness) -> None:
    async with harness.engine(quick, clumsy, work=False) as engine:
        port: EnginePort = Embedded(engine)
        assert port.templates() == [
            TemplateInfo("quick", "Two quick steps", "", {"type": "object"}),
            TemplateInfo("clumsy", "Clumsy", "", {"type": "object"}),
        ]
        with pytest.raises(TemplateNotFound, match="clumsy, quick"):
            await port.start("slow", {}, "p", None)
        with pytest.raises(InputRejected):
            await port.start("quick", {"effects": object()}, "p", None)
        with pytest.raises(BrokenTemplate, match=r"'clumsy'.*TypeError"):
            await port.start("clumsy", {"steps": "many"}, "p", None)
        with pytest.raises(PlanNotRunning):
            await port.signal("p", "cancel", "maria")
        await port.start("quick", {}, "p", "maria")
        assert (await harness.snapshot("p")).owner == "maria"
        numbers = port.statistics()
        assert (numbers.plans, numbers.leased) == ({}, None)
        assert numbers.outbox is not None
        assert numbers.outbox.appended > 0
        await port.signal("p", "cancel", "maria")
        assert (await harness.snapshot("p")).status == "cancelled"
    await harness.events("p")


@pytest.mark.faults
async def test_a_worker_prints_what_it_runs_and_stops_on_a_signal(harness: EngineHarness) -> None:
    words = [*WORKER, "--log", harness.log_url, "--engine-db", harness.db]
    folder, pipe = Path(__file__).parents[2], subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, cwd=folder)
    try:
        assert worker.stdout is not None
        assert (await worker.stdout.readline()).startswith(b"Plancast worker ")
        assert await worker.stdout.readline() == b"templates: shop, quick\n"
        async with harness.engine(shop, work=False) as office:
            await office.start("shop", {"effects": str(harness.directory / "effects.db")}, "p")
            await harness.until_step("p", "approval", "waiting")
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            _, notes = await worker.communicate()
        assert b"other workers continue the plans in progress" in notes
        assert worker.returncode == 0
    finally:
        with suppress(ProcessLookupError):
            worker.kill()
    events = await harness.events_so_far("p")
    assert statuses(events, "approval") == ["pending", "in_progress", "waiting"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--templates", "no.such.module"], "module no"),
        (["--templates", "tests.plan_engine.event_rules"], "tests.plan_engine.event_rules"),
        (["--templates", "tests.plan_engine.plans", "--engine-db", "mysql://x/y"], "sqlite:///… or postgresql://…"),
        (["--templates", "tests.plan_engine.plans", "--log", "ftp://x"], "'ftp'"),
    ],
)
def test_a_worker_that_cannot_start_prints_why(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANCAST_LOG", f"sqlite:///{tmp_path / 'plans.db'}")
    monkeypatch.setenv("PLANCAST_ENGINE_DB", f"sqlite:///{tmp_path / 'engine.db'}")
    assert main(["worker", *words]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def half(", ("broken_shop", "SyntaxError: ")),
        ("raise RuntimeError('no till')", ("broken_shop", "RuntimeError: no till")),
        ("raise SystemExit(3)", ("broken_shop", "SystemExit: 3")),
        ("from plan_engine import template\ntemplate('A Shop', title='')(print)", ("'A Shop'",)),
    ],
)
def test_a_module_of_templates_that_is_broken_is_named(
    source: str,
    says: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken_shop.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert main(["worker", "--templates", "broken_shop"]) == 1
    told = capsys.readouterr().err
    assert [fact for fact in says if fact not in told] == []
    assert told.count("\n") == 1
