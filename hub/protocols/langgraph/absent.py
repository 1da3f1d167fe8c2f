"""The route for requests of LangGraph's platform that this hub lacks: 404 with the reason."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Response

from hub.api.problems import Problem
from hub.protocols.langgraph.replies import new_router

__all__ = ["router"]

_REASONS: Final = tuple(
    (re.compile(path), reason)
    for path, reason in (
        (r"threads/[^/]+/copy", "a plan can't be copied; start another in a new thread"),
        (r"threads/[^/]+/state", "a plan's state is made of its events and can't be set"),
        (r"threads/[^/]+/runs/[^/]+", "a run is a part of its plan and can't be deleted alone; delete the thread"),
        (r"threads/(count|prune)|runs/(batch|cancel)", "it acts on one thread or run at a time"),
        (r"assistants(/.*)?", "its assistants are its templates, which can't be changed here and have no graph"),
        (r".*crons.*", "it has no crons"),
        (r"store/.*", "it has no store"),
    )
)


def router() -> APIRouter:
    """The route; it must be the last."""
    routes = new_router()

    @routes.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def unknown_langgraph_path(path: str) -> Response:
        """Refuse a request of LangGraph's platform that this hub lacks, with the reason."""
        reason = next((reason for known, reason in _REASONS if known.fullmatch(path)), "see docs/clients/langgraph.md")
        detail = f"this hub does not have this request to /{path:.80} of LangGraph's platform: {reason}"
        raise Problem("http_404", detail, status=404)

    return routes
