"""`plancast demo`: two plans that outlive `kill -9`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hub.cli import main
from tests.servers import RedisServer
from tests.servers.demo import pages, running_demo
from tests.servers.process import free_port

PLANCAST = str(Path(sys.executable).with_name("plancast"))
BEGUN = "Now kill me"


@pytest.mark.slow
def test_killed_and_started_again_its_plans_go_on(tmp_path: Path) -> None:
    port = free_port()
    with running_demo(tmp_path, port) as demo:
        printed = demo.read_until(BEGUN)
        assert pages(printed)[0] == f"http://127.0.0.1:{port}/plan/demo-team-1"
        assert "go on where they were" not in printed
        assert f"kill -9 {demo.process.pid}" in printed
        demo.process.send_signal(signal.SIGKILL)
        demo.process.wait()
    with running_demo(tmp_path, port) as demo:
        again = demo.read_until(BEGUN)
        assert "The plans go on where they were." in again
        assert pages(again)[0] == pages(printed)[0]
        answer = [PLANCAST, "answer", "demo-team-1", "no", "--log", f"http://127.0.0.1:{port}"]
        while subprocess.run(answer, capture_output=True, timeout=60).returncode != 0:
            assert demo.process.poll() is None
        tail = [PLANCAST, "tail", "demo-team-1", "--log", f"http://127.0.0.1:{port}", "--exit-status"]
        assert subprocess.run(tail, capture_output=True, timeout=60).returncode == 0
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0
        assert "starts it again" in demo.rest()
    with running_demo(tmp_path, port) as demo:
        assert pages(demo.read_until(BEGUN))[0].endswith("/plan/demo-team-2")


@pytest.mark.slow
def test_it_waits_for_a_log_that_is_down(tmp_path: Path) -> None:
    redis = RedisServer()
    redis.port = free_port()
    try:
        with running_demo(tmp_path, free_port(), PLANCAST_LOG=redis.url) as demo:
            assert BEGUN not in demo.read_until("can't open yet")
            redis.start()
            demo.read_until(BEGUN)
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
