"""Questions about a shop's data: `/ws/{user_id}/{session_id}`, with the template `data_query`. History: conversations.py.

Ids: a session's questions are consecutive plans, `query:{user}:{session}:1`, `…:2` and so on (names escaped by
`plan_id_of`). A client follows the running plan, and then the next number, whichever client starts that plan: so every tab
of a session receives every question. If two tabs ask at once, both start the same number. Each question carries a marker;
the tab whose marker is not on the plan asks again with a later number. See docs/dialects/data_query.md.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Query
from starlette.websockets import WebSocket

from broadcasters.errors import InvalidPlanId
from broadcasters.events import PlanUpdate, StepUpdate
from broadcasters.log.contract import PlanEntry
from hub.dialects.dialect import (
    Action,
    ControlPlan,
    Dialect,
    Disconnect,
    FindPlans,
    Follow,
    FollowedEvent,
    RefusedAction,
    SendFrame,
    Start,
    Unfollow,
    plan_id_of,
)
from hub.dialects.endpoints import serve_dialect
from hub.node import Hub
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["KIND", "TEMPLATE", "QueryDialect", "QueryFrames", "QueuedQuery", "label_of", "router"]

KIND: Final = "query"
TEMPLATE: Final = "data_query"
WAITING: Final = 8
"""How many questions of one client may wait to be started."""
MAX_QUERY: Final = 4000
MAX_CONVERSATION: Final = 128


def label_of(kind: str, *names: str) -> str:
    """Returns the label of the template's plans of a user, a conversation or a session."""
    return f"{TEMPLATE}:{kind}:{'/'.join(names)}"


# -- from events to frames


class QueryFrames:
    """Translates the events of one plan. Progress never decreases."""

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._started = False
        self._progress = 0

    def __call__(self, followed: FollowedEvent) -> Iterator[SendFrame]:
        if not self._started:
            self._started = True
            yield self._frame("started", followed, message="Planning Task...", progress=0)
        match followed.event:
            case StepUpdate(status="in_progress", content=str(text), data={"overall": int(overall), **more}):
                if overall > 0:
                    self._progress = max(self._progress, overall)
                    retries = more.get("retry_count", 0)
                    yield self._frame("progress", followed, message=text, progress=self._progress, retry_count=retries)
            case PlanUpdate(step_id=None, status="completed", data=data):
                result = data or {}
                self._conversation_id = result.get("conversation_id") or self._conversation_id
                fields = {"message": "Complete!", "progress": 100, "response": result.get("response", "")}
                yield self._frame("completed", followed, **fields, retries=result.get("retries", {}))
            case PlanUpdate(step_id=None, status="error" | "cancelled", content=content):
                text = content or "The question could not be answered"
                yield self._frame("error", followed, message=text, error=text)
            case _:
                pass

    def _frame(self, kind: str, followed: FollowedEvent, **data: Any) -> SendFrame:
        ids = {"conversation_id": self._conversation_id, "query_id": followed.event.plan_id}
        return SendFrame({"type": kind, "data": {**data, **ids}}, followed.position)


# -- the socket


@dataclass(frozen=True, slots=True)
class QueuedQuery:
    """A client's question, its conversation, and a marker of its own."""

    query: str
    conversation_id: str
    marker: str


