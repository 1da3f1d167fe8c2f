"""Converts a framework's values for events: to JSON of bounded size, to text, and to questions for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, cast, get_args

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from broadcasters.events import InputKind, Json
from plan_engine.model.interaction import Answer, InputQuestion

__all__ = [
    "MAX_CONTENT",
    "MAX_DATA",
    "MAX_TITLE",
    "answer_as",
    "approval_of_tool",
    "as_text",
    "cut",
    "fields_of",
    "plain",
    "plain_object",
    "question_for",
    "question_of",
    "reason_of",
    "shortened",
    "text_of",
    "title_of",
]

MAX_DATA: Final = 64 * 1024
"""Bytes of one value. An event has room for several."""
MAX_CONTENT: Final = 8_000
MAX_TITLE: Final = 1_000
MAX_OPTIONS: Final = 256
MAX_NAME: Final = 256
PREVIEW: Final = 4_000
_QUESTIONS: Final = ("question", "prompt")
_TEXTS: Final = ("message", "text", "content", "description", "title")
_CHOICES: Final = ("options", "choices")
_json: Final[TypeAdapter[Any]] = TypeAdapter(Json)


# ---- JSON and text


def plain(value: Any, limit: int = MAX_DATA) -> Any:
    """The value as JSON that an event can carry. What JSON can't represent becomes text; a too large value is cut."""
    try:
        encoded = to_json(value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="strings")
        if len(encoded) > limit:
            text = value if isinstance(value, str) else encoded.decode()
            return cut(text, PREVIEW)
        return _json.validate_python(json.loads(encoded))
    except (ValueError, TypeError, RecursionError):  # a surrogate, a cycle, nested too deeply, a number too large
        return cut(_str(value), PREVIEW)


def plain_object(value: Any) -> dict[str, Any] | None:
    """As `plain`, for fields that must be objects: any other value becomes `{"value": value}`. None stays None."""
    if value is None:
        return None
    made = plain(value)
    return cast("dict[str, Any]", made) if isinstance(made, dict) else {"value": made}


def cut(text: str, limit: int) -> str:
    """The first `limit` characters of the text, with a mark where it was cut."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else f"{text[:limit]}… (cut: {len(text):,} characters in all)"


def shortened(name: str) -> str:
    """A name or id that an event can carry. One that is too long is cut, and made unique by a digest."""
    name = name.encode("utf-8", "replace").decode() or "-"
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 17]}~{sha256(name.encode()).hexdigest()[:16]}"


def as_text(value: Any) -> str:
    """The value as text: a string as it is, an error with its class name, any other value as JSON."""
    if isinstance(value, str):
        return cut(value, PREVIEW)
    if isinstance(value, BaseException):
        return cut(f"{type(value).__name__}: {_str(value)}".removesuffix(": "), PREVIEW)
    return cut(json.dumps(plain(value), ensure_ascii=False), PREVIEW)


def fields_of(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; for any other value, an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def title_of(name: str) -> str:
    """A name from code as a title for people: `look_up_orders` becomes "Look up orders"."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return cut(words[:1].upper() + words[1:], 200) if words else name


def text_of(value: Any) -> str | None:
    """The text for people in an object, if it has any."""
    return _first_text(fields_of(value), _TEXTS)


def _first_text(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((text for name in names if isinstance(text := fields.get(name), str) and text), None)


def _str(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # a foreign class's __str__ may raise anything
        return f"a {type(value).__name__}"


# ---- questions


def question_of(value: Any, schema: Mapping[str, Any] | None = None) -> InputQuestion:
    """The question in a value: a string, an object with a question (and options), or else the value itself as JSON."""
    if isinstance(value, str):
        return InputQuestion("clarification", cut(value, MAX_CONTENT), schema=schema)
    json_value = plain(value)
    fields = fields_of(json_value)
    options = next((fields[name] for name in _CHOICES if _is_filled_list(fields.get(name))), None)
    kind = fields.get("kind")
    if kind not in get_args(InputKind):
        kind = "choice" if options else "clarification"
    prompt = _first_text(fields, _QUESTIONS + _TEXTS) or json.dumps(json_value, ensure_ascii=False)
    schema = schema or fields_of(fields.get("schema")) or None
    options = options and options[:MAX_OPTIONS]
    return InputQuestion(cast("InputKind", kind), cut(prompt, MAX_CONTENT), options, schema)


def question_for(request: Any, expected: type[Any]) -> InputQuestion:
    """The question in a value, whose answer must be of this type."""
    question = question_of(request)
    if expected is bool:
        return InputQuestion("approval", question.prompt, ["yes", "no"])
    schema = question.schema or (None if expected is str or question.options else _schema_of(expected))
    return InputQuestion(question.kind, question.prompt, question.options, schema)


def _schema_of(expected: type[Any]) -> dict[str, Any] | None:
    try:
        return TypeAdapter(expected).json_schema()
    except PydanticUserError:
        return None


def answer_as(answer: Answer, expected: type[Any]) -> Any:
    """The answer as the type that was expected. Raises `ValidationError`."""
    if expected is bool:
        return bool(answer)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(expected)
    except PydanticUserError:
        return answer.value
    return adapter.validate_python(answer.value)


def approval_of_tool(tool_name: str, arguments: Any) -> InputQuestion:
    """The question whether a tool may be used with these arguments."""
    shown = json.dumps(plain(arguments), ensure_ascii=False)
    return InputQuestion("approval", cut(f"Use {tool_name} with {shown}?", MAX_CONTENT), ["yes", "no"])


def reason_of(answer: Answer) -> str:
    """Why a person answered no, if they gave a reason."""
    reason = text_of(answer.value) or fields_of(answer.value).get("reason")
    return str(reason) if reason else f"{answer.by or 'A person'} said no."


def _is_filled_list(value: Any) -> bool:
    return isinstance(value, list) and value != []
