"""The routes of assistants, which are the templates, and of the server's own description."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from hub.access.principal import Principal
from hub.api.callers import caller_of
from hub.engine_port import TemplateInfo
from hub.node import Hub
from hub.protocols.langgraph.replies import details, new_router
from hub.protocols.langgraph.requests import SearchAssistants
from hub.protocols.threads import Threads

__all__ = ["router"]

AssistantIdPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=128,
        examples=["business_operations"],
        description="The name of a template, or the id of its assistant.",
    ),
]


def router(hub: Hub) -> APIRouter:
    """The routes of assistants."""
    routes = new_router()
    threads = Threads(hub)
    caller: Principal = Depends(caller_of(hub))
    refused = details(401, 403, 404, 422, 429, 503)
    searched = details(400, 401, 403, 408, 413, 415, 422, 429, 503)

    @routes.get("/ok")
    async def langgraph_ok() -> dict[str, bool]:
        """Whether the server responds."""
        return {"ok": True}

    @routes.get("/info")
    async def langgraph_info() -> dict[str, Any]:
        """The server's version, and which parts of LangGraph's platform it has."""
        return {"version": version("plancast"), "flags": {"assistants": True, "crons": False, "langsmith": False}}

    @routes.post("/assistants/search", responses=searched)
    async def search_assistants(body: SearchAssistants, _: Principal = caller) -> list[dict[str, Any]]:
        """The templates."""
        return [_assistant(one) for one in _found(hub, body)][body.offset : body.offset + body.limit]

    @routes.post("/assistants/count", responses=searched)
    async def count_assistants(body: SearchAssistants, _: Principal = caller) -> int:
        """The number of templates."""
        return len(_found(hub, body))

    @routes.get("/assistants/{assistant_id}", responses=refused)
    async def get_assistant(assistant_id: AssistantIdPath, _: Principal = caller) -> dict[str, Any]:
        """A template."""
        return _assistant(threads.template(assistant_id))

    @routes.get("/assistants/{assistant_id}/schemas", responses=refused)
    async def get_assistant_schemas(assistant_id: AssistantIdPath, _: Principal = caller) -> dict[str, Any]:
        """The schema of a template's input."""
        template = threads.template(assistant_id)
        schema = {"input_schema": template.input_schema, "output_schema": None, "state_schema": None}
        return {"graph_id": template.name, **schema, "config_schema": None, "context_schema": template.input_schema}

    @routes.get("/assistants/{assistant_id}/subgraphs", responses=refused)
    async def get_assistant_subgraphs(assistant_id: AssistantIdPath, _: Principal = caller) -> dict[str, Any]:
        """None: a template has no subgraphs."""
        threads.template(assistant_id)
        return {}

    @routes.post("/assistants/{assistant_id}/versions", responses=refused)
    async def get_assistant_versions(assistant_id: AssistantIdPath, _: Principal = caller) -> list[dict[str, Any]]:
        """The only version of a template."""
        return [_assistant(threads.template(assistant_id))]

    return routes


def _found(hub: Hub, search: SearchAssistants) -> Sequence[TemplateInfo]:
    templates = hub.engine.templates() if hub.engine is not None else ()
    name = (search.name or "").lower()
    return [one for one in templates if search.graph_id in (None, one.name) and name in one.title.lower()]


def _assistant(template: TemplateInfo) -> dict[str, Any]:
    return {
        "assistant_id": template.name,
        "graph_id": template.name,
        "name": template.title,
        "description": template.about,
        "config": {},
        "context": {},
        "metadata": {},
        "version": 1,
        "created_at": None,
        "updated_at": None,
    }
