"""Flags for templates and model reach the engine of the command, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub.cli import main
from plan_engine.templates import exhibition
from tests.plan_engine.harness import EngineHarness

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("command", [["serve", "--port", "0", "--engine", "embedded"], ["worker"]])
def test_a_flag_is_not_written_into_the_environment(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANCAST_MODEL", raising=False)
    monkeypatch.delenv("PLANCAST_PACE", raising=False)
    before = dict(os.environ)
    assert main([*command, "--model", "gossip:1", "--pace", "0.5"]) == 1
    assert "gossip:1" in capsys.readouterr().err
    assert dict(os.environ) == before


@contextmanager
def worker(*words: str) -> Generator[None]:
    """`plancast worker` with these flags and no variables of settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
    command = [sys.executable, "-m", "hub", "worker", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


async def test_agents_use_the_model_of_the_flag(tmp_path: Path) -> None:
    async with EngineHarness(tmp_path) as harness, harness.engine(exhibition, work=False) as engine:
        with worker("--model", "test", "--pace", "0", "--log", harness.log_url, "--engine-db", harness.db):
            await engine.start("exhibition", {"theme": "Water"}, "p")
            said = await harness.until("p", lambda event: event.type == "agent_message")
    assert said.data["data"] == {"model": "test"}
