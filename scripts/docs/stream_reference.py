"""Markdown pages of the streaming protocol: frames (docs/asyncapi.json and its schemas) and codes (docs/codes.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from scripts.docs.json_types import cell, fields, type_of

__all__ = ["pages"]

FRAMES: Final = """\
# Frames and events

Every frame of the WebSocket `/ws/streaming`, generated from [asyncapi.json](../asyncapi.json) (AsyncAPI 3.0) and the JSON
Schemas that it refers to. [The protocol](../PROTOCOL.md) has the rules for both sides.
"""
CODES: Final = """\
# Error codes

Generated from [codes.json](../codes.json), which programs can read. [The protocol](../PROTOCOL.md) says when each is sent.
"""
TABLES: Final = {
    "close": ("Close codes", "A closed WebSocket has one of these codes."),
    "subscription": ("Ended subscriptions", "The frame `subscription_ended` has one of these codes."),
    "error": ("Errors", "The frame `error` and error responses of the HTTP API have one of these codes."),
}


def pages(docs: Path) -> dict[str, str]:
    """The pages by their path in the site."""
    return {
        "reference/frames.md": _frames(docs),
        "reference/codes.md": _codes(json.loads((docs / "codes.json").read_text(encoding="utf-8"))),
    }


def _codes(tables: Mapping[str, Any]) -> str:
    parts = [CODES]
    for key, (title, about) in TABLES.items():
        parts += [f"## {title}", "", about, "", "| code | meaning | what to do |", "|---|---|---|"]
        parts += [_code(each) for each in tables[key]] + [""]
    return "\n".join(parts)


def _code(each: Mapping[str, Any]) -> str:
    name = f"`{each['code']}`" if each["code"] == each["name"] else f"{each['code']} `{each['name']}`"
    return f"| {name} | {cell(each['meaning'])} | {cell(each['todo'])} |"


def _frames(docs: Path) -> str:
    api: Mapping[str, Any] = json.loads((docs / "asyncapi.json").read_text(encoding="utf-8"))
    replies = {name: _names(each["reply"]["messages"]) for name, each in api["operations"].items() if "reply" in each}
    parts, objects, titles = (
        [FRAMES],
        dict[str, Any](),
        {
            "client": "Frames from clients",
            "server": "Frames from hubs",
            "event": "Events of plans",
        },
    )
    for kind, title in titles.items():
        parts += [f"## {title}", ""]
        for name, message in api["components"]["messages"].items():
            file = message["payload"]["$ref"]
            if f"/{kind}." in file:
                schema = json.loads((docs / file).read_text(encoding="utf-8"))
                objects |= schema.get("$defs", {})
                parts.append(_frame(name, message, schema, file, replies.get(name, [])))
    parts += ["## Objects", ""]
    for name, schema in sorted(objects.items()):
        body = fields(schema, _link) or f"{type_of(schema, _link)}\n"
        parts.append(f"### {name} {{#{name}}}\n\n{schema.get('description', '')}\n\n{body}")
    return "\n".join(parts)


def _names(messages: list[dict[str, str]]) -> list[str]:
    return [each["$ref"].rpartition("/")[2] for each in messages]


def _frame(name: str, message: Mapping[str, Any], schema: Mapping[str, Any], file: str, replies: list[str]) -> str:
    lines = [f"### {name} {{#{name}}}", "", message.get("summary", ""), "", fields(schema, _link)]
    if replies:
        lines += [f"Reply: {' or '.join(f'[{each}](#{each})' for each in replies)}.", ""]
    return "\n".join([*lines, f"JSON Schema: [{Path(file).name}](../{file})", ""])


def _link(name: str) -> str:
    return f"[{name}](#{name})"
