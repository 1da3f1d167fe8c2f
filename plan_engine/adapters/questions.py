"""What a program asks, as a question to a person; and what the person's answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, get_args

from broadcasters.events import InputKind
from plan_engine.adapters.plain import cut, fields_of, plain
from plan_engine.run.context import Answer, Question

__all__ = ["approval_of_tool", "question_of", "reason_of", "text_of"]

MAX_PROMPT: Final = 8_000
MAX_OPTIONS: Final = 256
_QUESTIONS: Final = ("question", "prompt")
_TEXTS: Final = ("message", "text", "content", "description", "title")
_CHOICES: Final = ("options", "choices")


def question_of(value: Any, schema: Mapping[str, Any] | None = None) -> Question:
    """The question behind any value: a text, an object with a question (and options), or the value itself, shown."""
    if isinstance(value, str):
        return Question("clarification", cut(value, MAX_PROMPT), schema=schema)
    said = plain(value)
    fields = fields_of(said)
    options = next((fields[name] for name in _CHOICES if _is_filled_list(fields.get(name))), None)
    kind = fields.get("kind")
    if kind not in get_args(InputKind):
        kind = "choice" if options else "clarification"
    prompt = _first_text(fields, _QUESTIONS + _TEXTS) or json.dumps(said, ensure_ascii=False)
    schema = schema or fields_of(fields.get("schema")) or None
    return Question(cast("InputKind", kind), cut(prompt, MAX_PROMPT), options and options[:MAX_OPTIONS], schema)


def approval_of_tool(tool_name: str, arguments: Any) -> Question:
    """May this tool be used, so?"""
    shown = json.dumps(plain(arguments), ensure_ascii=False)
    return Question("approval", cut(f"Use {tool_name} with {shown}?", MAX_PROMPT), ["yes", "no"])


def reason_of(answer: Answer) -> str:
    """Why a person said no, as far as they said."""
    told = text_of(answer.value) or fields_of(answer.value).get("reason")
    return str(told) if told else f"{answer.by or 'A person'} said no."


def text_of(value: Any) -> str | None:
    """The words for people in an object, if it has any."""
    return _first_text(fields_of(value), _TEXTS)


def _first_text(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((text for name in names if isinstance(text := fields.get(name), str) and text), None)


def _is_filled_list(value: Any) -> bool:
    return isinstance(value, list) and value != []
