"""Does an answer fit the schema that its request gives?

A plain part of JSON Schema, as much as forms are made of: `type`, `enum`, `const`, `properties`, `required`,
`additionalProperties`, `items` and the bounds of numbers, strings and lists. What else a schema says is for the form
and for whoever asked; it is not judged here.

The event loop waits meanwhile, so the work is bounded: it is counted in steps, and an answer that takes more of them
than allowed is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final, cast

from pydantic_core import to_json

__all__ = ["misfit", "same"]

STEPS: Final = 8_000
"""Values of the answer that are looked at, and values of the schema that they are compared with: less than 10 ms of
work. A form takes a few hundred."""


def misfit(schema: object, answer: Any) -> str | None:
    """What doesn't fit, for the person who answered; None when nothing of that kind is found."""
    try:
        fault = _Comparison().fault(schema, answer)
    except _TooMuch:
        return "answer: too much of it to be compared with all that its schema says"
    return None if fault is None else f"answer{fault}"


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but true is not 1. Values of many parts are so only when they are written the same."""
    if to_json(one) == to_json(other):
        return True
    comparison = _Comparison()
    try:
        return comparison.key(one) == comparison.key(other)
    except _TooMuch:
        return False


class _TooMuch(Exception):
    """The steps are used up."""


class _Comparison:
    """One answer compared with one schema. A fault is the rest of a path and what is wrong there: `.days[0]: …`."""

    def __init__(self) -> None:
        self._left = STEPS
        self._keys: dict[Hashable, object] = {}
        self._enums: dict[int, frozenset[Hashable]] = {}

    def fault(self, schema: object, answer: Any) -> str | None:
        self._spend(1)
        if schema is False:
            return ": nothing may stand here"
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
        """The same for values that are equal as JSON, and for no others."""
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
            raise _TooMuch

    def _own_fault(self, rules: Mapping[str, Any], answer: Any) -> str | None:
        """What is wrong with the value itself, whatever is in it."""
        wanted = rules.get("type")
        if wanted is not None and not any(_is(kind, answer) for kind in self._each(wanted)):
            return f": {' or '.join(map(str, self._each(wanted))):.200} is wanted"
        options = rules.get("enum")
        if isinstance(options, list) and self.key(answer) not in self._enum(cast("list[object]", options)):
            shown = ", ".join(map(repr, cast("list[object]", options)[:10]))
            return f": one of {shown:.200} is wanted"
        if "const" in rules and self.key(rules["const"]) != self.key(answer):
            return f": {rules['const']!r:.60} is wanted"
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
        """The values of a list, counted; or the one value."""
        values: Sequence[object] = cast("list[object]", value) if isinstance(value, list) else (value,)
        self._spend(len(values))
        return values


_TRUE: Final = object()
_FALSE: Final = object()

_Bounds = Sequence[tuple[str, Callable[[Any, Any], bool], str]]
_NUMBERS: Final[_Bounds] = (
    ("minimum", ge, "at least {}"),
    ("exclusiveMinimum", gt, "more than {}"),
    ("maximum", le, "at most {}"),
    ("exclusiveMaximum", lt, "less than {}"),
)
_LENGTHS: Final[_Bounds] = (("minLength", ge, "at least {} characters"), ("maxLength", le, "at most {} characters"))
_COUNTS: Final[_Bounds] = (("minItems", ge, "at least {} of them"), ("maxItems", le, "at most {} of them"))


def _out_of_bounds(rules: Mapping[str, Any], size: float, table: _Bounds) -> str | None:
    for name, holds, words in table:
        bound = rules.get(name)
        if bound is not None and _is("number", bound) and not holds(size, bound):
            return f": {words.format(bound)} wanted"
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
            return True  # a type that JSON Schema doesn't have is not ours to judge
