"""Answers against the part of JSON Schema that forms use."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.answers.schema import same_json, schema_error

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
def test_values_that_fit(schema: Any, answer: Any) -> None:
    assert schema_error(schema, answer) is None


@pytest.mark.parametrize(
    ("schema", "answer", "path", "fact"),
    [
        (FORM, "Ada", "answer", "object"),
        (FORM, {"name": "Ada"}, "answer.count", ""),
        (FORM, {"name": "", "count": 1}, "answer.name", "1"),
        (FORM, {"name": "Augusta", "count": 1}, "answer.name", "5"),
        (FORM, {"name": "Ada", "count": 0}, "answer.count", "1"),
        (FORM, {"name": "Ada", "count": 10}, "answer.count", "10"),
        (FORM, {"name": "Ada", "count": 1.5}, "answer.count", "integer"),
        (FORM, {"name": "Ada", "count": True}, "answer.count", "integer"),
        (FORM, {"name": "Ada", "count": 1, "more": 1}, "answer.more", ""),
        (FORM, {"name": "Ada", "count": 1, "days": []}, "answer.days", "1"),
        (FORM, {"name": "Ada", "count": 1, "days": ["mon"]}, "answer.days[0]", "'sat', 'sun'"),
        ({"type": ["string", "null"]}, 1, "answer", "null"),
        ({"enum": [1]}, True, "answer", "1"),
        ({"const": False}, 0, "answer", "False"),
        ({"exclusiveMinimum": 1}, 1, "answer", "1"),
        ({"maximum": 1}, 2, "answer", "1"),
        (False, 1, "answer", ""),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_the_path(schema: Any, answer: Any, path: str, fact: str) -> None:
    fault = schema_error(schema, answer)
    assert fault is not None
    assert fault.startswith(f"{path}: ")
    assert fact in fault


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
keywords = ["type", "enum", "const", "required", "properties", "additionalProperties", "items", "minimum", "maxLength"]


@given(schema=st.dictionaries(st.sampled_from(keywords), json_values), answer=json_values)
@example(schema={"required": [[]]}, answer={})
def test_no_schema_makes_it_raise(schema: Any, answer: Any) -> None:
    fault = schema_error(schema, answer)
    assert fault is None or fault.startswith("answer")


def equal_as_json(one: Any, other: Any) -> bool:
    """What `same_json` must return, written out."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal_as_json, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal_as_json(value, other[name]) for name, value in one.items())
    return bool(one == other)


few_values = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, "", "1", 2**53 + 1, float(2**53)]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)


@given(one=few_values, other=few_values)
@example(one={"a": 1, "b": 0}, other={"b": 0, "a": 1.0})
@example(one=[1], other=[True])
@example(one=[], other={})
def test_values_are_the_same_when_they_are_equal_as_json(one: Any, other: Any) -> None:
    assert same_json(one, other) is equal_as_json(one, other)
    assert (schema_error({"enum": ["another", one]}, other) is None) is equal_as_json(one, other)
    assert (schema_error({"const": one}, other) is None) is equal_as_json(one, other)


@given(json_values)
def test_every_value_is_the_same_as_itself(value: Any) -> None:
    assert same_json(value, value)
    assert schema_error({"enum": [value]}, value) is None


LONG_KEY = "k" * 60_000
NUMBER = {"type": "integer", "minimum": 0, "maximum": 9, "exclusiveMinimum": -1, "exclusiveMaximum": 10}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"enum": [["x"] * 1990 + [i] for i in range(251)]}, ["x"] * 1990),
        ({"items": {"enum": [[1]] * 500}}, [[1]] * 8_000),
        ({"items": {"required": ["a"] * 3000}}, [{"a": 1}] * 3000),
        ({"additionalProperties": {"type": ["null"] * 3000}}, dict.fromkeys(map(str, range(3000)))),
        ({"additionalProperties": {"additionalProperties": NUMBER}}, {str(i): {"a": 1, "b": 2} for i in range(5_000)}),
        ({"properties": {LONG_KEY: {"items": {"items": NUMBER}}}}, {LONG_KEY: [[1]] * 20_000}),
        ({"items": {"const": {"a": [1, 2, 3]}}}, [{"a": [1, 2, 3]}] * 5_000),
        ({"const": [0] * 60_000}, [0] * 60_000),
    ],
)
def test_an_answer_that_takes_too_long_to_validate_is_refused(schema: Any, answer: Any) -> None:
    """Validation blocks the hub's event loop. It takes less than 10 ms of a free processor."""
    before = time.process_time()
    fault = schema_error(schema, answer)
    assert time.process_time() - before < 0.1
    assert fault is not None
    assert "too large" in fault


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"items": {"enum": [f"value {i}" for i in range(251)]}}, ["value 250"] * 1_000),
        ({"enum": list(range(5_000))}, 4_999),
        ({"items": {"type": "string", "maxLength": 20}}, ["a short text"] * 3_000),
        ({"type": "array"}, [0] * 60_000),
        ({"type": "object", "required": ["a"]}, {"a": [[0] * 60_000]}),
    ],
)
def test_answers_of_many_values_are_validated(schema: Any, answer: Any) -> None:
    assert schema_error(schema, answer) is None


def test_an_error_message_is_short() -> None:
    for schema, answer in (
        ({"enum": ["x" * 1000] * 20}, 1),
        ({"const": "x" * 1000}, 1),
        ({"type": ["x" * 1000, "null"]}, 1),
        ({"required": ["x" * 1000]}, {}),
        ({"additionalProperties": False}, {"x" * 1000: 1}),
    ):
        fault = schema_error(schema, answer)
        assert fault is None or len(fault) < 300


def test_large_answers_are_equal_when_they_are_encoded_the_same() -> None:
    many = [0] * 60_000
    assert same_json(many, list(many))
    assert not same_json(many, [*many[1:], 0.0])
