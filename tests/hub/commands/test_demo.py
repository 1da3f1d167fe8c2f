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
from hub.commands.demo import _free_port  # pyright: ignore[reportPrivateUsage]
from tests.servers.process import free_port

PLANCAST = str(Path(sys.executable).with_name("plancast"))


@contextmanager
def demo(directory: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo as a process, and what it prints until its plans have begun."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
    command = [PLANCAST, "demo", "--directory", str(directory), "--port", str(port), "--no-browser"]
    with subprocess.Popen(
        command, env={**clean, "HOME": str(directory), "PLANCAST_PACE": "0"}, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        printed = ""
        try:
            while "Now kill me" not in printed:
                line = running.stdout.readline()
                assert line, printed
                printed += line
            yield running, printed
        finally:
            running.kill()


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
        assert "`plancast demo` starts it again" in running.stdout.read()
    with demo(tmp_path, port) as (_, third):
        assert pages(third)[0].endswith("/plan/demo-team-2")


def test_it_takes_the_port_of_the_last_time_if_that_is_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "port").write_text(str(port))
        assert _free_port(tmp_path) in (8000, 0)
    assert _free_port(tmp_path) == port


def test_a_port_that_is_taken_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["demo", "--directory", str(tmp_path), "--port", str(port), "--no-browser"]) == 1
    err = capsys.readouterr().err
    assert f"can't listen on 127.0.0.1:{port}" in err
    assert err.count("\n") == 1
