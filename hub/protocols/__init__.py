"""Other protocols over the same log: clients that were made for another server follow, start and answer plans unchanged.

Each protocol is a package of an encoder (pure: a plan's changes in, bytes out; see segments.py) and its routes. What they
have in common: a request names a thread, which is a sequence of plans (threads.py), and its response is a segment of one of
them (streams.py).
"""

from __future__ import annotations

from fastapi import APIRouter

from hub.node import Hub
from hub.protocols.ag_ui import routes as ag_ui
from hub.protocols.ai_sdk import routes as ai_sdk
from hub.protocols.durable_streams import routes as durable_streams
from hub.protocols.langgraph import routes as langgraph
from hub.protocols.mcp import routes as mcp

__all__ = ["router"]


def router(hub: Hub) -> APIRouter:
    """The routes of all protocols."""
    routes = APIRouter()
    for protocol in (ag_ui, langgraph, durable_streams, ai_sdk, mcp):
        routes.routes.extend(protocol.router(hub).routes)
    return routes
