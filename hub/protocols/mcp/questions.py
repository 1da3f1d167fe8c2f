"""Questions of a plan as forms that MCP clients show (elicitation), and the answers in them.

A form is flat: its fields are texts, numbers, yes or no, or one of some texts. Questions that need more have no form; they
are answered with the tool `answer_question`, or elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from broadcasters.snapshot import InputState

__all__ = ["QuestionForm", "form_of"]

FIELD: Final = "answer"
"""The only field of a form for a single value."""
_KEPT: Final[Mapping[str, Sequence[str]]] = {
    "string": ("minLength", "maxLength", "enum"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "boolean": (),
}
_ABOUT: Final = ("title", "description", "default")
_FORMATS: Final = frozenset({"date", "date-time", "email", "uri"})


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """A form for a question. `values`: the answers behind the texts that the form offers."""

    schema: dict[str, Any]
    single: bool
    values: Mapping[str, Any]

    def answer(self, content: Mapping[str, Any] | None) -> Any:
        """The answer in a form that a person has filled in."""
        content = content or {}
        if not self.single:
            return {name: value for name, value in content.items() if value is not None}
        value = content.get(FIELD)
        return self.values.get(value, value) if isinstance(value, str) else value


def form_of(question: InputState) -> QuestionForm | None:
    """The question's form; None if a flat form can't express it."""
    options = question.options or (("yes", "no") if question.kind == "approval" and not question.json_schema else ())
    if options:
        values = {_label(option): _value(option) for option in options}
        return _single({"type": "string", "enum": [*values]}, values) if len(values) == len(options) else None
    schema = question.json_schema or {"type": "string"}
    if schema.get("type") != "object":
        field = _field(schema)
        return None if field is None else _single(field, {})
    fields = {name: _field(field) for name, field in cast("dict[str, Any]", schema.get("properties", {})).items()}
    if not fields or None in fields.values():
        return None
    required = [name for name in schema.get("required", ()) if name in fields]
    return QuestionForm({"type": "object", "properties": fields, "required": required}, single=False, values={})


def _single(field: dict[str, Any], values: Mapping[str, Any]) -> QuestionForm:
    return QuestionForm(
        {"type": "object", "properties": {FIELD: field}, "required": [FIELD]}, single=True, values=values
    )


def _field(schema: Any) -> dict[str, Any] | None:
    """A field with what forms can express of its schema; the hub checks the answer against all of it."""
    if not isinstance(schema, dict):
        return None
    rules = cast("dict[str, Any]", schema)
    kept = _KEPT.get(rules["type"]) if isinstance(rules.get("type"), str) else None
    if kept is None or not all(isinstance(one, str) for one in rules.get("enum", ())):
        return None
    field = {name: rules[name] for name in ("type", *_ABOUT, *kept) if name in rules}
    return {**field, "format": rules["format"]} if rules.get("format") in _FORMATS else field


def _label(option: Any) -> str:
    fields = cast("dict[str, Any]", option) if isinstance(option, dict) else {"value": option}
    label = fields.get("label", fields.get("value", fields))
    return label if isinstance(label, str) else json.dumps(label, ensure_ascii=False)


def _value(option: Any) -> Any:
    return cast("dict[str, Any]", option).get("value", option) if isinstance(option, dict) else option
