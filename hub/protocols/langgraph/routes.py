"""The routes of LangGraph's protocol: those of runs, and all others together."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from broadcasters.checkpointing import snapshot_at
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.callers import caller_of
from hub.core.history import SharedCall
from hub.core.rates import START
from hub.core.subscriber import Since
from hub.node import Hub
from hub.protocols.langgraph import absent, assistants, event_routes, thread_routes
from hub.protocols.langgraph.beginnings import Beginnings, Begun, new_thread_id
from hub.protocols.langgraph.encoder import MODES, Cursor, RunEncoder, cursor_in, modes_of
from hub.protocols.langgraph.replies import ThreadIdPath, details, new_router
from hub.protocols.langgraph.requests import RunRequest
from hub.protocols.langgraph.runs import RunStatus, ThreadRun, runs_of
from hub.protocols.langgraph.streams import AwaitedValues, Departures, FinalValues, RunStream
from hub.protocols.route import STREAM_HEADERS
from hub.protocols.segments import SegmentReader
from hub.protocols.threads import not_cancelled

__all__ = ["router"]

RunIdPath = Annotated[
    str,
    Path(
        min_length=1, max_length=64, description="The id of the run.", examples=["0d3c5f86-5ad5-5a3a-9a5c-6ff0d8f5a3cd"]
    ),
]
Modes = Annotated[
    list[Annotated[str, Query(max_length=64)]] | None,
    Query(max_length=32, description="The modes of the stream; repeatable."),
]
_STREAM: Final[dict[int | str, Any]] = {200: {"description": "The run's stream.", "content": {"text/event-stream": {}}}}
_VALUES: Final[dict[int | str, Any]] = {
    200: {"description": "The values at the run's end.", "content": {"application/json": {"schema": {}}}}
}
_CANCEL: Final[dict[int | str, Any]] = {**_VALUES, 202: {"description": "The plan's events report its end."}}
_REFUSED: Final = (400, 401, 403, 404, 408, 409, 410, 413, 415, 422, 429, 503)


def router(hub: Hub) -> APIRouter:
    """All routes of the protocol."""
    routes = APIRouter()
    for part in (assistants.router, _beginnings, _runs, _endings, event_routes.router, thread_routes.router):
        routes.routes.extend(part(hub).routes)
    routes.routes.extend(absent.router().routes)
    return routes


def _beginnings(hub: Hub) -> APIRouter:
    """The routes that begin a run."""
    routes, beginnings, responses = new_router(), Beginnings(hub), _Responses(hub)
    starter: Principal = Depends(caller_of(hub, START))
    refused = details(*_REFUSED)

    @routes.post("/threads/{thread_id}/runs/stream", response_class=Response, responses={**_STREAM, **refused})
    async def begin_run_and_stream(
        thread_id: ThreadIdPath, body: RunRequest, request: Request, principal: Principal = starter
    ) -> Response:
        """Start the next plan of the thread, or answer its question, and stream what follows."""
        begun = await beginnings.begin(principal, thread_id, body)
        return await responses.stream(
            request, principal, begun, frozenset(modes_of(body.modes)), cancels=body.on_disconnect == "cancel"
        )

    @routes.post("/threads/{thread_id}/runs/wait", response_class=Response, responses={**_VALUES, **refused})
    async def begin_run_and_wait(
        thread_id: ThreadIdPath, body: RunRequest, request: Request, principal: Principal = starter
    ) -> Response:
        """The same; the response is the values at the run's end."""
        return responses.values(request, principal, await beginnings.begin(principal, thread_id, body))

    @routes.post("/threads/{thread_id}/runs", responses=refused)
    async def begin_run(
        thread_id: ThreadIdPath, body: RunRequest, response: Response, principal: Principal = starter
    ) -> dict[str, Any]:
        """The same without following it."""
        begun = await beginnings.begin(principal, thread_id, body)
        response.headers["Content-Location"] = _path(begun.run)
        return begun.run.body()

    @routes.post("/runs/stream", response_class=Response, responses={**_STREAM, **refused})
    async def begin_thread_and_stream(body: RunRequest, request: Request, principal: Principal = starter) -> Response:
        """Start a plan in a new thread, and stream it."""
        return await begin_run_and_stream(new_thread_id(), body, request, principal)

    @routes.post("/runs/wait", response_class=Response, responses={**_VALUES, **refused})
    async def begin_thread_and_wait(body: RunRequest, request: Request, principal: Principal = starter) -> Response:
        """Start a plan in a new thread; the response is the values at its end."""
        return await begin_run_and_wait(new_thread_id(), body, request, principal)

    @routes.post("/runs", responses=refused)
    async def begin_thread(body: RunRequest, response: Response, principal: Principal = starter) -> dict[str, Any]:
        """Start a plan in a new thread."""
        return await begin_run(new_thread_id(), body, response, principal)

    return routes


