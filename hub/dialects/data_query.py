"""A question to the shop's data: `/ws/{user_id}/{session_id}` over the template `data_query`. History: conversations.py.

Ids: a session's questions are plans one after the other, `query:{user}:{session}:1`, `…:2` and so on (names written as
hub/dialects/names.py says). A client follows the plan that is under way, and then the next number, whoever starts that: so
every tab of a session sees every question. Two tabs that ask at once want the same number; each question carries a mark,
and the one whose mark isn't on the plan asks again under a later number. See docs/dialects/data_query.md.
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
from hub.dialects.dialect import Act, Find, Follow, HangUp, Refusal, Say, Signal, Speaker, Start, Told, Unfollow
from hub.dialects.names import plan_id_of
from hub.dialects.socket import serve_dialect
from hub.node import Hub
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["KIND", "TEMPLATE", "QueryStory", "QueryTalk", "Question", "label_of", "router"]

KIND: Final = "query"
TEMPLATE: Final = "data_query"
WAITING: Final = 8
"""So many questions of one client wait to be started."""
MAX_QUERY: Final = 4000
MAX_CONVERSATION: Final = 128


def label_of(kind: str, *names: str) -> str:
    """The label under which the template's plans are found: those of a user, a conversation, a session."""
    return f"{TEMPLATE}:{kind}:{'/'.join(names)}"


# -- from events to frames


class QueryStory:
    """The events of one plan as frames. Progress never goes backwards."""

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._begun = False
        self._progress = 0

    def __call__(self, told: Told) -> Iterator[Say]:
        if not self._begun:
            self._begun = True
            yield self._say("started", told, message="Planning Task...", progress=0)
        match told.event:
            case StepUpdate(status="in_progress", content=str(text), data={"overall": int(overall), **more}):
                if overall > 0:
                    self._progress = max(self._progress, overall)
                    retries = more.get("retry_count", 0)
                    yield self._say("progress", told, message=text, progress=self._progress, retry_count=retries)
            case PlanUpdate(step_id=None, status="completed", data=data):
                result = data or {}
                self._conversation_id = result.get("conversation_id") or self._conversation_id
                said = {"message": "Complete!", "progress": 100, "response": result.get("response", "")}
                yield self._say("completed", told, **said, retries=result.get("retries", {}))
            case PlanUpdate(step_id=None, status="error" | "cancelled", content=content):
                text = content or "The question could not be answered"
                yield self._say("error", told, message=text, error=text)
            case _:
                pass

    def _say(self, kind: str, told: Told, **data: Any) -> Say:
        more = {"conversation_id": self._conversation_id, "query_id": told.event.plan_id}
        return Say({"type": kind, "data": {**data, **more}}, told.place)


