"""Nothing waits in silence: hints while a command waits, and what `watch` shows while the log is unreachable."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from broadcasters.blocking import Broadcaster
from broadcasters.log.sqlite import SqliteLog
from hub.terminal.plan_row import PlanRow
from hub.terminal.rows_view import RowLines, RowObjects, RowsTable
from hub.terminal.waiting import waiting_for
from tests.hub.commands.command_lines import CommandLines
from tests.servers import RedisServer

PLANCAST = str(Path(sys.executable).with_name("plancast"))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.flushed = threading.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        super().flush()
        self.flushed.set()


def test_on_a_terminal_a_long_wait_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hub.terminal.waiting.PATIENCE_S", 0.01)
    with waiting_for("connecting to redis://nowhere"):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with waiting_for("connecting to redis://nowhere"):
        assert terminal.flushed.wait(60)
    assert terminal.getvalue() == "plancast: connecting to redis://nowhere …\n"


# --- every command


class PromisedHint:
    """In place of the timer of a hint: counts those that would be printed if the command waited now."""

    pending = 0

    def __init__(self, *_: object) -> None:
        self.daemon = False

    def start(self) -> None:
        PromisedHint.pending += 1

    def cancel(self) -> None:
        PromisedHint.pending -= 1


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of a log that were made while no hint would have been printed."""
    calls: list[str] = []

    def noting(name: str, call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        @functools.wraps(call)
        async def noted(*args: Any, **options: Any) -> Any:
            if not PromisedHint.pending:
                calls.append(name)
            return await call(*args, **options)

        return noted

    for name in ("open", "append", "heads", "read", "checkpoint", "plans", "delete"):
        monkeypatch.setattr(SqliteLog, name, noting(name, getattr(SqliteLog, name)))
    monkeypatch.setattr("hub.terminal.waiting.threading.Timer", PromisedHint)
    return calls


@pytest.mark.parametrize(
    "line",
    [
        "plancast plans",
        "plancast publish p Hello.",
        "plancast publish p -",
        "plancast tail p --no-follow",
        "plancast tail p",
        "plancast export p",
        "plancast export p --format markdown",
        "plancast answer p yes",
        "plancast rm p --yes",
    ],
)
def test_no_call_of_the_log_is_waited_for_in_silence(
    line: str,
    tmp_path: Path,
    silent: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = f"sqlite:///{tmp_path}/plans.db"
    with Broadcaster(log) as agent:
        agent.send_input_request("p", "ask", "approval", "Send it?")
        agent.send_plan_update("p", status="in_progress" if "answer" in line else "completed")
    silent.clear()
    lines = CommandLines(monkeypatch, capsys, PLANCAST_LOG=log)
    stdin = io.TextIOWrapper(io.BytesIO(b'{"type":"plan_update","data":{"title":"T"}}\n'))
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert lines.run(line).code == 0
    assert silent == []
    assert PromisedHint.pending == 0


# --- watch


def a_row(plan_id: str = "p") -> PlanRow:
    return PlanRow(plan_id, "Autumn", "in_progress", 40.0, "Collect", 3)


def test_a_table_says_that_it_may_be_old() -> None:
    out = Terminal()
    table = RowsTable(out)
    table.show([a_row()], "the log can't be reached; retrying")
    assert "in progress" in out.getvalue()
    assert "the log can't be reached; retrying" in out.getvalue()
    written = len(out.getvalue())
    table.show([a_row()])
    assert "can't be reached" not in out.getvalue()[written:]


def test_a_table_without_rows_does_not_claim_that_there_are_no_plans() -> None:
    out = Terminal()
    table = RowsTable(out)
    table.show([], "waiting for the log")
    assert "no plan is in progress" not in out.getvalue()
    table.show([])
    assert "no plan is in progress; waiting for one" in out.getvalue()


@pytest.mark.parametrize("view", [RowLines, RowObjects])
def test_a_pipe_gets_a_note_of_each_change(view: type[RowLines | RowObjects]) -> None:
    out, notes = io.StringIO(), io.StringIO()
    shown = view(out, notes)
    for trouble in ("", "waiting for the log", "waiting for the log", ""):
        shown.show([a_row()], trouble)
    assert out.getvalue().count("\n") == 1
    assert notes.getvalue() == "plancast: waiting for the log\nplancast: the log can be reached again\n"


def test_watch_outlasts_an_outage_and_reports_it() -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as redis:
        with Broadcaster(redis.url) as agent:
            agent.send_plan_update("p", title="Autumn")
        command, env = [PLANCAST, "watch"], {**os.environ, "PLANCAST_LOG": redis.url}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as watching:
            assert watching.stdout
            assert watching.stderr
            try:
                assert watching.stdout.readline()[10:] == "p  in progress\n"
                redis.kill()
                assert watching.stderr.readline() == "plancast: the log can't be reached; retrying\n"
                redis.start()
                assert watching.stderr.readline() == "plancast: the log can be reached again\n"
                with Broadcaster(redis.url) as agent:
                    agent.send_plan_update("p", status="completed", content="Done.")
                assert "completed" in watching.stdout.readline()
            finally:
                watching.terminate()
