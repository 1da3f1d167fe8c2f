"""The routes of threads: create, read, update, delete, states, history and search."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request

from broadcasters.log.contract import PlanEntry
from hub.access.principal import Principal
from hub.api.callers import caller_of, holder_of, require
from hub.api.problems import Problem
from hub.node import Hub
from hub.protocols.langgraph.beginnings import Beginnings, new_thread_id
from hub.protocols.langgraph.replies import ThreadIdPath, details, new_router
from hub.protocols.langgraph.requests import CreateThread, HistoryRequest, SearchThreads, StateRequest, UpdateThread
from hub.protocols.langgraph.thread import EMPTY_STATE, Thread
from hub.protocols.threads import Threads, split_plan_id
from hub.wire.codes import ErrorCode

__all__ = ["router"]

FOUND_AT_ONCE: Final = 100
"""Plans of the index that one search reads."""

CheckpointIdPath = Annotated[str, Path(max_length=256, description="A checkpoint of the thread's history.")]


def router(hub: Hub) -> APIRouter:
    """The routes of threads."""
    routes = new_router()
    beginnings = Beginnings(hub)
    caller: Principal = Depends(caller_of(hub))
    refused = details(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)
    read_refused = details(401, 403, 404, 422, 429, 503)

    @routes.post("/threads", responses=refused)
    async def create_thread(body: CreateThread, principal: Principal = caller) -> dict[str, Any]:
        """Make an id for a thread, or check one. Nothing is stored before its first run."""
        thread_id = body.thread_id or new_thread_id()
        require(principal, "start", thread_id)
        if body.thread_id and principal.may("read", thread_id):
            thread = await beginnings.thread(principal, thread_id)
            if thread is not None and body.if_exists == "do_nothing":
                return thread.body()
            if thread is not None:
                raise Problem("thread_exists", f"the thread {thread_id!r:.140} exists", status=409)
        about = {"metadata": body.metadata or {}, "created_at": None, "updated_at": None}
        return {"thread_id": thread_id, "status": "idle", "values": {}, "interrupts": {}, "config": {}, **about}

    @routes.get("/threads/{thread_id}", responses=read_refused)
    async def get_thread(thread_id: ThreadIdPath, principal: Principal = caller) -> dict[str, Any]:
        """The thread, with its status and values."""
        return (await _known(beginnings, principal, thread_id)).body()

    @routes.get("/threads/{thread_id}/state", responses=read_refused)
    async def get_thread_state(thread_id: ThreadIdPath, principal: Principal = caller) -> dict[str, Any]:
        """The thread's state; an empty one without a checkpoint, if it has no run yet."""
        thread = await beginnings.thread(principal, thread_id)
        return {**EMPTY_STATE} if thread is None else thread.state()

    @routes.get("/threads/{thread_id}/state/{checkpoint_id}", responses=read_refused)
    async def get_thread_state_at(
        thread_id: ThreadIdPath, checkpoint_id: CheckpointIdPath, principal: Principal = caller
    ) -> dict[str, Any]:
        """One of the states in the thread's history."""
        return _state_at(await _known(beginnings, principal, thread_id), checkpoint_id)

    @routes.post("/threads/{thread_id}/state/checkpoint", responses=refused)
    async def get_thread_state_at_checkpoint(
        thread_id: ThreadIdPath, body: StateRequest, principal: Principal = caller
    ) -> dict[str, Any]:
        """The same for a checkpoint as the history has it; the newest state, if that has no id."""
        thread = await _known(beginnings, principal, thread_id)
        checkpoint_id = body.checkpoint.checkpoint_id
        return thread.state() if checkpoint_id is None else _state_at(thread, checkpoint_id)

    @routes.post("/threads/{thread_id}/history", responses=refused)
    async def get_thread_history(
        thread_id: ThreadIdPath, body: HistoryRequest, principal: Principal = caller
    ) -> list[dict[str, Any]]:
        """The thread's states, the newest first: where it is, and the ends of its earlier plans."""
        thread = await beginnings.thread(principal, thread_id)
        return [*thread.states()[: body.limit]] if thread else []

    routes.routes.extend(_changes(hub).routes)
    routes.routes.extend(_search(hub).routes)
    return routes


