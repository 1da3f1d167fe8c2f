"""JSON Schemas as Markdown: the type of a value, and a table of an object's fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Link", "cell", "fields", "range_of", "type_of"]

Schema = Mapping[str, Any]
Link = Callable[[str], str]
"""From the name of a schema to Markdown that leads to it."""


def cell(text: str) -> str:
    """Text for one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def type_of(schema: Schema, link: Link) -> str:
    """The type of a value in a few words, for a cell of a table."""
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"`{_json(schema['const'])}`"
    if "enum" in schema:
        return " \\| ".join(f"`{_json(value)}`" for value in schema["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_of(each, link) for each in schema[several]))
    return _plain(schema, link)


def _plain(schema: Schema, link: Link) -> str:
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"array of {type_of(schema.get('items', {}), link)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_of(schema['additionalProperties'], link)}"
    form = schema.get("format")
    return f"{kind} ({form})" if form else str(kind)


def _json(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def fields(schema: Schema, link: Link) -> str:
    """A table of the fields of an object; empty if it has none."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if not properties:
        return ""
    required = set(schema.get("required", ()))
    rows = list[tuple[str, str, str]]()
    for name, each in properties.items():
        about = [cell(str(each.get("description", ""))), range_of(each), "" if name in required else "Optional."]
        rows.append((f"`{name}`", type_of(each, link), " ".join(filter(None, about))))
    if not any(about for *_, about in rows):
        return "\n".join(["| field | type |", "|---|---|", *(f"| {name} | {kind} |" for name, kind, _ in rows)]) + "\n"
    lines = ["| field | type | description |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def range_of(schema: Schema) -> str:
    """The bounds and the default of a value, as sentences."""
    default = schema.get("default")
    bounds = [
        f"{word} {schema[key]}" for key, word in (("minimum", "At least"), ("maximum", "At most")) if key in schema
    ]
    said = "" if default is None else f"Default: `{_json(default)}`."
    return (
        re.sub(r"^(.*) At most", r"\1, at most", " ".join(bounds))
        + ("." if bounds else "")
        + (" " + said if said else "")
    )