def _runs(hub: Hub) -> APIRouter:
    """The routes of runs that have begun."""
    routes, beginnings, responses = new_router(), Beginnings(hub), _Responses(hub)
    caller: Principal = Depends(caller_of(hub))
    refused = details(401, 403, 404, 422, 429, 503)

    @routes.get("/threads/{thread_id}/runs", responses=refused)
    async def list_runs(
        thread_id: ThreadIdPath,
        status: Annotated[RunStatus | None, Query(description="Only runs with this status.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="The maximum number of runs.")] = 10,
        offset: Annotated[int, Query(ge=0, le=10_000, description="How many of the newest runs to leave out.")] = 0,
        principal: Principal = caller,
    ) -> list[dict[str, Any]]:
        """The thread's runs, the newest first."""
        thread = await beginnings.thread(principal, thread_id)
        runs = runs_of(thread_id, thread.plans if thread else ())
        found = [run.body() for run in reversed(runs) if status in (None, run.status)]
        return found[offset : offset + limit]

    @routes.get("/threads/{thread_id}/runs/{run_id}", responses=refused)
    async def get_run(thread_id: ThreadIdPath, run_id: RunIdPath, principal: Principal = caller) -> dict[str, Any]:
        """The run and its status."""
        return (await beginnings.find(principal, thread_id, run_id)).body()

    @routes.get("/threads/{thread_id}/runs/{run_id}/stream", response_class=Response, responses={**_STREAM, **refused})
    async def join_run_stream(
        thread_id: ThreadIdPath,
        run_id: RunIdPath,
        request: Request,
        stream_mode: Modes = None,
        cancel_on_disconnect: Annotated[
            bool, Query(description="Cancel the plan when the client disconnects.")
        ] = False,
        last_event_id: Annotated[
            str | None, Header(alias="Last-Event-ID", max_length=256, description="The id of the last event received.")
        ] = None,
        principal: Principal = caller,
    ) -> Response:
        """The run's stream: what follows `Last-Event-ID`, or all of it (also for -1)."""
        run = await beginnings.find(principal, thread_id, run_id)
        begun = await beginnings.begun(principal, thread_id, run)
        modes = frozenset(modes_of(stream_mode)) if stream_mode else MODES
        return await responses.rest(request, principal, begun, modes, last_event_id, cancels=cancel_on_disconnect)

    return routes


def _endings(hub: Hub) -> APIRouter:
    """The routes that wait for the end of a run, or cause it."""
    routes, beginnings, responses = new_router(), Beginnings(hub), _Responses(hub)
    caller: Principal = Depends(caller_of(hub))
    refused = details(401, 403, 404, 422, 429, 503)

    @routes.get("/threads/{thread_id}/runs/{run_id}/join", response_class=Response, responses={**_VALUES, **refused})
    async def join_run(
        thread_id: ThreadIdPath, run_id: RunIdPath, request: Request, principal: Principal = caller
    ) -> Response:
        """The values at the run's end."""
        run = await beginnings.find(principal, thread_id, run_id)
        return responses.values(request, principal, await beginnings.begun(principal, thread_id, run))

    @routes.post("/threads/{thread_id}/runs/{run_id}/cancel", response_class=Response, responses={**_CANCEL, **refused})
    async def cancel_run(
        thread_id: ThreadIdPath,
        run_id: RunIdPath,
        request: Request,
        wait: Annotated[bool, Query(description="Respond when the run has ended.")] = False,
        action: Annotated[Literal["interrupt", "rollback"], Query(description="Has no effect.")] = "interrupt",
        principal: Principal = caller,
    ) -> Response:
        """Cancel the run's plan. With `wait`, the response is the values when it has ended."""
        del action
        run = await beginnings.find(principal, thread_id, run_id)
        if not await beginnings.cancel(principal, run) and run.plan.ended_at is None:
            raise not_cancelled(run.plan.plan_id)
        if not wait:
            return Response(status_code=202)
        begun = await beginnings.begun(principal, thread_id, run)
        return responses.values(request, principal, begun, whole=True)

    return routes


def _path(run: ThreadRun) -> str:
    """The run's path as clients append it to the URL that they have of the API."""
    return f"/threads/{quote(run.thread_id, safe='')}/runs/{run.run_id}"


class _Responses:
    """Makes the responses that follow a run."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._beginnings = Beginnings(hub)
        self._departures = Departures()
        self._folds: SharedCall[tuple[str, int], tuple[Snapshot, Position] | None] = SharedCall()

    async def stream(
        self, request: Request, principal: Principal, begun: Begun, modes: frozenset[str], *, cancels: bool
    ) -> Response:
        """The run's stream from its beginning."""
        return await self._stream(request, principal, begun, self._encoder(begun, modes), begun.begin, cancels=cancels)

    async def rest(
        self,
        request: Request,
        principal: Principal,
        begun: Begun,
        modes: frozenset[str],
        last_event_id: str | None,
        *,
        cancels: bool,
    ) -> Response:
        """What follows the message with this id; all, if it is no position in the run."""
        cursor = cursor_in(last_event_id or "") or Cursor(Position("", 0), 0)
        encoder = replace(self._encoder(begun, modes), afresh=cursor.afresh, customs=cursor.customs)
        head = await self._hub.log.head(begun.run.plan.plan_id)
        continues = cursor.position.offset == 0 or head.continuity(cursor.position) == "ok"
        after = max(begun.begin, cursor.position.offset) if continues else None
        return await self._stream(request, principal, begun, encoder, after, cancels=cancels)

    def values(self, request: Request, principal: Principal, begun: Begun, *, whole: bool = False) -> Response:
        """The values at the run's end; with `whole`, at that of its plan."""
        whole = whole or begun.whole
        reader = SegmentReader(begun.run.plan.plan_id, FinalValues(begun.earlier), None, whole=whole, least=begun.least)
        stream = AwaitedValues(self._hub, request, principal, reader, "snapshot")
        path = _path(begun.run)
        headers = {"Content-Type": "application/json", "Content-Location": path, "Location": f"{path}/join"}
        return stream.response({**STREAM_HEADERS, **headers})

    async def _plan_at(self, plan_id: str, offset: int) -> tuple[Snapshot, Position] | None:
        """The plan as it was; folded once for clients that reconnect together."""
        return await self._folds.ask((plan_id, offset), lambda: snapshot_at(self._hub.log, plan_id, offset))

    @staticmethod
    def _encoder(begun: Begun, modes: frozenset[str]) -> RunEncoder:
        return RunEncoder(begun.run.run_id, begun.run.thread_id, begun.begin, modes, begun.earlier)

    async def _stream(
        self,
        request: Request,
        principal: Principal,
        begun: Begun,
        encoder: RunEncoder,
        after: int | None,
        *,
        cancels: bool,
    ) -> Response:
        run, plan_id = begun.run, begun.run.plan.plan_id
        base = await self._plan_at(plan_id, after) if after else None
        if base is None and after != 0:  # the log has that position no longer
            encoder, after = replace(encoder, afresh=True, customs=0), None
        since: Since = "snapshot" if after is None else "start" if base is None else base[1]
        reader = SegmentReader(plan_id, encoder, after, whole=begun.whole, least=begun.least, base=base)
        stream = RunStream(self._hub, request, principal, reader, since)
        if cancels and principal.may("signal", run.plan.plan_id):
            stream.departed = lambda: self._departures.after(self._beginnings.cancel(principal, run))
        path = _path(run)
        modes = urlencode([("stream_mode", mode) for mode in sorted(encoder.modes)])
        location = f"{path}/stream?{modes}" if modes else f"{path}/stream"
        return stream.response({**STREAM_HEADERS, "Content-Location": path, "Location": location})
