"""Answers against the part of JSON Schema that forms are made of."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.answer_schema import misfit, same

FORM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
        "days": {"type": "array", "items": {"enum": ["sat", "sun"]}, "minItems": 1, "maxItems": 2},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (FORM, {"name": "Ada", "count": 1}),
        (FORM, {"name": "Ada", "count": 9.0, "days": ["sat", "sun"]}),
        ({"type": ["string", "null"]}, None),
        ({"type": "boolean"}, True),
        ({"type": "number"}, 1),
        ({"enum": [1, "a", None, [1], {"a": 1}]}, {"a": 1.0}),
        ({"const": False}, False),
        ({"minimum": 5}, "a string has no minimum"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}),
        ({"pattern": "^a$"}, "what isn't known isn't judged"),
        ({"type": "decimal"}, "nor is a type that there isn't"),
        ({"required": "name", "properties": 7, "enum": 7, "minimum": "x", "items": 7}, {"a": [1]}),
        (True, "anything"),
        ("nonsense", "anything"),
        ({}, {}),
    ],
)
def test_what_fits(schema: Any, answer: Any) -> None:
    assert misfit(schema, answer) is None


@pytest.mark.parametrize(
    ("schema", "answer", "said"),
    [
        (FORM, "Ada", "answer: object is wanted"),
        (FORM, {"name": "Ada"}, "answer.count: is missing"),
        (FORM, {"name": "", "count": 1}, "answer.name: at least 1 characters wanted"),
        (FORM, {"name": "Augusta", "count": 1}, "answer.name: at most 5 characters wanted"),
        (FORM, {"name": "Ada", "count": 0}, "answer.count: at least 1 wanted"),
        (FORM, {"name": "Ada", "count": 10}, "answer.count: less than 10 wanted"),
        (FORM, {"name": "Ada", "count": 1.5}, "answer.count: integer is wanted"),
        (FORM, {"name": "Ada", "count": True}, "answer.count: integer is wanted"),
        (FORM, {"name": "Ada", "count": 1, "more": 1}, "answer.more: nothing may stand here"),
        (FORM, {"name": "Ada", "count": 1, "days": []}, "answer.days: at least 1 of them wanted"),
        (FORM, {"name": "Ada", "count": 1, "days": ["mon"]}, "answer.days[0]: one of the values"),
        ({"type": ["string", "null"]}, 1, "answer: string or null is wanted"),
        ({"enum": [1]}, True, "answer: one of the values"),
        ({"const": False}, 0, "answer: False is wanted"),
        ({"exclusiveMinimum": 1}, 1, "answer: more than 1 wanted"),
        ({"maximum": 1}, 2, "answer: at most 1 wanted"),
        (False, 1, "answer: nothing may stand here"),
    ],
)
def test_what_does_not_fit_is_said_where(schema: Any, answer: Any, said: str) -> None:
    fault = misfit(schema, answer)
    assert fault is not None
    assert fault.startswith(said)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
keywords = ["type", "enum", "const", "required", "properties", "additionalProperties", "items", "minimum", "maxLength"]


@given(schema=st.dictionaries(st.sampled_from(keywords), json_values), answer=json_values)
@example(schema={"required": [[]]}, answer={})
def test_no_schema_makes_it_raise(schema: Any, answer: Any) -> None:
    fault = misfit(schema, answer)
    assert fault is None or fault.startswith("answer")


@given(json_values)
def test_every_value_is_the_same_as_itself(value: Any) -> None:
    assert same(value, value)
    assert misfit({"enum": [value]}, value) is None


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"items": {"enum": list(range(3000))}}, [2999] * 3000),
        ({"items": {"required": ["a"] * 3000}}, [{"a": 1}] * 3000),
        ({"additionalProperties": {"type": ["null"] * 3000}}, dict.fromkeys(map(str, range(3000)))),
    ],
)
def test_no_answer_takes_long_to_judge(schema: Any, answer: Any) -> None:
    """Everybody on the hub waits while it is done; an answer that would take long is refused."""
    before = time.process_time()
    fault = misfit(schema, answer)
    assert time.process_time() - before < 0.5
    assert fault is not None
    assert "too much" in fault
