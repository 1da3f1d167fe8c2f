"""Validates answers against the JSON Schema of their request.

Supports the part of JSON Schema that forms use: `type`, `enum`, `const`, `properties`, `required`,
`additionalProperties`, `items` and the bounds of numbers, strings and lists. Other keywords are for the form and for the
program that made the request; they are ignored here.

Validation blocks the event loop, so its work is counted in steps, and an answer that needs more than `STEPS` is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final, cast

from pydantic_core import to_json

__all__ = ["same_json", "schema_error"]

STEPS: Final = 8_000
"""Values of the answer plus values of the schema that they are compared with: less than 10 ms of work. A form takes a
few hundred."""


def schema_error(schema: object, answer: Any) -> str | None:
    """Why the answer doesn't fit the schema, for the person who gave it; None if it fits."""
    try:
        fault = _Comparison().fault(schema, answer)
    except _TooManySteps:
        return "answer: too large to be compared with its schema"
    return None if fault is None else f"answer{fault}"


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: 1 is 1.0, but true is not 1. Values that are too large to compare are equal only
    if they are encoded the same."""
    if to_json(one) == to_json(other):
        return True
    comparison = _Comparison()
    try:
        return comparison.key(one) == comparison.key(other)
    except _TooManySteps:
        return False


class _TooManySteps(Exception):
    """The comparison needs more than `STEPS` steps."""


class _Comparison:
    """Compares one answer with one schema. A fault is the rest of a path, and what is wrong there: `.days[0]: …`."""

    def __init__(self) -> None:
        self._left = STEPS
        self._keys: dict[Hashable, object] = {}
        self._enums: dict[int, frozenset[Hashable]] = {}

    def fault(self, schema: object, answer: Any) -> str | None:
        self._spend(1)
        if schema is False:
            return ": no value is allowed here"
        if not isinstance(schema, dict):
            return None
        rules = cast("dict[str, Any]", schema)
        if (fault := self._own_fault(rules, answer)) is not None:
            return fault
        if isinstance(answer, dict):
            return self._object_fault(rules, cast("dict[str, Any]", answer))
        if isinstance(answer, list):
            return self._list_fault(rules, cast("list[object]", answer))
        return None

    def key(self, value: Any) -> Hashable:
        """A key that is the same for values that are equal as JSON, and for no others."""
        self._spend(1)
        if isinstance(value, bool):
            return _TRUE if value else _FALSE
        if isinstance(value, list):
            return self._of_parts(tuple(map(self.key, cast("list[object]", value))))
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return self._of_parts(frozenset((name, self.key(item)) for name, item in fields.items()))
        return cast("Hashable", value)

    def _of_parts(self, parts: Hashable) -> Hashable:
        return self._keys.setdefault(parts, object())

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _TooManySteps

    def _own_fault(self, rules: Mapping[str, Any], answer: Any) -> str | None:
        """The fault of the value itself, not of its items."""
        kinds = rules.get("type")
        if kinds is not None and not any(_is(kind, answer) for kind in self._each(kinds)):
            return f": must be of type {' or '.join(map(str, self._each(kinds))):.200}"
        options = rules.get("enum")
        if isinstance(options, list) and self.key(answer) not in self._enum(cast("list[object]", options)):
            shown = ", ".join(map(repr, cast("list[object]", options)[:10]))
            return f": must be one of {shown:.200}"
        if "const" in rules and self.key(rules["const"]) != self.key(answer):
            return f": must be {rules['const']!r:.60}"
        if isinstance(answer, str):
            return _out_of_bounds(rules, len(answer), _LENGTHS)
        return _out_of_bounds(rules, answer, _NUMBERS) if _is("number", answer) else None

    def _enum(self, options: list[object]) -> frozenset[Hashable]:
        known = self._enums.get(id(options))
        if known is None:
            known = self._enums[id(options)] = frozenset(map(self.key, options))
        return known

    def _object_fault(self, rules: Mapping[str, Any], answer: Mapping[str, Any]) -> str | None:
        required = rules.get("required")
        for name in self._each(cast("object", required)) if isinstance(required, list) else ():
            if isinstance(name, str) and name not in answer:
                return f".{name:.80}: is missing"
        properties, others = rules.get("properties"), rules.get("additionalProperties")
        known = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
        if not known and others is None:
            return None
        for name, value in answer.items():
            if (fault := self.fault(known.get(name, others), value)) is not None:
                return f".{name:.80}{fault}"
        return None

    def _list_fault(self, rules: Mapping[str, Any], answer: Sequence[Any]) -> str | None:
        if (fault := _out_of_bounds(rules, len(answer), _COUNTS)) is not None:
            return fault
        if (items := rules.get("items")) is None:
            return None
        for at, value in enumerate(answer):
            if (fault := self.fault(items, value)) is not None:
                return f"[{at}]{fault}"
        return None

    def _each(self, value: object) -> Sequence[object]:
        """The values of a list, or the one value; each counts as a step."""
        values: Sequence[object] = cast("list[object]", value) if isinstance(value, list) else (value,)
        self._spend(len(values))
        return values


_TRUE: Final = object()
_FALSE: Final = object()

_Bounds = Sequence[tuple[str, Callable[[Any, Any], bool], str]]
_NUMBERS: Final[_Bounds] = (
    ("minimum", ge, "be at least {}"),
    ("exclusiveMinimum", gt, "be more than {}"),
    ("maximum", le, "be at most {}"),
    ("exclusiveMaximum", lt, "be less than {}"),
)
_LENGTHS: Final[_Bounds] = (
    ("minLength", ge, "have at least {} characters"),
    ("maxLength", le, "have at most {} characters"),
)
_COUNTS: Final[_Bounds] = (("minItems", ge, "have at least {} items"), ("maxItems", le, "have at most {} items"))


def _out_of_bounds(rules: Mapping[str, Any], size: float, table: _Bounds) -> str | None:
    for name, holds, words in table:
        bound = rules.get(name)
        if bound is not None and _is("number", bound) and not holds(size, bound):
            return f": must {words.format(bound)}"
    return None


def _is(kind: object, value: object) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return True  # a type that JSON Schema doesn't have is ignored
