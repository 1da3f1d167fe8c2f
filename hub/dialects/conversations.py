"""The history of data queries: `/conversations/{user_id}` and its messages, from the log's index and its plans.

A conversation is a label of its plans. Only plans of the user's own sessions count (data_query.py), so no client can write
into another user's history. Reading a user's history requires the right to read `query:{user}:*`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel

from broadcasters.checkpointing import snapshot_of
from broadcasters.log.contract import PlanEntry, PlanLog
from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.callers import caller_of, holder_of, require
from hub.api.problems import problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import SNAPSHOT
from hub.core.shares import Holder
from hub.dialects.data_query import KIND, label_of
from hub.dialects.dialect import plan_id_of
from hub.node import Hub
from hub.protocols.threads import request_of

__all__ = [
    "Conversation",
    "ConversationMessage",
    "Conversations",
    "Messages",
    "conversations_of",
    "messages_of",
    "preview",
    "router",
]

MAX_PLANS: Final = 1000
"""How many questions a history contains."""
CONCURRENT_READS: Final = 8
PREVIEW: Final = 100

UserPath = Annotated[str, Path(min_length=1, max_length=64, examples=["ada"], description="The user.")]


class Conversation(BaseModel):
    """One of a user's conversations."""

    conversation_id: str
    created_at: str
    last_updated: str
    message_count: int
    preview: str
    """The beginning of the first question, at most 100 characters."""


class Conversations(BaseModel):
    """A user's conversations, the newest first."""

    user_id: str
    conversations: list[Conversation]
    count: int


class ConversationMessage(BaseModel):
    """A user's question or its answer."""

    message_id: str
    role: Literal["user", "assistant"]
    content: str
    timestamp: str


class Messages(BaseModel):
    """The newest messages of a conversation, in their order."""

    user_id: str
    conversation_id: str
    messages: list[ConversationMessage]
    count: int


def preview(text: str) -> str:
    """Returns at most 100 characters of the text."""
    text = " ".join(text.split())
    return text if len(text) <= PREVIEW else f"{text[: PREVIEW - 3]}..."


def conversations_of(user_id: str, plans: Sequence[PlanEntry]) -> Conversations:
    """Groups plans, the last active first, by conversation."""
    prefix = label_of("conversation", user_id, "")
    by_id: dict[str, list[PlanEntry]] = {}
    for plan in plans:
        for label in plan.labels:
            if label.startswith(prefix):
                by_id.setdefault(label.removeprefix(prefix), []).append(plan)
    found = [_conversation(conversation_id, its) for conversation_id, its in by_id.items()]
    return Conversations(user_id=user_id, conversations=found, count=len(found))


def _conversation(conversation_id: str, plans: Sequence[PlanEntry]) -> Conversation:
    first = min(plans, key=lambda plan: plan.created_at)
    return Conversation(
        conversation_id=conversation_id,
        created_at=first.created_at,
        last_updated=max(plan.updated_at for plan in plans),
        message_count=sum(1 + (plan.status == "completed") for plan in plans),
        preview=preview(first.title or ""),
    )


def messages_of(snapshot: Snapshot) -> list[ConversationMessage]:
    """Returns a plan's messages in a conversation: the question, and the answer once there is one."""
    result: dict[str, Any] = snapshot.result or {}
    messages = [_message(snapshot, "user", str(result.get("query") or request_of(snapshot)), snapshot.created_at)]
    if snapshot.status == "completed":
        messages.append(_message(snapshot, "assistant", str(result.get("response", "")), snapshot.ended_at))
    return messages


def _message(
    snapshot: Snapshot, role: Literal["user", "assistant"], content: str, at: str | None
) -> ConversationMessage:
    message_id = f"{snapshot.plan_id}:{role}"
    return ConversationMessage(message_id=message_id, role=role, content=content, timestamp=at or "")


async def _plans(hub: Hub, holder: Holder, user_id: str, label: str, limit: int) -> list[PlanEntry]:
    """Returns the plans with this label of the user's sessions, the last active first."""
    prefix = plan_id_of(KIND, user_id) + ":"
    found, _ = await hub.lists.find(holder, lambda plan: plan.plan_id.startswith(prefix), limit, label=label)
    return found


async def _messages(log: PlanLog, plans: Sequence[PlanEntry]) -> list[ConversationMessage]:
    """Returns the plans' messages, by the time the plans were created. Few snapshots are in memory at the same time."""
    limit = asyncio.Semaphore(CONCURRENT_READS)

    async def read(plan: PlanEntry) -> tuple[str, list[ConversationMessage]]:
        async with limit:
            snapshot, _ = await snapshot_of(log, plan.plan_id)
            return snapshot.created_at or "", messages_of(snapshot)

    read_plans = sorted(await asyncio.gather(*map(read, plans)), key=lambda one: one[0])
    return [message for _, messages in read_plans for message in messages]


def router(hub: Hub) -> APIRouter:
    """Returns the history's routes."""
    routes = APIRouter(
        prefix="/conversations", tags=["dialects"], route_class=ApiRoute, generate_unique_id_function=operation_id
    )
    caller: Principal = Depends(caller_of(hub))

    @routes.get("/{user_id}", responses=problems(401, 403, 422, 429, 503))
    async def get_conversations(user_id: UserPath, request: Request, principal: Principal = caller) -> Conversations:
        """The user's conversations, the newest first."""
        require(principal, "read", plan_id_of(KIND, user_id) + ":")
        holder, label = holder_of(hub, request, principal), label_of("user", user_id)
        return conversations_of(user_id, await _plans(hub, holder, user_id, label, MAX_PLANS))

    @routes.get("/{user_id}/{conversation_id:path}/messages", responses=problems(401, 403, 404, 422, 429, 503))
    async def get_messages(
        user_id: UserPath,
        conversation_id: Annotated[str, Path(min_length=1, max_length=128, description="The conversation.")],
        request: Request,
        limit: Annotated[int, Query(ge=1, le=500, description="The maximum number of messages.")] = 50,
        principal: Principal = caller,
    ) -> Messages:
        """The newest messages of a conversation, in their order."""
        require(principal, "read", plan_id_of(KIND, user_id) + ":")
        holder, label = holder_of(hub, request, principal), label_of("conversation", user_id, conversation_id)
        plans = await _plans(hub, holder, user_id, label, limit)
        hub.admission.rates.owe(holder, len(plans) * SNAPSHOT)
        messages = (await _messages(hub.log, plans))[-limit:]
        return Messages(user_id=user_id, conversation_id=conversation_id, messages=messages, count=len(messages))

    return routes
