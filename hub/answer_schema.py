"""Does an answer fit the schema that its request gives?

A plain part of JSON Schema, as much as forms are made of: `type`, `enum`, `const`, `properties`, `required`,
`additionalProperties`, `items` and the bounds of numbers, strings and lists. What else a schema says is for the form
and for whoever asked; it is not judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final, cast

__all__ = ["misfit", "same"]

COMPARED: Final = 500_000
"""Parts of the schema times parts of the answer: what takes half a second at worst. A form comes to a few thousand."""


def misfit(schema: object, answer: Any) -> str | None:
    """What doesn't fit, for the person who answered; None when nothing of that kind is found."""
    if _parts(schema) * _parts(answer) > COMPARED:
        return "answer: too much of it to be compared with all that its schema says"
    return _misfit(schema, answer, "answer")


def _parts(value: object) -> int:
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        count += 1
        if isinstance(one, Mapping):
            waiting += cast("Mapping[str, object]", one).values()
        elif isinstance(one, list):
            waiting += cast("list[object]", one)
    return count


def _misfit(schema: object, answer: Any, path: str) -> str | None:
    if schema is False:
        return f"{path}: nothing may stand here"
    if not isinstance(schema, Mapping):
        return None
    return next(_faults(cast("Mapping[str, Any]", schema), answer, path), None)


def _faults(schema: Mapping[str, Any], answer: Any, path: str) -> Iterator[str]:
    wanted = schema.get("type")
    types = cast("list[object]", wanted) if isinstance(wanted, list) else [wanted]
    if wanted is not None and not any(_is(kind, answer) for kind in types):
        yield f"{path}: {' or '.join(map(str, types))} is wanted"
    if isinstance(options := schema.get("enum"), list) and not any(
        same(one, answer) for one in cast("list[object]", options)
    ):
        yield f"{path}: one of the values that the schema lists is wanted"
    if "const" in schema and not same(schema["const"], answer):
        yield f"{path}: {schema['const']!r:.60} is wanted"
    if isinstance(answer, dict):
        yield from _object_faults(schema, cast("dict[str, Any]", answer), path)
    elif isinstance(answer, list):
        yield from _list_faults(schema, cast("list[object]", answer), path)
    elif isinstance(answer, str):
        yield from _bounds(schema, len(answer), _LENGTHS, path)
    elif _is("number", answer):
        yield from _bounds(schema, answer, _NUMBERS, path)


def _object_faults(schema: Mapping[str, Any], answer: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in _list(schema.get("required")):
        if isinstance(name, str) and name not in answer:
            yield f"{path}.{name}: is missing"
    known = schema.get("properties")
    properties: Mapping[str, Any] = cast("Mapping[str, Any]", known) if isinstance(known, Mapping) else {}
    for name, value in answer.items():
        if (
            fault := _misfit(properties.get(name, schema.get("additionalProperties")), value, f"{path}.{name}")
        ) is not None:
            yield fault


def _list_faults(schema: Mapping[str, Any], answer: Sequence[Any], path: str) -> Iterator[str]:
    yield from _bounds(schema, len(answer), _COUNTS, path)
    for at, value in enumerate(answer):
        if (fault := _misfit(schema.get("items"), value, f"{path}[{at}]")) is not None:
            yield fault


_NUMBERS: Final = (
    ("minimum", ge, "at least {}"),
    ("exclusiveMinimum", gt, "more than {}"),
    ("maximum", le, "at most {}"),
    ("exclusiveMaximum", lt, "less than {}"),
)
_LENGTHS: Final = (("minLength", ge, "at least {} characters"), ("maxLength", le, "at most {} characters"))
_COUNTS: Final = (("minItems", ge, "at least {} of them"), ("maxItems", le, "at most {} of them"))


def _bounds(
    schema: Mapping[str, Any], size: float, table: Sequence[tuple[str, Callable[[Any, Any], bool], str]], path: str
) -> Iterator[str]:
    for name, holds, words in table:
        bound = schema.get(name)
        if _is("number", bound) and not holds(size, bound):
            yield f"{path}: {words.format(bound)} wanted"


def _list(value: object) -> list[Any]:
    return cast("list[object]", value) if isinstance(value, list) else []


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


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        ones, others = cast("list[object]", one), cast("list[object]", other)
        return len(ones) == len(others) and all(map(same, ones, others))
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    return bool(one == other)
