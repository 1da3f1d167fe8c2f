"""Anything a framework hands over, as plain JSON of bounded size: what is too large is cut, and says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic_core import to_json

from broadcasters.events import Json

__all__ = ["MAX_DATA", "as_text", "cut", "fields_of", "plain", "plain_object", "title_of"]

MAX_DATA: Final = 64 * 1024
"""Bytes of one value: several of them fit into an event."""
PREVIEW: Final = 4_000
_json: Final[TypeAdapter[Any]] = TypeAdapter(Json)


def plain(value: Any, limit: int = MAX_DATA) -> Any:
    """The value as an event may carry it. What has no place in JSON becomes text; what is too large is cut."""
    try:
        encoded = to_json(value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="strings")
        if len(encoded) > limit:
            text = value if isinstance(value, str) else encoded.decode()
            return cut(text, PREVIEW)
        return _json.validate_python(json.loads(encoded))
    except (ValueError, TypeError, RecursionError):  # a surrogate, a circle, nested too deep, a number too large
        return cut(_told(value), PREVIEW)


def plain_object(value: Any) -> dict[str, Any] | None:
    """As `plain`, where an event wants an object. None stays None: nothing is said."""
    if value is None:
        return None
    made = plain(value)
    return cast("dict[str, Any]", made) if isinstance(made, dict) else {"value": made}


def cut(text: str, limit: int) -> str:
    """At most so many characters of it, with a mark where it was cut."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else f"{text[:limit]}… (cut: {len(text):,} characters in all)"


def as_text(value: Any) -> str:
    """The value in words: a text as it is, an error with its name, anything else as JSON."""
    if isinstance(value, str):
        return cut(value, PREVIEW)
    if isinstance(value, BaseException):
        return cut(f"{type(value).__name__}: {_told(value)}".removesuffix(": "), PREVIEW)
    return cut(json.dumps(plain(value), ensure_ascii=False), PREVIEW)


def fields_of(value: Any) -> Mapping[str, Any]:
    """The fields of an object; none of anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def title_of(name: str) -> str:
    """A name out of somebody's code, for people: `look_up_orders` is "Look up orders"."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return cut(words[:1].upper() + words[1:], 200) if words else name


def _told(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # somebody's __str__ may raise anything
        return f"a {type(value).__name__}"
