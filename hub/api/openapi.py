"""The OpenAPI document: what FastAPI finds in the routes, and what it can't find there."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hub.api.problems import ProblemBody

__all__ = ["describe"]

ABOUT: Final = """\
Plans that agents work on, and everything that is said about them. Section 11 of the protocol's document
(docs/PROTOCOL.md) says what may be relied on. For watching plans, prefer the socket `/ws/streaming`.
"""
TAGS: Final = [
    {"name": "plans", "description": "Lists, snapshots, starting, signals, answers, tickets."},
    {"name": "events", "description": "Say something about a plan; read what was said, or wait for it."},
    {"name": "streams", "description": "Server-sent events."},
    {
        "name": "log",
        "description": "The log itself, for programs that use this hub as theirs (`PLANCAST_LOG=http://…`).",
    },
    {
        "name": "dialects",
        "description": "Other front ends' formats over the same plans; they exist where an engine is (docs/dialects).",
    },
    {"name": "operations", "description": "For operators."},
    {"name": "test", "description": "Sample traffic; exists only where it is enabled."},
]


def describe(app: FastAPI) -> None:
    """Make the application's document complete."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    said = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=ABOUT,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        separate_input_output_schemas=False,
    )
    schemas = said.setdefault("components", {}).setdefault("schemas", {})
    schemas[ProblemBody.__name__] = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    for operation in (one for path in said["paths"].values() for one in path.values()):
        if "security" in operation:  # either of them will do, and in development none is needed
            operation["security"] = [{"token": []}, {"ticket": []}, {}]
    return said
