"""The programs in docs/ADAPTERS.md run as they stand there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plan_engine.adapters.test_progress import seen

PAGE = (Path(__file__).parents[3] / "docs" / "ADAPTERS.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
Left = dict[str, Any]
PLANS: dict[str, Callable[[Left], object]] = {
    "may-offer-2": lambda left: left["values"] == {"month": "May", "orders": 3},
    "question-1": lambda left: left["result"].output,
    "advice-1": lambda left: left["result"].final_output == "Ten percent.",
    "greeting-2": lambda left: left["outputs"] == ["Hello, Ada!"],
    "insight-1": lambda left: left["report"].result == "umbrellas",
}


def run(program: str) -> Left:
    """What it leaves behind."""
    left: Left = {"__name__": "program"}
    exec(compile(program, "docs/ADAPTERS.md", "exec", dont_inherit=True), left)
    return left


@pytest.mark.parametrize("plan_id", PLANS)
def test_each_program_runs_and_its_plan_completes(plan_id: str, monkeypatch: pytest.MonkeyPatch, log_url: str) -> None:
    monkeypatch.setenv("PLANCAST_LOG", log_url)
    (program,) = [program for program in PROGRAMS if f'"{plan_id}"' in program]
    assert PLANS[plan_id](run(program))
    assert seen(log_url, plan_id).status == "completed"


def test_the_template_on_the_page_is_one() -> None:
    (program,) = [program for program in PROGRAMS if "@template" in program]
    assert run(program)["question"].name == "question"


def test_no_program_is_left_out() -> None:
    assert len(PROGRAMS) == len(PLANS) + 1
