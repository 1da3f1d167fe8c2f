"""All dialects' routes, for an application with a hub in it."""

from __future__ import annotations

from fastapi import APIRouter

from hub.dialects.conversations import router as conversations
from hub.dialects.data_query import router as data_query
from hub.dialects.exhibition import router as exhibition
from hub.dialects.insight_chat import router as insight_chat
from hub.dialects.trip import router as trip
from hub.node import Hub

__all__ = ["router"]


def router(hub: Hub) -> APIRouter:
    """All of them. Exact paths (`/ws/chat`) stand before those with a session's id in them."""
    routes = APIRouter()
    for dialect in (trip, insight_chat, conversations, data_query, exhibition):
        routes.include_router(dialect(hub))
    return routes
