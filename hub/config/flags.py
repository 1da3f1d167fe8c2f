"""The settings as flags of commands, and as tables for docs/OPERATIONS.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import Field, fields
from functools import partial
from typing import Any, Final

from hub.config import setting_types as values
from hub.config.settings import Settings, flag, variable

__all__ = ["add_flag", "add_flags", "table"]

GROUPS: Final = {
    "address": "address",
    "plans": "log and engine",
    "engine": "plans that it runs",
    "worker": "probes and metrics",
    "rights": "who may connect",
    "limits": "limits",
    "operations": "log messages",
}
"""The groups of settings, with their headings in help."""
OF_HUBS: Final = tuple(group for group in GROUPS if group != "worker")


def add_flags(parser: argparse.ArgumentParser, *groups: str) -> None:
    """Add the flags of these groups (by default those of a hub) to a command; pass the parsed arguments to `load`."""
    for group in groups or OF_HUBS:
        within = parser.add_argument_group(GROUPS[group])
        for at in fields(Settings):
            if at.metadata["group"] == group:
                _add(within.add_argument, at)


def add_flag(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the flag of one setting."""
    for at in fields(Settings):
        if at.name == name:
            _add(parser.add_argument, at)


def _add(add: Callable[..., object], at: Field[Any]) -> None:
    """Add a flag with a parser's or group's `add_argument`. A wrong value is reported when the flags are parsed."""
    parse = at.metadata["parse"]
    switch: dict[str, Any] = {"nargs": "?", "const": "yes"} if parse is values.switch else {}
    about = f"{at.metadata['about']} [{_default(at)}; {variable(at.name)}]".replace("%", "%%")
    add(flag(at.name), dest=at.name, metavar=_placeholder(at), type=partial(_checked, parse), help=about, **switch)


def _placeholder(at: Field[Any]) -> str:
    """What help shows for the value."""
    return values.placeholder(at.metadata["parse"]) or at.name.rpartition("_")[2].upper()


def _checked(parse: values.Parser, text: str) -> str:
    try:
        parse(text.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _default(at: Field[Any]) -> str:
    if at.metadata["shown"] is not None:
        return str(at.metadata["shown"])
    return values.written(at.default, size=getattr(at.metadata["parse"], "func", None) is values.size)


def table() -> str:
    """The tables of all settings in Markdown, for docs/OPERATIONS.md."""
    lines: list[str] = []
    group = ""
    for at in fields(Settings):
        if at.metadata["group"] != group:
            group = at.metadata["group"]
            lines += ["", f"### {group.capitalize()}", "", "| variable | flag | default | |", "|---|---|---|---|"]
        about = at.metadata["about"]
        lines.append(f"| `{variable(at.name)}` | `{flag(at.name)}` | {_default(at)} | {about} |")
    return "\n".join(lines[1:])
