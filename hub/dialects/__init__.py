"""Other front ends' wire formats over the same log, hub and engine.

A dialect is a subclass of `Dialect` (dialect.py): pure, it is called with a client's messages and with plans' events, and
returns actions. Nothing in it waits, so it is tested as plain functions. The rest is the hub's:

    await serve_dialect(hub, websocket, MyDialect(session_id))      # endpoints.py: all of a WebSocket route

Origins, tokens (a header, a ticket, or an `authenticate` frame that must come first), limits of connections, frames and
bytes, slow clients, drains, heartbeats and subscriptions are those of `/ws/streaming`, by the same code: the interpreter
(interpreter.py) is the outlet of an ordinary connection. A `Follow` may start at a position (`FollowedEvent.position`,
which a frame may carry). Events may be repeated, `rebuilt` from a snapshot, when the log no longer holds them.

Over HTTP, `caller_of`, `require`, `ApiRoute` and `problems` of `hub.api` serve dialects too:

    await start_plan(hub, principal, Start(template, input, plan_id))                               # interpreter.py
    stream = DialectStream(hub, request, principal, PlanFeed(plan_id, translate), as_message)       # endpoints.py
    return stream.response(HEADERS)                                                         # as server-sent events
    [json.loads(frame) async for frame in stream.frames() if frame != KEEP_ALIVE]           # or all in one response

Each dialect's module states the rule by which its ids map to plan ids. An id from outside that yields no valid plan id is
refused; ids are only compared, never used in patterns.
"""

from __future__ import annotations

from fastapi import APIRouter

from hub.dialects import conversations, data_query, exhibition, insight_chat, macae, trip
from hub.node import Hub

__all__ = ["router"]


def router(hub: Hub) -> APIRouter:
    """Returns the routes of all dialects. Exact paths (`/ws/chat`) come before those with a session's id."""
    routes = APIRouter()
    for dialect in (trip, insight_chat, conversations, data_query, exhibition, macae):
        routes.routes.extend(dialect.router(hub).routes)
    return routes
