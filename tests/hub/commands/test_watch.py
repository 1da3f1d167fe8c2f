"""`plancast watch`, `export` and `open`."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broadcasters.blocking import Broadcaster
from broadcasters.changes import advance
from broadcasters.events import PlanStatus, parse
from broadcasters.snapshot import empty
from hub.terminal.plan_row import PlanRow
from tests.hub.commands.command_lines import CommandLines
from tests.servers.hub import HubServer

PLANCAST = str(Path(sys.executable).with_name("plancast"))


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture
def lines(log: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLines:
    return CommandLines(monkeypatch, capsys, PLANCAST_LOG=log)


@pytest.fixture
def agent(log: str) -> Iterator[Broadcaster]:
    with Broadcaster(log) as broadcaster:
        yield broadcaster


def a_plan(agent: Broadcaster, plan_id: str, status: PlanStatus = "completed") -> None:
    agent.send_plan_update(plan_id, title="Autumn *campaign*", owner="maria", labels=["shop"])
    agent.send_step_update(plan_id, "figures", "in_progress", title="Collect the figures", agent_name="Ana")
    agent.send_tool_call(plan_id, "Ana", "c1", "sales", arguments={"year": 2026}, step_id="figures")
    agent.send_tool_call(plan_id, "Ana", "c1", "sales", "completed", result="12 ``` months")
    agent.send_step_update(plan_id, "figures", "completed")
    agent.send_agent_message(plan_id, "Ana", "**Sales** are up.", "result")
    agent.send_input_request(plan_id, "ask", "approval", "Send it?", options=["yes", "no"])
    agent.send_input_response(plan_id, "ask", "yes", by="maria")
    agent.send_artifact(plan_id, "a1", "offer.json", "application/json", data={"discount": 10})
    agent.send_plan_update(plan_id, status=status, content="It goes out.")


# --- watch


def test_a_pipe_gets_a_line_for_each_change_until_all_have_ended(lines: CommandLines, agent: Broadcaster) -> None:
    a_plan(agent, "one")
    a_plan(agent, "two", "error")
    out = lines.ok("plancast watch one two").out
    assert re.search(r"^[0-9:]{8}  one  completed  100 %  in .* s: It goes out.$", out, re.MULTILINE)
    assert re.search(r"^[0-9:]{8}  two  error  in", out, re.MULTILINE)
    assert lines.run("plancast watch one two --exit-status").code == 1
    assert lines.run("plancast watch one --exit-status").code == 0


def test_changes_as_json(lines: CommandLines, agent: Broadcaster) -> None:
    a_plan(agent, "one")
    [row] = lines.ok("plancast watch one --json").objects
    assert (row["plan_id"], row["status"], row["progress"], row["offset"]) == ("one", "completed", 100.0, 10)


def test_a_plan_that_changes_is_followed_by_a_pipe(log: str, agent: Broadcaster) -> None:
    command = [PLANCAST, "watch", "--log", log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        try:
            agent.send_step_update("one", "s", "in_progress", title="Collect", progress=40)
            assert watching.stdout.readline()[10:] == "one  in progress  40 %  Collect (40 %)\n"
            agent.send_input_request("one", "ask", "approval", "Send it?", options=["yes", "no"])
            assert watching.stdout.readline()[10:] == "one  in progress  40 %  ? Send it? [yes | no]\n"
            agent.send_plan_update("two", title="Second")
            assert watching.stdout.readline()[10:] == "two  in progress\n"
        finally:
            watching.terminate()


def test_a_pipe_without_plans_is_not_silent(log: str) -> None:
    command = [PLANCAST, "watch", "--json", "--log", log]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr
        try:
            assert watching.stderr.readline() == "plancast: no plan is in progress; waiting for one\n"
        finally:
            watching.terminate()


def screen(*command: str, columns: int, until: str, log: str) -> str:
    """What a command writes to a terminal of this width until it has written `until`."""
    reader, writer = pty.openpty()
    env = {**os.environ, "PLANCAST_LOG": log, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "30", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdin=writer, stdout=writer, stderr=writer, env=env, close_fds=True) as running:
        os.close(writer)
        written = b""
        try:
            while until.encode() not in written:
                written += os.read(reader, 65536)
        finally:
            running.terminate()
            os.close(reader)
    return written.decode(errors="ignore")  # a read may have ended within a character


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_gets_a_table_that_fits(columns: int, log: str, agent: Broadcaster) -> None:
    agent.send_plan_update("one", title="A campaign with quite a long title for everybody in the old town")
    agent.send_input_request("one", "ask", "approval", "Send it?" + " Really?" * 20, options=["yes", "no"])
    written = screen(PLANCAST, "watch", "one", columns=columns, until="plancast answer one VALUE", log=log)
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip("\r") for line in written.split("\n")]
    assert max(map(len, shown)) <= columns
    assert any(line.startswith("PLAN  STATUS") for line in shown)
    assert any(line.startswith("one   in progress") for line in shown)


def test_what_happens_now_in_a_plan(lines: CommandLines, agent: Broadcaster) -> None:
    a_plan(agent, "one")
    rows: list[str] = []
    snapshot = empty("one")
    for event in lines.ok("plancast tail one --json").objects:
        parsed = parse(json.dumps({"type": event["type"], "data": event["data"]}).encode())
        snapshot, _ = advance(snapshot, [(event["offset"], event["offset"], parsed)])
        rows.append(PlanRow.of(snapshot).now)
    assert rows[1] == "Collect the figures"
    assert rows[5] == "Ana: **Sales** are up."
    assert rows[6] == "? Send it? [yes | no]"
    assert rows[-1].endswith("s: It goes out.")


# --- export


def test_a_plan_is_exported_as_json_lines_that_can_be_published(lines: CommandLines, agent: Broadcaster) -> None:
    a_plan(agent, "one")
    exported = lines.ok("plancast export one")
    assert exported.out == lines.ok("plancast tail one --json").out
    assert len(exported.objects) == 10


def test_a_plan_is_exported_as_markdown(lines: CommandLines, agent: Broadcaster, tmp_path: Path) -> None:
    a_plan(agent, "one")
    assert lines.ok(f"plancast export one --format markdown -o {tmp_path}/one.md").out == ""
    text = (tmp_path / "one.md").read_text()
    assert text.startswith("# Autumn \\*campaign\\*\n\n`one` · completed · of maria · #shop · ")
    assert "\nIt goes out.\n" in text
    assert re.search(r"^- \[x\] Collect the figures \(Ana, [0-9.]+ s\)$", text, re.MULTILINE)
    assert "\n**Sales** are up.\n" in text
    assert "### Ana used sales · " in text
    assert "\n````\n12 ``` months\n````\n" in text  # a fence that the content doesn't close
    assert "Send it?\n\nmaria answered, " in text
    assert '```json\n{\n  "discount": 10\n}\n```' in text


def test_a_plan_that_does_not_exist_is_not_exported(lines: CommandLines, tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("kept")
    for option in ("", "--format markdown"):
        problem = lines.fails(f"plancast export one {option} -o {tmp_path}/one.md")
        assert problem.startswith("plancast: there is no plan 'one'")
    assert (tmp_path / "one.md").read_text() == "kept"


# --- open


def test_the_address_is_printed_where_there_is_no_browser(
    lines: CommandLines, development_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    url = development_hub.url
    assert lines.ok(f"plancast open plan-1 --hub {url}").out == f"{url}/plan/plan-1\n"
    monkeypatch.setenv("PLANCAST_LOG", url)
    assert lines.ok("plancast open").out == f"{url}/\n"
    assert lines.ok("plancast open plan-1 --json").objects == [{"plan_id": "plan-1", "url": f"{url}/plan/plan-1"}]


def test_the_page_is_opened_in_the_browser(
    lines: CommandLines, development_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def start(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setenv("BROWSER", "firefox")
    monkeypatch.setattr("webbrowser.open", start)
    assert lines.ok(f"plancast open plan-1 --hub {development_hub.url}").out == ""
    assert opened == [f"{development_hub.url}/plan/plan-1"]


def test_without_a_hub_there_the_command_to_start_one_is_named(lines: CommandLines) -> None:
    assert "`plancast serve`" in lines.fails("plancast open --hub http://127.0.0.1:9")
