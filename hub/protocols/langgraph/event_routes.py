"""The routes of LangGraph's newer protocol: commands to a thread, and the stream of its events."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from hub.access.principal import Principal
from hub.api.callers import caller_of
from hub.api.problems import Problem
from hub.core.rates import START
from hub.node import Hub
from hub.protocols.langgraph.beginnings import Beginnings
from hub.protocols.langgraph.commands import Commands, ProtocolCommand, error_response
from hub.protocols.langgraph.event_frames import thread_position_of
from hub.protocols.langgraph.events import EventEncoder, channels_of
from hub.protocols.langgraph.replies import ThreadIdPath, details, new_router
from hub.protocols.langgraph.thread_events import ThreadEvents, epochs_of
from hub.protocols.route import STREAM_HEADERS, ProtocolRoute
from hub.protocols.threads import Threads, plan_id_in

__all__ = ["CommandRefusal", "CommandRoute", "EventStreamRequest", "router"]

Segment = Annotated[str, Field(max_length=256)]
_STREAM: Final[dict[int | str, Any]] = {200: {"description": "The events.", "content": {"text/event-stream": {}}}}
_REFUSED: Final = (400, 401, 403, 408, 413, 415, 422, 429, 503)


class EventStreamRequest(BaseModel):
    """Which events of a thread a stream has, and after which sequence number it begins."""

    channels: Annotated[list[Segment], Field(max_length=64, examples=[["messages", "lifecycle", "input"]])]
    namespaces: Annotated[list[list[Segment]], Field(max_length=256)] | None = None
    depth: Annotated[int, Field(ge=0)] | None = None
    since: Annotated[int, Field(ge=0, lt=1 << 53)] | None = None

    def wanted(self) -> frozenset[str]:
        """The channels. All events of plans are in the namespace []."""
        return channels_of(self.channels) if not self.namespaces or [] in self.namespaces else frozenset()


class CommandRefusal(BaseModel):
    """An error in the protocol's shape; without an id, it is about the request."""

    type: Literal["error"]
    id: int | None
    error: str
    message: str


class CommandRoute(ProtocolRoute):
    """A route whose errors have the shape of the protocol's responses."""

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        return JSONResponse(error_response(None, problem), problem.status_code, problem.headers)


def router(hub: Hub) -> APIRouter:
    """The routes of commands and events."""
    routes = new_router(CommandRoute)
    commands, threads, beginnings = Commands(hub), Threads(hub), Beginnings(hub)
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))
    refused = details(*_REFUSED, model=CommandRefusal)

    @routes.post("/threads/{thread_id}/commands", responses=refused)
    async def send_thread_command(
        thread_id: ThreadIdPath, body: ProtocolCommand, principal: Principal = starter
    ) -> dict[str, Any]:
        """Start the thread's next plan, answer its question, or read its state. What is wrong with a command is in its
        response: {"type": "error", "id", "error", "message"}."""
        return await commands.execute(principal, thread_id, body)

    @routes.post("/threads/{thread_id}/stream/events", response_class=Response, responses={**_STREAM, **refused})
    async def stream_thread_events(
        thread_id: ThreadIdPath, body: EventStreamRequest, request: Request, principal: Principal = caller
    ) -> Response:
        """Follow the thread from its beginning, or after `since`, for as long as the client reads."""
        count = await threads.count(principal, thread_id)
        since = thread_position_of(body.since or 0)
        number = min(max(since.number, 1), max(count, 1))
        earlier = b""
        if number > 1 and (thread := await beginnings.thread(principal, thread_id)) is not None:
            earlier = thread.earlier(plan_id_in(thread_id, number))
        encoder = EventEncoder(thread_id, number, body.wanted(), earlier, since=body.since or 0)
        epochs = await epochs_of(hub.log, thread_id, count)
        return ThreadEvents(hub, request, principal, encoder, epochs).response(STREAM_HEADERS)

    @routes.post("/threads/{thread_id}/stream", response_class=Response, responses={**_STREAM, **refused})
    async def stream_thread(
        thread_id: ThreadIdPath, body: EventStreamRequest, request: Request, principal: Principal = caller
    ) -> Response:
        """The same, at the path that the protocol's description names."""
        return await stream_thread_events(thread_id, body, request, principal)

    return routes
