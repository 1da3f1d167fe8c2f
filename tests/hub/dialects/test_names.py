"""Other systems' names inside plan ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import InvalidPlanId
from broadcasters.events import check_plan_id
from hub.dialects.names import plan_id_of


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("user123", "user123"),
        ("ada@example.org", "ada@example.org"),
        ("a:b", "a~3Ab"),
        ("a~3Ab", "a~7E3Ab"),
        ("*", "~2A"),
        ("{x}", "~7Bx~7D"),
        ("é", "~C3~A9"),
        ("\ud800", "~ED~A0~80"),
    ],
)
def test_a_name_is_written_so(name: str, written: str) -> None:
    assert plan_id_of("query", name) == f"query:{written}"


@pytest.mark.parametrize("names", [("",), ("a", ""), ("x" * 200,), ("é" * 40,)])
def test_what_makes_no_plan_id_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidPlanId):
        plan_id_of("query", *names)


NAMES = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3)


@given(NAMES, NAMES)
def test_no_two_have_the_same(one: list[str], other: list[str]) -> None:
    assert (plan_id_of("k", *one) == plan_id_of("k", *other)) is (one == other)
    assert check_plan_id(plan_id_of("k", *one))
