"""What commands print fits a terminal of 80 and of 140 columns, measured in graphemes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from broadcasters.blocking import Broadcaster
from hub.terminal.cells import cells
from hub.terminal.plan_row import PlanRow
from hub.terminal.rows_view import RowsTable
from tests.hub.commands.command_lines import CommandLines

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
TEXTS = {
    "latin": "Autumn campaign for the shop in the old town, with a title that no terminal has room for. " * 3,
    "wide": "三日間の京都旅行・お寺とお茶の旅" * 8,
    "combining": "e\u0301te\u0301 नमस्ते दुनिया \u1112\u1161\u11ab " * 12,
    "emoji": f"{FAMILY} \U0001f1e9\U0001f1ea \u2764\ufe0f 1\ufe0f\u20e3 \U0001f44d\U0001f3fd " * 12,
}
_codes = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def widest(written: str) -> int:
    """The columns of the widest line. Lines to copy, examples and those that mend a problem, are not wrapped."""
    lines = [_codes.sub("", line) for line in written.splitlines()]
    return max(cells(line) for line in lines if not line.startswith(("  plancast", "  PLANCAST", "    →")))


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize(
    "line",
    [
        "plancast plans",
        "plancast tail latin --no-follow",
        "plancast tail wide --no-follow",
        "plancast tail combining --no-follow",
        "plancast tail emoji --no-follow",
        "plancast doctor",
        "plancast",
        "plancast serve --help",
        "plancast publish --help",
    ],
)
def test_the_output_fits(
    line: str, columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = f"sqlite:///{tmp_path}/plans.db"
    with Broadcaster(log) as agent:
        for plan_id, text in TEXTS.items():
            agent.send_plan_update(plan_id, title=text[:200], owner=text[:20])
            agent.send_agent_message(plan_id, text[:12], text, "result")
            agent.send_step_update(plan_id, "s", "in_progress", title=text[:100], progress=40)
            agent.send_input_request(plan_id, "ask", "approval", text[:90], options=["yes", text[:20]])
    lines = CommandLines(monkeypatch, capsys, PLANCAST_LOG=log, COLUMNS=str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PLANCAST_PORT", "1")  # no hub
    done = lines.run(line)
    assert done.code == 0, done.err
    assert 40 < widest(done.out) <= columns


@pytest.mark.parametrize("columns", [80, 140])
def test_the_table_of_watch_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    rows = [PlanRow(f"{name}-{'x' * 90}", text, "in_progress", 40.0, text, 1) for name, text in TEXTS.items()]
    RowsTable(out).show([*rows, PlanRow("short", "", "waiting", None, f"? {TEXTS['wide']}", 1)])
    assert columns - 3 <= widest(out.getvalue()) <= columns
    assert "? 三日間の京都旅行" in out.getvalue()