# -- the socket


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asked, in which conversation, with a mark of its own."""

    query: str
    conversation_id: str
    mark: str


class QueryTalk(Speaker):
    """One client on `/ws/{user_id}/{session_id}`. `resume`: tell it of the session's newest question even if it is over."""

    def __init__(
        self,
        user_id: str,
        session_id: str,
        resume: bool = False,
        new_mark: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._user_id, self._session_id, self._resume = user_id, session_id, resume
        self._new_mark = new_mark
        self._followed = 0
        """The number of the plan that is followed; 0 until it is known which."""
        self._under_way = False
        self._last = 0
        """The highest number that is known to be taken."""
        self._starting: int | None = None
        self._asked: dict[int, Question] = {}
        """By the number that was tried for each: what has not yet been seen to be a plan."""
        self._waiting: deque[Question] = deque()
        self._story = QueryStory(session_id)

    def opened(self) -> Iterable[Act]:
        try:
            self._plan_id(10**9)  # so that every number fits
        except InvalidPlanId:
            yield _error("user_id and session_id: too long to be kept")
            yield HangUp(CloseCode.PROTOCOL_ERROR, "no plan can be called so")
            return
        yield Find(label_of("session", self._user_id, self._session_id))

    def found(self, plans: Sequence[PlanEntry]) -> Iterable[Act]:
        numbers = {number: plan for plan in plans if (number := self._number_of(plan.plan_id)) is not None}
        self._last = max(numbers, default=0)
        again = self._last > 0 and (self._resume or not numbers[self._last].ended)
        yield from self._follow(self._last if again else self._last + 1)
        yield from self._next()

    def heard(self, frame: Mapping[str, Any]) -> Iterable[Act]:
        match frame.get("type"):
            case "ping":
                yield Say({"type": "pong", "data": {"session_id": self._session_id}})
            case "query":
                yield from self._ask(frame)
            case "cancel" if self._under_way:
                yield Signal(self._plan_id(self._followed), "cancel")
            case "cancel":
                yield _error("Nothing is under way that could be cancelled")
            case other:
                yield _error(f"Unknown message type: {other!r:.60}; query, cancel and ping are known")

    def garbled(self, why: str) -> Iterable[Act]:
        yield _error(f"Invalid JSON: {why}")

    def started(self, plan_id: str) -> Iterable[Act]:
        if self._starting is not None and plan_id == self._plan_id(self._starting):
            self._starting = None
            yield from self._next()

    def told(self, told: Told) -> Iterable[Act]:
        if told.event.plan_id != self._plan_id(self._followed):
            return
        self._last = max(self._last, self._followed)
        if not self._under_way:
            self._begin(told)
        yield from self._story(told)
        if told.ending:
            yield Unfollow(told.event.plan_id)
            yield from self._follow(self._followed + 1)
        yield from self._next()

    def refused(self, refusal: Refusal) -> Iterable[Act]:
        yield _error(refusal.message)
        if refusal.act == "start" and self._starting is not None:
            self._asked.pop(self._starting, None)
            self._last = max(self._last - 1, 0) if self._last == self._starting else self._last
            self._starting = None
            yield from self._next()
        elif refusal.act in ("find", "follow"):
            yield HangUp(CloseCode.FORBIDDEN if refusal.code == ErrorCode.FORBIDDEN else CloseCode.INTERNAL)

    # -- one question after the other

    def _ask(self, frame: Mapping[str, Any]) -> Iterator[Act]:
        query, conversation = frame.get("query"), frame.get("conversation_id") or self._session_id
        if not isinstance(query, str) or not query.strip():
            yield _error("Missing required field: query")
        elif len(query) > MAX_QUERY:
            yield _error(f"query: at most {MAX_QUERY:,} characters")
        elif not isinstance(conversation, str) or len(conversation) > MAX_CONVERSATION:
            yield _error(f"conversation_id: a text of at most {MAX_CONVERSATION} characters")
        elif len(self._waiting) >= WAITING:
            yield _error(f"{WAITING} questions wait already; wait for an answer first")
        else:
            self._waiting.append(Question(query, conversation, self._new_mark()))
            yield from self._next()

    def _next(self) -> Iterator[Act]:
        if self._followed and self._starting is None and self._waiting:
            question = self._waiting.popleft()
            self._last += 1
            self._starting = self._last
            self._asked[self._last] = question
            yield Start(TEMPLATE, self._given(question), self._plan_id(self._last))

    def _given(self, question: Question) -> dict[str, Any]:
        who = {"user_id": self._user_id, "session_id": self._session_id}
        said = {"query": question.query, "conversation_id": question.conversation_id, "asking": question.mark}
        return {**said, **who, "may_ask": False}  # this front end has no words for a question in return

    def _begin(self, told: Told) -> None:
        """The first event of a plan says by its labels whose question it is."""
        self._under_way = True
        labels = told.event.labels or [] if isinstance(told.event, PlanUpdate) else []
        asked = self._asked.pop(self._followed, None)
        if asked is not None and labels and f"{TEMPLATE}:asking:{asked.mark}" not in labels:
            self._waiting.appendleft(asked)
        begins = label_of("conversation", self._user_id, "")
        conversation = [label.removeprefix(begins) for label in labels if label.startswith(begins)]
        self._story = QueryStory(conversation[0] if conversation else self._session_id)

    def _follow(self, number: int) -> Iterator[Act]:
        self._followed, self._under_way = number, False
        yield Follow(self._plan_id(number))

    def _plan_id(self, number: int) -> str:
        return plan_id_of(KIND, self._user_id, self._session_id, str(number))

    def _number_of(self, plan_id: str) -> int | None:
        beginning, _, number = plan_id.rpartition(":")
        ours = (
            number.isascii() and number.isdecimal() and beginning == plan_id_of(KIND, self._user_id, self._session_id)
        )
        return int(number) if ours else None


def _error(message: str) -> Say:
    return Say({"type": "error", "data": {"message": message, "error": message}})


def router(hub: Hub) -> APIRouter:
    """The dialect's socket, for this hub."""
    routes = APIRouter()

    @routes.websocket("/ws/{user_id}/{session_id}")
    async def query_session(websocket: WebSocket, user_id: str, session_id: str, resume: bool = Query(False)) -> None:
        await serve_dialect(hub, websocket, QueryTalk(user_id, session_id, resume))

    return routes
