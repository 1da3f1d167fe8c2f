"""Markdown pages of the HTTP API, from docs/openapi.json: one page per group of operations, and one of all schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from scripts.docs.json_types import cell, fields, range_of, type_of

__all__ = ["pages"]

FOLDER: Final = "reference/http"
GENERATED: Final = "Successful Response"
"""FastAPI's description of a response that has none."""
EVERYWHERE: Final = {
    "400": "The body is not JSON.",
    "401": "No token, or one that is invalid or expired.",
    "403": "The token gives no right to this.",
    "413": "The body is too large.",
    "415": "The `Content-Type` is not JSON.",
    "422": "A parameter or field is invalid; `field` names it.",
    "429": "A limit was exceeded; retry after `Retry-After` seconds.",
    "503": "The log or the engine does not respond, or the hub is stopping; retry after `Retry-After` seconds.",
}
"""Responses of most operations, described once."""
INTRODUCTION: Final = """\
# HTTP API

Every operation of a hub, generated from its OpenAPI document. A running hub serves that document at `/openapi.json`, for
code generators and API explorers.

A token goes into the header `Authorization: Bearer …`; see
[authentication and access](../../OPERATIONS.md#authentication-and-access). An error is a JSON object of the type
`application/problem+json` ([ProblemBody](schemas.md#ProblemBody)), whose `code` is one of the
[error codes](../codes.md). Most operations may return these:

| status | meaning |
|---|---|
"""


def pages(document: Path) -> dict[str, str]:
    """The pages by their path in the site."""
    api: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
    groups = {tag["name"]: tag["description"] for tag in api["tags"]}
    operations = [(method, path, each) for path, methods in api["paths"].items() for method, each in methods.items()]
    made = {f"{FOLDER}/index.md": _index(groups, operations), f"{FOLDER}/schemas.md": _schemas(api)}
    for name, about in groups.items():
        parts = [_operation(*each) for each in operations if name in each[2]["tags"]]
        if parts:
            made[f"{FOLDER}/{name}.md"] = f"# HTTP API: {name}\n\n{_in_the_site(about)}\n\n" + "\n".join(parts)
    return made


def _in_the_site(text: str) -> str:
    """A description without the names of files, which the site does not show."""
    return text.replace(" (docs/dialects)", "").replace(" (docs/clients)", "").replace("docs/", "")


def _link(name: str) -> str:
    return f"[{name}](schemas.md#{name})"


def _index(groups: dict[str, str], operations: list[tuple[str, str, Any]]) -> str:
    lines = [INTRODUCTION + "\n".join(f"| {status} | {about} |" for status, about in EVERYWHERE.items()), ""]
    for name, about in groups.items():
        rows = [
            f"| [`{method.upper()} {path}`]({name}.md#{each['operationId']}) | {_first_sentence(each)} |"
            for method, path, each in operations
            if name in each["tags"]
        ]
        if rows:
            lines += [f"## {name}", "", _in_the_site(about), "", "| operation | description |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _first_sentence(operation: Any) -> str:
    text = cell(operation.get("description", ""))
    return text.partition(". ")[0].rstrip(".") + "." if text else ""


def _operation(method: str, path: str, each: Any) -> str:
    parts = [f"## `{method.upper()} {path}` {{#{each['operationId']}}}", "", each.get("description", "").strip(), ""]
    parameters = each.get("parameters", ())
    if parameters:
        parts += ["| parameter | in | type | description |", "|---|---|---|---|", *map(_parameter, parameters), ""]
    for media, content in each.get("requestBody", {}).get("content", {}).items():
        parts += [f"**Body** ({media}): {type_of(content.get('schema', {}), _link)}", ""]
    parts += ["| response | body | description |", "|---|---|---|", *_responses(each["responses"]), ""]
    return "\n".join(parts)


def _parameter(each: Any) -> str:
    schema, needed = each.get("schema", {}), "Required." if each.get("required") and each["in"] != "path" else ""
    about = " ".join(filter(None, [cell(each.get("description", "")), range_of(schema), needed]))
    return f"| `{each['name']}` | {each['in']} | {type_of(schema, _link)} | {about} |"


def _responses(responses: Any) -> Iterator[str]:
    for status, each in responses.items():
        if status in EVERYWHERE:
            continue
        bodies = ", ".join(
            f"{type_of(content.get('schema', {}), _link)} ({media})"
            if media != "application/problem+json"
            else "problem"
            for media, content in each.get("content", {}).items()
        )
        about = cell(each["description"])
        if about == GENERATED:
            about = HTTPStatus(int(status)).phrase
        yield f"| {status} | {bodies or 'none'} | {about} |"
    if general := [status for status in responses if status in EVERYWHERE]:
        yield f"| {', '.join(general)} | problem | [as everywhere](index.md) |"


def _schemas(api: Any) -> str:
    parts = ["# HTTP API: schemas\n\nThe objects in bodies of requests and responses."]
    for name, schema in sorted(api["components"]["schemas"].items()):
        about = str(schema.get("description", "")).strip()
        body = fields(schema, _link_here) or f"Type: {type_of(schema, _link_here)}.\n"
        parts.append(f"## {name} {{#{name}}}\n\n{about}\n\n{body}")
    return "\n".join(parts)


def _link_here(name: str) -> str:
    return f"[{name}](#{name})"
