"""`make run` when it can't start at once: its port is taken, or its log is down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.servers import RedisServer, eventually
from tests.servers.hub import HubServer
from tests.servers.process import free_port

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "examples/live_page.py", "--speed", "0", "--once"]


def environment(directory: Path, port: int, log: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
    return {**clean, "HOME": str(directory), "PLANCAST_PORT": str(port), "PLANCAST_LOG": log}


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'plans.db'}"


@contextmanager
def live_page(directory: Path, port: int, log: str) -> Generator[tuple[subprocess.Popen[bytes], Path]]:
    """Runs the command in its own process group until the end of the block; yields it and its output file."""
    output = directory / "output"
    with output.open("wb") as file:
        running = subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env=environment(directory, port, log),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield running, output
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path, log: str) -> None:
    with HubServer(log) as other, live_page(tmp_path, other.port, log) as (running, output):
        assert running.wait(60) == 1
        text = output.read_text()
        assert f"127.0.0.1:{other.port}: Address already in use" in text
        assert "PLANCAST_PORT" in text
        assert text.count("\n") == 1
        with pytest.raises(ProcessLookupError):  # no process of it is left
            os.killpg(running.pid, 0)
        assert other.ready


def test_it_waits_for_a_log_that_is_down(tmp_path: Path) -> None:
    redis = RedisServer()
    redis.port = free_port()
    try:
        with live_page(tmp_path, free_port(), redis.url) as (running, output):
            eventually("it reports what it waits for", lambda: "can't open yet" in output.read_text())
            assert "Watch" not in output.read_text()
            redis.start()
            assert running.wait(60) == 0
            assert "The plan has ended" in output.read_text()
    finally:
        redis.close()
