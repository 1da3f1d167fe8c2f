"""Insight chat by tasks: `POST /api/chat`, then `/api/chat/status/{task_id}` or `/api/chat/stream` over `insight_chat`.

Ids: a task_id is a UUID made here, and its plan is called `insight-` and that UUID. Anything else names no task (404), and
nor does a task that ended more than PLANCAST_TASK_SECONDS ago; its plan stays where plans are kept. The stream's messages
are of the same shape as the status, each with what is new. See docs/dialects/insight_chat.md.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from broadcasters.checkpointing import snapshot_of
from broadcasters.events import AgentMessage, PlanUpdate
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.callers import caller_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import START
from hub.core.subscriber import Since
from hub.dialects.dialect import Recount, Say, Start, Told
from hub.dialects.dialect_events import retelling
from hub.dialects.dialect_stream import Recital, as_message
from hub.dialects.places import BadCursor, place_of
from hub.dialects.starting import start_plan
from hub.node import Hub
from hub.transports.sse import HEADERS
from hub.transports.streaming_response import Outflow
from hub.wire.codes import ErrorCode

__all__ = ["Chat", "ChatMessage", "ChatStatus", "ChatTask", "news", "plan_of", "router", "status_of"]

TEMPLATE: Final = "insight_chat"
_task_id: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_STREAM: Final[dict[str, Any]] = {
    "description": "Messages of the status's shape, each with what is new.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class Chat(BaseModel):
    """What the user says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "continue_conversation", "message": "How warm is Lisbon in May?"}]}
    )

    action: Literal["continue_conversation"]
    message: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]


class ChatTask(BaseModel):
    """Somebody works on it; ask with the task_id how far they are."""

    type: Literal["task_started"] = "task_started"
    task_id: str
    status: Literal["processing"] = "processing"


class ChatMessage(BaseModel):
    """A message for the chat. Its id is the same however it is asked for."""

    id: str
    type: str
    """What it is about: intent_parsed, insight_generated and so on."""
    sender: Literal["bot"] = "bot"
    content: str
    data: Any = None
    timestamp: str


class ChatStatus(BaseModel):
    """How a task stands."""

    status: Literal["processing", "completed", "error"]
    messages: list[ChatMessage]
    result: dict[str, Any] | None = None
    error: str | None = None


def plan_of(task_id: str) -> str | None:
    """The plan that does the task; None when that is no task's id."""
    return f"insight-{task_id}" if _task_id.match(task_id) else None


# -- from events to the chat


def news(told: Told) -> Iterator[Say]:
    """What an event has for the chat, as a status of that alone."""
    match told.event:
        case AgentMessage(data={"type": str(kind), "payload": payload}) as said:
            message = ChatMessage(
                id=str(told.place.offset), type=kind, content=said.content, data=payload, timestamp=said.timestamp
            )
            yield _say(ChatStatus(status="processing", messages=[message]), told)
        case PlanUpdate(step_id=None, status="completed", data=data):
            yield _say(ChatStatus(status="completed", messages=[], result=data), told)
        case PlanUpdate(step_id=None, status="error" | "cancelled", content=content):
            yield _say(ChatStatus(status="error", messages=[], error=content or "It could not be done"), told)
        case _:
            pass


def status_of(snapshot: Snapshot) -> ChatStatus:
    """How the task of this plan stands: all of its news in one."""
    status = ChatStatus(status="processing", messages=[])
    for told in retelling(snapshot, ""):
        for said in news(told):
            more = ChatStatus.model_validate(said.frame)
            status = more.model_copy(update={"messages": [*status.messages, *more.messages]})
    return status


def _say(status: ChatStatus, told: Told) -> Say:
    return Say(status.model_dump(), told.place)


# -- over HTTP


def router(hub: Hub) -> APIRouter:
    """The dialect's routes, for this hub."""
    routes = APIRouter(
        prefix="/api/chat", tags=["dialects"], route_class=ApiRoute, generate_unique_id_function=operation_id
    )
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))

    @routes.post("", responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
    async def chat(said: Chat, principal: Principal = starter) -> ChatTask:
        """Say something; the answer names the task that works on it."""
        task_id = str(uuid.uuid4())
        await start_plan(hub, principal, Start(TEMPLATE, {"message": said.message}, f"insight-{task_id}"))
        return ChatTask(task_id=task_id)

    @routes.get("/status/{task_id}", responses=problems(401, 403, 404, 422, 429, 503))
    async def chat_status(
        task_id: Annotated[str, Path(max_length=256)], response: Response, principal: Principal = caller
    ) -> ChatStatus:
        """How the task stands, with all messages so far."""
        snapshot, _ = await _task(hub, principal, task_id)
        response.headers["Cache-Control"] = "no-store"
        return status_of(snapshot)

    @routes.get(
        "/stream",
        response_class=Response,
        responses={200: _STREAM, 204: {"description": "Nothing follows."}, **problems(401, 403, 404, 422, 429, 503)},
    )
    async def chat_stream(
        task_id: Annotated[str, Query(max_length=256)],
        request: Request,
        last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=256)] = None,
        principal: Principal = caller,
    ) -> Response:
        """The same as it comes, as server-sent events, to the task's end."""
        snapshot, plan_id = await _task(hub, principal, task_id)
        since = _since(last_event_id)
        if snapshot.ended_at is not None and isinstance(since, Position) and since.offset >= snapshot.offset:
            return Response(status_code=204)  # which tells a browser not to come again
        recital = Recital(hub, request, principal, Recount(plan_id, news, since), as_message)
        return Outflow(recital.told(), HEADERS, recital.line.ended, recital.leave)

    return routes


async def _task(hub: Hub, principal: Principal, task_id: str) -> tuple[Snapshot, str]:
    """The task's plan, if there is such a task (still)."""
    if (plan_id := plan_of(task_id)) is not None:
        require(principal, "read", plan_id)
        snapshot, _ = await snapshot_of(hub.log, plan_id)
        if snapshot.offset and not _past(snapshot, hub.settings.task_seconds):
            return snapshot, plan_id
    raise Problem("no_such_task", "there is no such task, or it ended a while ago", status=404, error="Task not found")


def _past(snapshot: Snapshot, seconds: float) -> bool:
    ended = snapshot.ended_at
    return ended is not None and datetime.fromisoformat(ended).timestamp() + seconds < time.time()


def _since(last_event_id: str | None) -> Since:
    try:
        return place_of(last_event_id) if last_event_id else "start"
    except BadCursor as error:
        raise Problem(ErrorCode.INVALID_FIELD, f"Last-Event-ID: {error}", field="Last-Event-ID") from None
