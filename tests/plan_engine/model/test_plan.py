"""Plans that can't be run are refused when they are made, with errors that say what to change."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from plan_engine import BadPlan, Context, Plan, Step


async def data_analyst(ctx: Context) -> None: ...


def in_a_thread(ctx: Any) -> None: ...


class Advisor:
    async def __call__(self, ctx: Context) -> None: ...


def step(step_id: str, *needs: str, **options: Any) -> Step:
    return Step(step_id, f"Do {step_id}", data_analyst, needs, **options)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([], "10,000"),
        ([step("a"), step("a")], "'a'"),
        ([step("a", "b")], "'b'"),
        ([step("a", "a")], "a → a"),
        ([step("z"), step("a", "z", "c"), step("b", "a"), step("c", "b")], "a → c → b → a"),
    ],
)
def test_a_plan_that_could_never_end_is_refused(steps: list[Step], says: str) -> None:
    with pytest.raises(BadPlan, match=says):
        Plan("A plan", steps)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"id": "a b"}, "id"),
        ({"id": "a:b"}, "id"),
        ({"id": "ä"}, "id"),
        ({"title": ""}, "title"),
        ({"agent": "analyst"}, "agent"),
        ({"retries": -1}, "retries"),
        ({"backoff": float("nan")}, "backoff"),
        ({"timeout": 0}, "timeout"),
        ({"weight": -1}, "weight"),
        ({"on_failure": "ignore"}, '"fail" or "skip"'),
        ({"needs": "look"}, r"needs=\['look'\]"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadPlan, match=says):
        Step(**{"id": "a", "title": "Do a", "agent": data_analyst, **options})


def test_a_plan_needs_a_title() -> None:
    with pytest.raises(BadPlan, match="title"):
        Plan("", [step("a")])


@pytest.mark.parametrize("labels", [["label"] * 17, [""], ["x" * 257]])
def test_labels_that_events_do_not_allow_are_refused(labels: list[str]) -> None:
    with pytest.raises(BadPlan, match="labels"):
        Plan("A plan", [step("a")], labels=labels)


def test_the_agents_name_is_made_of_the_functions_name() -> None:
    names = [Step("a", "A", agent).agent_name for agent in (data_analyst, Advisor(), partial(data_analyst))]
    assert names == ["Data analyst", "Advisor", "Data analyst"]
    assert step("a", agent_name="Ada").agent_name == "Ada"


def test_synchronous_agents_are_recognized() -> None:
    kinds = [Step("a", "A", agent).synchronous for agent in (data_analyst, Advisor(), partial(data_analyst))]
    assert kinds == [False, False, False]
    assert Step("a", "A", in_a_thread).synchronous


def test_pauses_double_up_to_a_minute() -> None:
    one = step("a", backoff=0.5)
    assert [one.pause_after(failures) for failures in (1, 2, 3, 20, 100)] == [0.5, 1.0, 2.0, 60.0, 60.0]


def test_the_result_is_what_no_other_step_needs() -> None:
    alone = Plan("Alone", [step("a"), step("b", "a")])
    assert alone.result_of({"a": 1, "b": {"x": 2}}) == {"x": 2}
    fork = Plan("Fork", [step("a"), step("b", "a"), step("c", "a")])
    assert fork.result_of({"a": 1, "b": 2, "c": 3}) == {"b": 2, "c": 3}
    assert fork.result_of({"a": 1, "b": 2}) == 2, "c was skipped"
    chosen = Plan("Chosen", [step("a"), step("b", "a")], result=lambda results: results["a"])
    assert chosen.result_of({"a": 1, "b": 2}) == 1


def test_a_long_chain_is_checked_quickly_and_not_deeply() -> None:
    steps = [step("0"), *(step(str(n), str(n - 1)) for n in range(1, 10_000))]
    assert len(Plan("Long", steps).steps) == 10_000
