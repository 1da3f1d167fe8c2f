"""Insight chat by tasks: `POST /api/chat`, then `/api/chat/status/{task_id}` or `/api/chat/stream`, with `insight_chat`.

Ids: a task_id is a UUID made here; its plan's id is `insight-` and that UUID. Any other id, and a task that ended more than
PLANCAST_TASK_SECONDS ago, is not found (404); the plan itself stays in the log. The stream's messages have the status's
shape; each contains only what is new. See docs/dialects/insight_chat.md.
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
from hub.dialects.dialect import FollowedEvent, PlanFeed, SendFrame, Start, rebuilt_events
from hub.dialects.endpoints import DialectStream, as_message
from hub.dialects.interpreter import start_plan
from hub.node import Hub
from hub.transports.sse import HEADERS, BadCursor, position_in
from hub.wire.codes import ErrorCode

__all__ = ["Chat", "ChatMessage", "ChatStatus", "ChatTask", "news", "plan_of", "router", "status_of"]

TEMPLATE: Final = "insight_chat"
_task_id: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_STREAM: Final[dict[str, Any]] = {
    "description": "Messages in the status's shape, each with only what is new.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class Chat(BaseModel):
    """A message of the user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "continue_conversation", "message": "How warm is Lisbon in May?"}]}
    )

    action: Literal["continue_conversation"]
    message: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]


class ChatTask(BaseModel):
    """The message is being processed; request the task's status with the task_id."""

    type: Literal["task_started"] = "task_started"
    task_id: str
    status: Literal["processing"] = "processing"


class ChatMessage(BaseModel):
    """A message for the chat. Its id is the same in the status and in the stream."""

    id: str
    type: str
    """Its subject: intent_parsed, insight_generated and so on."""
    sender: Literal["bot"] = "bot"
    content: str
    data: Any = None
    timestamp: str


class ChatStatus(BaseModel):
    """The status of a task."""

    status: Literal["processing", "completed", "error"]
    messages: list[ChatMessage]
    result: dict[str, Any] | None = None
    error: str | None = None


def plan_of(task_id: str) -> str | None:
    """Returns the id of the task's plan, or None if this is no task's id."""
    return f"insight-{task_id}" if _task_id.match(task_id) else None


# -- from events to the chat


def news(followed: FollowedEvent) -> Iterator[SendFrame]:
    """Translates an event to a status that contains only what is new."""
    match followed.event:
        case AgentMessage(data={"type": str(kind), "payload": payload}) as event:
            message = ChatMessage(
                id=str(followed.position.offset),
                type=kind,
                content=event.content,
                data=payload,
                timestamp=event.timestamp,
            )
            yield _frame(ChatStatus(status="processing", messages=[message]), followed)
        case PlanUpdate(step_id=None, status="completed", data=data):
            yield _frame(ChatStatus(status="completed", messages=[], result=data), followed)
        case PlanUpdate(step_id=None, status="error" | "cancelled", content=content):
            text = content or "The message could not be processed"
            yield _frame(ChatStatus(status="error", messages=[], error=text), followed)
        case _:
            pass


def status_of(snapshot: Snapshot) -> ChatStatus:
    """Returns the status of the plan's task: all of its news joined."""
    status = ChatStatus(status="processing", messages=[])
    for followed in rebuilt_events(snapshot, ""):
        for action in news(followed):
            more = ChatStatus.model_validate(action.frame)
            status = more.model_copy(update={"messages": [*status.messages, *more.messages]})
    return status


def _frame(status: ChatStatus, followed: FollowedEvent) -> SendFrame:
    return SendFrame(status.model_dump(), followed.position)


# -- over HTTP


def router(hub: Hub) -> APIRouter:
    """Returns the dialect's routes."""
    routes = APIRouter(
        prefix="/api/chat", tags=["dialects"], route_class=ApiRoute, generate_unique_id_function=operation_id
    )
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))

    @routes.post("", responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
    async def chat(message: Chat, principal: Principal = starter) -> ChatTask:
        """Send a message; the response names the task that processes it."""
        task_id = str(uuid.uuid4())
        await start_plan(hub, principal, Start(TEMPLATE, {"message": message.message}, f"insight-{task_id}"))
        return ChatTask(task_id=task_id)

    @routes.get("/status/{task_id}", responses=problems(401, 403, 404, 422, 429, 503))
    async def chat_status(
        task_id: Annotated[str, Path(max_length=256, description="The task that `POST /api/chat` named.")],
        response: Response,
        principal: Principal = caller,
    ) -> ChatStatus:
        """The task's status, with all messages so far."""
        snapshot, _ = await _task(hub, principal, task_id)
        response.headers["Cache-Control"] = "no-store"
        return status_of(snapshot)

    @routes.get(
        "/stream",
        response_class=Response,
        responses={200: _STREAM, 204: {"description": "Nothing follows."}, **problems(401, 403, 404, 422, 429, 503)},
    )
    async def chat_stream(
        task_id: Annotated[str, Query(max_length=256, description="The task that `POST /api/chat` named.")],
        request: Request,
        last_event_id: Annotated[
            str | None, Header(alias="Last-Event-ID", max_length=256, description="The id of the last event received.")
        ] = None,
        principal: Principal = caller,
    ) -> Response:
        """The same as server-sent events, until the task ends."""
        snapshot, plan_id = await _task(hub, principal, task_id)
        since = _since(last_event_id)
        if snapshot.ended_at is not None and isinstance(since, Position) and since.offset >= snapshot.offset:
            return Response(status_code=204)  # stops a browser from reconnecting
        stream = DialectStream(hub, request, principal, PlanFeed(plan_id, news, since), as_message)
        return stream.response(HEADERS)

    return routes


async def _task(hub: Hub, principal: Principal, task_id: str) -> tuple[Snapshot, str]:
    """Returns the task's plan, or raises `Problem` if there is no such task (any more)."""
    if (plan_id := plan_of(task_id)) is not None:
        require(principal, "read", plan_id)
        snapshot, _ = await snapshot_of(hub.log, plan_id)
        if snapshot.offset and not _expired(snapshot, hub.settings.task_seconds):
            return snapshot, plan_id
    raise Problem("no_such_task", "there is no such task, or it ended too long ago", status=404, error="Task not found")


def _expired(snapshot: Snapshot, seconds: float) -> bool:
    ended = snapshot.ended_at
    return ended is not None and datetime.fromisoformat(ended).timestamp() + seconds < time.time()


def _since(last_event_id: str | None) -> Since:
    try:
        return position_in(last_event_id) if last_event_id else "start"
    except BadCursor as error:
        raise Problem(ErrorCode.INVALID_FIELD, f"Last-Event-ID: {error}", field="Last-Event-ID") from None
