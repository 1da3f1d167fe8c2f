"""Servers of agents that follow a script: each request gets the next response, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["FOREVER", "ScriptedAgent", "ScriptedGraph", "serving"]

Event = dict[str, Any]


FOREVER: Event = {}
"""The agent works on, until its client leaves."""

A = TypeVar("A", bound="ScriptedAgent")


class ScriptedAgent:
    """What was requested, and what is answered: a list of events (or raw bytes), or a status with a text."""

    def __init__(self, *responses: Any) -> None:
        self.requests: list[Event] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.left = asyncio.Event()
        """The client of a response that does not end has left."""
        self._responses = list(responses)

    async def answer(self, request: Request) -> Response:
        self.requests.append(json.loads(await request.body()))
        self.headers.append(dict(request.headers))
        response = self._responses.pop(0)
        if isinstance(response, tuple):
            return PlainTextResponse(str(response[1]), int(response[0]))
        return StreamingResponse(self._stream(response), media_type="text/event-stream")

    async def _stream(self, events: Any) -> AsyncIterator[bytes]:
        yield b": hello\n\n"
        for event in events:
            if event is FOREVER:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.set()
            yield event if isinstance(event, bytes) else f"id: 1\ndata: {json.dumps(event)}\n\n".encode()


class ScriptedGraph(ScriptedAgent):
    """The same as a LangGraph server: each response is the events of a run (name and data), and the state after it."""

    def __init__(self, *runs: tuple[Sequence[tuple[str, Any]], Event]) -> None:
        super().__init__(*[[*map(_named, events)] for events, _ in runs])
        self._states = [state for _, state in runs]
        self.cancelled = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        response = await super().answer(request)
        response.headers["Content-Location"] = "/threads/t1/runs/r1"
        return response

    async def cancel(self, request: Request) -> Response:
        del request
        self.cancelled.set()
        return Response(status_code=204)

    async def thread(self, request: Request) -> Response:
        del request
        return JSONResponse({"thread_id": "t1"})

    async def state(self, request: Request) -> Response:
        del request
        return JSONResponse(self._states.pop(0))


def _named(event: tuple[str, Any]) -> Any:
    name, data = event
    return data if data is FOREVER else f"event: {name}\r\ndata: {json.dumps(data)}\r\n\r\n".encode()


def _routes(agent: ScriptedAgent) -> list[Route]:
    routes = [Route("/run", agent.answer, methods=["POST"])]
    if isinstance(agent, ScriptedGraph):
        routes = [
            Route("/run/threads", agent.thread, methods=["POST"]),
            Route("/run/threads/t1/runs/stream", agent.answer, methods=["POST"]),
            Route("/run/threads/t1/runs/r1/cancel", agent.cancel, methods=["POST"]),
            Route("/run/threads/t1/state", agent.state),
        ]
    return routes


@asynccontextmanager
async def serving(agent: A) -> AsyncIterator[A]:
    app = Starlette(routes=_routes(agent))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [socket, *_] = [socket for one in server.servers for socket in one.sockets]
    agent.url = f"http://127.0.0.1:{socket.getsockname()[1]}/run"
    try:
        yield agent
    finally:
        server.should_exit = True
        await running
