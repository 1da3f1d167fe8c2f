"""deploy/compose/compose.yaml as an engine reads it: variables filled in, merge keys resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

__all__ = ["COMPOSE", "services"]

COMPOSE = Path(__file__).parents[2] / "deploy/compose"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services, with these variables as those of .env. Raises `KeyError` for a required one that is missing."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        return variables.get(name, default) if kind == "-" else variables[name]

    text = VARIABLE.sub(value, (COMPOSE / "compose.yaml").read_text())
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found
