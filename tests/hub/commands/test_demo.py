"""`plancast demo`: two plans that outlive `kill -9`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub.cli import main
from tests.servers import RedisServer
from tests.servers.process import free_port

PLANCAST = str(Path(sys.executable).with_name("plancast"))


@contextmanager
def running_demo(home: Path, port: int, **settings: str) -> Iterator[subprocess.Popen[str]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
    env = {**clean, "HOME": str(home), "PLANCAST_PACE": "0", "PLANCAST_PORT": str(port), **settings}
    command = [PLANCAST, "demo", "--no-browser"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def read_until(running: subprocess.Popen[str], text: str) -> str:
    """What the demo prints up to a line with this text."""
    assert running.stdout
    printed = ""
    while text not in printed:
        line = running.stdout.readline()
        assert line, printed
        printed += line
    return printed


@contextmanager
def demo(home: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo as a process, and what it prints until its plans have begun."""
    with running_demo(home, port) as running:
        yield running, read_until(running, "Now kill me")


def pages(printed: str) -> list[str]:
    return re.findall(r"^  (?:waits for you|at work) +(\S+)$", printed, re.MULTILINE)


@pytest.mark.slow
def test_killed_and_started_again_its_plans_go_on(tmp_path: Path) -> None:
    port = free_port()
    with demo(tmp_path, port) as (running, printed):
        assert pages(printed)[0] == f"http://127.0.0.1:{port}/plan/demo-team-1"
        assert "go on where they were" not in printed
        assert f"kill -9 {running.pid}" in printed
        running.send_signal(signal.SIGKILL)
        running.wait()
    with demo(tmp_path, port) as (running, again):
        assert "The plans go on where they were." in again
        assert pages(again)[0] == pages(printed)[0]
        answer = [PLANCAST, "answer", "demo-team-1", "no", "--log", f"http://127.0.0.1:{port}"]
        while subprocess.run(answer, capture_output=True, timeout=60).returncode != 0:
            assert running.poll() is None
        tail = [PLANCAST, "tail", "demo-team-1", "--log", f"http://127.0.0.1:{port}", "--exit-status"]
        assert subprocess.run(tail, capture_output=True, timeout=60).returncode == 0
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
        assert running.stdout
        assert "starts it again" in running.stdout.read()
    with demo(tmp_path, port) as (_, third):
        assert pages(third)[0].endswith("/plan/demo-team-2")


@pytest.mark.slow
def test_it_waits_for_a_log_that_is_down(tmp_path: Path) -> None:
    redis = RedisServer()
    redis.port = free_port()
    try:
        with running_demo(tmp_path, free_port(), PLANCAST_LOG=redis.url) as running:
            assert "Now kill me" not in read_until(running, "can't open yet")
            redis.start()
            read_until(running, "Now kill me")
    finally:
        redis.close()


def test_a_port_that_is_taken_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PLANCAST_PORT", str(port))
        assert main(["demo", "--no-browser"]) == 1
    err = capsys.readouterr().err
    assert f"can't listen on 127.0.0.1:{port}" in err
    assert "PLANCAST_PORT" in err
    assert err.count("\n") == 1


def test_settings_that_require_tokens_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's page needs none, and must not open a log to a machine whose operator requires them."""
    monkeypatch.setenv("PLANCAST_AUTH_SECRET", "a secret that is long enough for any algorithm")
    assert main(["demo", "--no-browser"]) == 1
    assert "PLANCAST_AUTH_SECRET is set" in capsys.readouterr().err