class QueryDialect(Dialect):
    """One client on `/ws/{user_id}/{session_id}`. With `resume` it receives the session's newest question even if that
    has ended."""

    def __init__(
        self,
        user_id: str,
        session_id: str,
        resume: bool = False,
        new_marker: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._user_id, self._session_id, self._resume = user_id, session_id, resume
        self._new_marker = new_marker
        self._followed = 0
        """The number of the followed plan; 0 until it is known."""
        self._running = False
        """Whether the followed plan has had an event."""
        self._last = 0
        """The highest number that is known to be taken."""
        self._starting: int | None = None
        self._asked: dict[int, QueuedQuery] = {}
        """The started questions by their numbers, until it is known whose question got the number."""
        self._waiting: deque[QueuedQuery] = deque()
        self._frames = QueryFrames(session_id)

    def on_open(self) -> Iterable[Action]:
        try:
            self._plan_id(10**9)  # so that every number fits
        except InvalidPlanId:
            yield _error("user_id and session_id are too long together")
            yield Disconnect(CloseCode.PROTOCOL_ERROR, "no plan id can be made of this user_id and session_id")
            return
        yield FindPlans(label_of("session", self._user_id, self._session_id))

    def on_found(self, plans: Sequence[PlanEntry]) -> Iterable[Action]:
        numbers = {number: plan for plan in plans if (number := self._number_of(plan.plan_id)) is not None}
        self._last = max(numbers, default=0)
        follow_last = self._last > 0 and (self._resume or not numbers[self._last].ended)
        yield from self._follow(self._last if follow_last else self._last + 1)
        yield from self._next()

    def on_message(self, message: Mapping[str, Any]) -> Iterable[Action]:
        match message.get("type"):
            case "ping":
                yield SendFrame({"type": "pong", "data": {"session_id": self._session_id}})
            case "query":
                yield from self._ask(message)
            case "cancel" if self._running:
                yield ControlPlan(self._plan_id(self._followed), "cancel")
            case "cancel":
                yield _error("There is nothing to cancel")
            case other:
                yield _error(f"Unknown message type: {other!r:.60}; expected query, cancel or ping")

    def on_invalid_message(self, reason: str) -> Iterable[Action]:
        yield _error(f"Invalid JSON: {reason}")

    def on_started(self, plan_id: str) -> Iterable[Action]:
        if self._starting is not None and plan_id == self._plan_id(self._starting):
            self._starting = None
            yield from self._next()

    def on_event(self, followed: FollowedEvent) -> Iterable[Action]:
        if followed.event.plan_id != self._plan_id(self._followed):
            return
        self._last = max(self._last, self._followed)
        if not self._running:
            self._begin(followed)
        yield from self._frames(followed)
        if followed.ends_plan:
            yield Unfollow(followed.event.plan_id)
            yield from self._follow(self._followed + 1)
        yield from self._next()

    def on_refused(self, refused: RefusedAction) -> Iterable[Action]:
        yield _error(refused.message)
        if refused.action == "start" and self._starting is not None:
            self._asked.pop(self._starting, None)
            self._last = max(self._last - 1, 0) if self._last == self._starting else self._last
            self._starting = None
            yield from self._next()
        elif refused.action in ("find", "follow"):
            yield Disconnect(CloseCode.FORBIDDEN if refused.code == ErrorCode.FORBIDDEN else CloseCode.INTERNAL)

    # -- one question after the other

    def _ask(self, message: Mapping[str, Any]) -> Iterator[Action]:
        query, conversation = message.get("query"), message.get("conversation_id") or self._session_id
        if not isinstance(query, str) or not query.strip():
            yield _error("Missing required field: query")
        elif len(query) > MAX_QUERY:
            yield _error(f"query: expected at most {MAX_QUERY:,} characters")
        elif not isinstance(conversation, str) or len(conversation) > MAX_CONVERSATION:
            yield _error(f"conversation_id: expected a text of at most {MAX_CONVERSATION} characters")
        elif len(self._waiting) >= WAITING:
            yield _error(f"{WAITING} questions are waiting; wait for an answer first")
        else:
            self._waiting.append(QueuedQuery(query, conversation, self._new_marker()))
            yield from self._next()

    def _next(self) -> Iterator[Action]:
        if self._followed and self._starting is None and self._waiting:
            question = self._waiting.popleft()
            self._last += 1
            self._starting = self._last
            self._asked[self._last] = question
            yield Start(TEMPLATE, self._input(question), self._plan_id(self._last))

    def _input(self, question: QueuedQuery) -> dict[str, Any]:
        return {
            "query": question.query,
            "conversation_id": question.conversation_id,
            "asking": question.marker,
            "user_id": self._user_id,
            "session_id": self._session_id,
            "may_ask": False,  # this format has no frame for a question to the user
        }

    def _begin(self, followed: FollowedEvent) -> None:
        """Reads from the labels of a plan's first event whose question it is."""
        self._running = True
        labels = followed.event.labels or [] if isinstance(followed.event, PlanUpdate) else []
        asked = self._asked.pop(self._followed, None)
        if asked is not None and labels and f"{TEMPLATE}:asking:{asked.marker}" not in labels:
            self._waiting.appendleft(asked)
        prefix = label_of("conversation", self._user_id, "")
        conversation = [label.removeprefix(prefix) for label in labels if label.startswith(prefix)]
        self._frames = QueryFrames(conversation[0] if conversation else self._session_id)

    def _follow(self, number: int) -> Iterator[Action]:
        self._followed, self._running = number, False
        yield Follow(self._plan_id(number))

    def _plan_id(self, number: int) -> str:
        return plan_id_of(KIND, self._user_id, self._session_id, str(number))

    def _number_of(self, plan_id: str) -> int | None:
        prefix, _, number = plan_id.rpartition(":")
        ours = number.isascii() and number.isdecimal() and prefix == plan_id_of(KIND, self._user_id, self._session_id)
        return int(number) if ours else None


def _error(message: str) -> SendFrame:
    return SendFrame({"type": "error", "data": {"message": message, "error": message}})


def router(hub: Hub) -> APIRouter:
    """Returns the dialect's socket."""
    routes = APIRouter()

    @routes.websocket("/ws/{user_id}/{session_id}")
    async def query_session(websocket: WebSocket, user_id: str, session_id: str, resume: bool = Query(False)) -> None:
        await serve_dialect(hub, websocket, QueryDialect(user_id, session_id, resume))

    return routes
