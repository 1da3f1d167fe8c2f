"""The vectors run against the session with its channels, the ASGI transport and the native transport."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.hub.runners import RUNNERS
from tests.hub.vectors import CASES, Case, Runner, match, run


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_vector(case: Case, runner: Runner, tmp_path: Path) -> None:
    await run(case, runner, tmp_path)


def test_names_are_unique_and_every_case_cites_a_clause() -> None:
    assert [name for name, count in Counter(map(str, CASES)).items() if count > 1] == []
    assert [str(case) for case in CASES if not case.clauses] == []
    assert len(CASES) > 50


@pytest.mark.parametrize(
    ("got", "pattern"),
    [
        (1, 1),
        (1.0, 1),
        ("x", "$any"),
        ("x", "$text"),
        ("2026-01-31T12:00:00.000Z", "$moment"),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ({"a": 1, "b": 2}, {"a": 1, "...": True}),
        ({"a": 7, "b": 7}, {"a": "$n", "b": "$n"}),
        ({"a": 7, "b": 8}, {"a": "$n", "b": "$not:n"}),
    ],
)
def test_values_that_fit(got: Any, pattern: Any) -> None:
    assert match(got, pattern, {}) is None


@pytest.mark.parametrize(
    ("got", "pattern", "problem"),
    [
        (1, 2, "frame is 1, not 2"),
        (1, True, "frame is 1, not True"),
        (True, 1, "frame is True, not 1"),
        (None, {}, "frame is None, not {}"),
        ("", "$text", "frame is not a non-empty string: ''"),
        ("2026-01-31 12:00", "$moment", "frame is not a timestamp: '2026-01-31 12:00'"),
        ({"a": 1}, {"a": 1, "b": 2}, "frame lacks b"),
        ({"a": 1, "b": 2}, {"a": 1}, "frame has b too"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "frame.a.b is 1, not 2"),
        ([1, 2], [1], "frame has 2 elements, not 1"),
        ([1, 2], [1, 3], "frame[1] is 2, not 3"),
        ({"a": 7, "b": 8}, {"a": "$n", "b": "$n"}, "frame.b is 8, and not 7 as before"),
        ({"a": 7, "b": 7}, {"a": "$n", "b": "$not:n"}, "frame.b is 7, as before"),
    ],
)
def test_values_that_do_not_fit(got: Any, pattern: Any, problem: str) -> None:
    assert match(got, pattern, {}) == problem


async def test_a_case_with_another_result_fails(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"connect": "a"},
        {"send": {"type": "ping"}},
        {"expect": {"type": "pong", "nonce": "n"}},
    ]
    case = Case("none", "a lie", ["C-PNG-1"], steps)
    with pytest.raises(AssertionError, match=r"step 3, .*: frame lacks nonce; received"):
        await run(case, RUNNERS["no wire"], tmp_path)


async def test_an_extra_frame_is_noticed(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [{"connect": "a"}, {"send": {"type": "ping"}}, {"quiet": True}]
    with pytest.raises(AssertionError, match="step 3"):
        await run(Case("none", "a lie", ["C-PNG-1"], steps), RUNNERS["no wire"], tmp_path)
