"""Every program in docs/ENGINE.md runs, and so does the example of a plan."""

from __future__ import annotations

import re
import runpy
import time
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.testclient import TestClient

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = (ROOT / "docs/ENGINE.md").read_text()
PROGRAMS: Final = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
PRINTED: Final = [
    "PlanOutcome(status='completed', result='greeted', message=None)\n",
    "PlanOutcome(status='completed', result=12, message=None)\n",
    "not sent\n",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_LOG", f"sqlite:///{tmp_path}/plans.db")
    monkeypatch.setenv("PLANCAST_ENGINE_DB", f"sqlite:///{tmp_path}/engine.db")


def executed(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "theirs"}
    exec(compile(program, "<docs/ENGINE.md>", "exec", dont_inherit=True), names)
    return names


def test_every_program_is_tested() -> None:
    assert len(PROGRAMS) == len(PRINTED) + 1


@pytest.mark.parametrize(("program", "printed"), [*zip(PROGRAMS, PRINTED, strict=False)])
def test_a_program_prints_what_is_expected(program: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    executed(program)
    assert capsys.readouterr().out == printed


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/plan_in_fifteen_lines.py"), run_name="__main__")
    assert capsys.readouterr().out == PRINTED[0]


def test_an_embedded_hub_starts_plans() -> None:
    app = executed(PROGRAMS[-1])["app"]
    start = {"template": "greeting", "input": {"name": "Ada"}, "plan_id": "p"}
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post("/api/plans", json=start).status_code == 202
        until = time.monotonic() + 30
        while "Hello, Ada!" not in client.get("/api/plans/p/events").text:
            assert time.monotonic() < until