def _changes(hub: Hub) -> APIRouter:
    """The routes that change a thread, or would."""
    routes = new_router()
    beginnings = Beginnings(hub)
    caller: Principal = Depends(caller_of(hub))

    @routes.patch("/threads/{thread_id}", responses=details(400, 401, 403, 404, 408, 413, 415, 422, 429, 503))
    async def update_thread(
        thread_id: ThreadIdPath, body: UpdateThread, principal: Principal = caller
    ) -> dict[str, Any]:
        """The thread. Its metadata are those of its plan: a request that would change them is refused."""
        thread = (await _known(beginnings, principal, thread_id)).body()
        if body.ttl is not None:
            raise Problem(ErrorCode.INVALID_FIELD, "ttl: not supported by this hub; leave it out")
        known = thread["metadata"]
        if names := ", ".join(name for name, value in (body.metadata or {}).items() if known.get(name) != value):
            detail = f"metadata: this hub stores none, so {names:.200} can't be set; the thread has {', '.join(known)}"
            raise Problem(ErrorCode.INVALID_FIELD, detail)
        return thread

    @routes.delete("/threads/{thread_id}", status_code=204, responses=details(401, 403, 404, 409, 422, 429, 503))
    async def delete_thread(thread_id: ThreadIdPath, principal: Principal = caller) -> None:
        """Delete all plans of the thread, which must have ended. Their subscribers are notified."""
        if not await Threads(hub).delete(principal, thread_id):
            raise Problem("no_such_thread", f"there is no thread {thread_id!r:.140}", status=404)

    return routes


def _search(hub: Hub) -> APIRouter:
    """The route that finds threads."""
    routes = new_router()
    beginnings = Beginnings(hub)
    caller: Principal = Depends(caller_of(hub))
    refused = details(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)

    @routes.post("/threads/search", responses=refused)
    async def search_threads(
        body: SearchThreads, request: Request, principal: Principal = caller
    ) -> list[dict[str, Any]]:
        """The threads that the caller may read, the last active first."""
        ids = body.ids if body.ids is not None else await _recent(hub, request, principal)
        found: list[dict[str, Any]] = []
        for thread_id in ids:
            if len(found) >= body.offset + body.limit:
                break
            thread = await _readable(beginnings, principal, thread_id)
            found += [thread.body()] if thread and _fits(thread, body) else []
        return found[body.offset :]

    return routes


async def _known(beginnings: Beginnings, principal: Principal, thread_id: str) -> Thread:
    thread = await beginnings.thread(principal, thread_id)
    if thread is None:
        raise Problem("no_such_thread", f"there is no thread {thread_id!r:.140}", status=404)
    return thread


def _state_at(thread: Thread, checkpoint_id: str) -> dict[str, Any]:
    for state in thread.states():
        if state["checkpoint"]["checkpoint_id"] == checkpoint_id:
            return state
    raise Problem("no_such_state", "the thread has no such checkpoint; see its history", status=404)


async def _readable(beginnings: Beginnings, principal: Principal, thread_id: str) -> Thread | None:
    """The thread; None if there is none, or the caller may not read it, or a plan of it."""
    try:
        return await beginnings.thread(principal, thread_id)
    except Problem as refusal:
        if refusal.status_code != 403:
            raise
        return None


async def _recent(hub: Hub, request: Request, principal: Principal) -> list[str]:
    def shown(entry: PlanEntry) -> bool:
        return principal.may("read", entry.plan_id)

    entries, _ = await hub.lists.find(holder_of(hub, request, principal), shown, FOUND_AT_ONCE)
    return [*dict.fromkeys(split_plan_id(entry.plan_id)[0] for entry in entries)]


def _fits(thread: Thread, search: SearchThreads) -> bool:
    body = thread.body()
    known = {name: value for name, value in (search.metadata or {}).items() if name in ("graph_id", "assistant_id")}
    return search.status in (None, body["status"]) and known.items() <= body["metadata"].items()
