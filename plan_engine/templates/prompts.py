"""Prompts of named parts: easy for a model to read, and for a script to take apart."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["asked_about", "part_of"]


def asked_about(**parts: Any) -> str:
    """A prompt of these parts, a line each."""
    return "\n".join(f"{name.capitalize()}: {json.dumps(part, ensure_ascii=False)}" for name, part in parts.items())


def part_of(prompt: str, name: str) -> Any:
    """That part of a prompt; None when it has none of that name."""
    found = re.search(rf"^{name}: (.*)$", prompt, re.MULTILINE)
    return json.loads(found[1]) if found else None
