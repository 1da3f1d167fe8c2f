"""Every program in docs/AGENTS.md runs, and prints what its comments say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from broadcasters import blocking

DOCUMENT: Final = (Path(__file__).parents[2] / "docs/AGENTS.md").read_text()
PROGRAMS: Final = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
PRINTED: Final = [
    "False the clock\n",
    "done\n",
    "None 0.0038\nmy-model 1200 80 {'USD': Decimal('0.0038')}\nNone None 40 {'USD': Decimal('0.0004')}\n",
    "Rome\n",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_LOG", f"sqlite:///{tmp_path}/plans.db")


@pytest.mark.parametrize(("program", "printed"), [*zip(PROGRAMS, PRINTED, strict=True)])
def test_a_program_prints_what_is_expected(program: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(program, "<docs/AGENTS.md>", "exec", dont_inherit=True), {"__name__": "theirs"})
    blocking.close_default()
    assert capsys.readouterr().out == printed
