"""Any value of a framework fits into an event, or is cut and marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import ToolCall, build
from plan_engine.adapters.conversion import MAX_DATA, plain, plain_object, title_of

Circle: list[Any] = []
Circle.append(Circle)
Deep: Any = None
for _ in range(100):
    Deep = [Deep]


@dataclass
class Order:
    number: int


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


def event_of(value: Any) -> bytes:
    said = {"plan_id": "p", "agent_name": "a", "call_id": "c", "tool_name": "t", "phase": "completed", "result": value}
    return build(ToolCall, said).payload("id")


@pytest.mark.parametrize(
    "value", [Circle, Deep, 2**70, float("nan"), "\ud800", {"\ud800": 1}, b"\xff", Rude(), object(), {1: {2}}]
)
def test_anything_fits_into_an_event(value: Any) -> None:
    assert event_of(plain(value))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), st.lists))
def test_any_json_fits_into_an_event(value: Any) -> None:
    assert event_of(plain(value))


def test_json_is_unchanged() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": []}}
    assert plain(value) == value
    assert plain(Order(7)) == {"number": 7}


def test_a_value_that_is_too_large_is_cut_and_marked() -> None:
    shown = plain(["x" * MAX_DATA])
    assert isinstance(shown, str)
    assert shown.endswith("characters in all)")
    assert len(shown) < 5_000
    assert plain_object("y" * MAX_DATA * 2) == {"value": plain("y" * MAX_DATA * 2)}


def test_names_in_code_become_titles() -> None:
    assert [title_of(name) for name in ("look_up_orders", "Agent", "step-2", "__")] == [
        "Look up orders",
        "Agent",
        "Step 2",
        "__",
    ]
