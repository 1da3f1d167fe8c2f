"""A trip planned by chat: `/ws/chat` and `POST /chat`, with the template `trip`.

Ids: a request has no id in the original format. Its plan's id is `trip-` and 32 random hex digits, sent to the client in
`started`. A client may choose a plan_id that begins with `trip-`; repeating the request then starts nothing new. The
additions (`started`, `poi`, `progress`, `cancel`, `resume`, `authenticate`, and the fields `plan_id`, `place`, `code`) are
ignored by original clients, which do not need them. See docs/dialects/trip.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from starlette.websockets import WebSocket

from broadcasters.events import AgentMessage, PlanUpdate, StepUpdate
from hub.access.principal import Principal
from hub.api.callers import caller_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import START
from hub.core.subscriber import Since
from hub.dialects.dialect import (
    Action,
    ControlPlan,
    Dialect,
    Follow,
    FollowedEvent,
    PlanFeed,
    RefusedAction,
    SendFrame,
    Start,
    Unfollow,
)
from hub.dialects.endpoints import DialectStream, serve_dialect
from hub.dialects.interpreter import start_plan
from hub.node import Hub
from hub.transports.http_stream import KEEP_ALIVE
from hub.transports.sse import BadCursor, position_in
from hub.wire.codes import ErrorCode

__all__ = ["AskTrip", "Trip", "TripDialect", "TripFrames", "new_plan_id", "router"]

TEMPLATE: Final = "trip"
STAGES: Final = {"intents": "intents", "pois": "pois", "requirements": "requirements", "itinerary": "plan"}
"""The template's steps, and the type of the frame with each one's result."""
WAITING: Final = 8
"""How many requests of one client may wait for the one before."""
ANSWER_SECONDS: Final = 120.0
"""How long `POST /chat` waits for the complete result."""
PLAN_ID: Final = r"^trip-[A-Za-z0-9._~-]{1,100}$"
_plan_id: Final = re.compile(PLAN_ID[:-1] + r"\Z")


def new_plan_id() -> str:
    """Returns a plan id for a request without one."""
    return f"trip-{secrets.token_hex(16)}"


# -- from events to frames


class TripFrames:
    """Translates the events of one `trip` plan. The last frame of an event has its position, for `resume`."""

    def __init__(self) -> None:
        self._sent: set[str] = set()

    def __call__(self, followed: FollowedEvent) -> Iterator[SendFrame]:
        frames = [frame for key, frame in self._frames(followed) if self._is_new(key)]
        for frame in frames[:-1]:
            yield SendFrame(frame)
        for frame in frames[-1:]:
            place = f"{followed.position.epoch}:{followed.position.offset}"
            yield SendFrame({**frame, "plan_id": followed.event.plan_id, "place": place}, followed.position)

    def _frames(self, followed: FollowedEvent) -> Iterator[tuple[str | None, dict[str, Any]]]:
        """Yields the event's frames, each with a key that is None or unique to what the frame reports."""
        match followed.event:
            case StepUpdate(step_id=step, status="completed", data=data) if step in STAGES:
                yield step, {"type": STAGES[step], "data": (data or {}).get("result", [])}
            case AgentMessage(data={"poi": poi}):
                yield f"poi {json.dumps(poi, sort_keys=True)}", {"type": "poi", "data": poi}
            case PlanUpdate(step_id=None) as update:
                yield from _plan_frames(update)
            case _:
                pass

    def _is_new(self, key: str | None) -> bool:
        """Whether it was not sent before, by an earlier attempt of a step or before a snapshot repeated it."""
        if key is None:
            return True
        new = key not in self._sent
        self._sent.add(key)
        return new


def _plan_frames(update: PlanUpdate) -> Iterator[tuple[str | None, dict[str, Any]]]:
    if update.progress is not None:
        yield f"progress {update.progress}", {"type": "progress", "percent": int(update.progress)}
    if update.status == "completed":
        yield None, {"type": "done"}
    elif update.status == "cancelled":
        yield None, {"type": "error", "message": update.content or "Cancelled", "code": "cancelled"}
    elif update.status == "error":
        yield None, {"type": "error", "message": _error_message(update)}


def _error_message(update: PlanUpdate) -> str:
    """Returns the update's text, followed by the exception unless the text contains its message."""
    text = update.content or "The trip could not be planned"
    data: Any = (update.data or {}).get("error")
    error = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    message = str(error.get("message") or "")
    return text if message in text else f"{text} ({error.get('type', 'Error')}: {message})"


# -- the socket


class TripDialect(Dialect):
    """One client on `/ws/chat`. Its requests are planned one after the other, in their order."""

    def __init__(self, new_id: Callable[[], str] = new_plan_id) -> None:
        self._new_id = new_id
        self._waiting: deque[Start] = deque()
        self._current: str | None = None
        """The plan whose events the client receives."""
        self._started = self._cancelled = False
        """Whether that plan was started, and whether the client cancelled it before."""
        self._unknown = False
        """Whether that plan was resumed and has had no event since: it may not exist."""
        self._frames = TripFrames()

    def on_message(self, message: Mapping[str, Any]) -> Iterable[Action]:
        match message.get("type"):
            case "cancel":
                return self._cancel()
            case "resume":
                return self._resume(message)
            case _:
                return self._request(message)

    def on_invalid_message(self, reason: str) -> Iterable[Action]:
        yield _error(f"Invalid JSON: {reason}", ErrorCode.BAD_FRAME)

    def on_started(self, plan_id: str) -> Iterable[Action]:
        if plan_id == self._current:
            self._started = True
            yield SendFrame({"type": "started", "plan_id": plan_id})
            yield Follow(plan_id)
            if self._cancelled:
                yield ControlPlan(plan_id, "cancel")

    def on_event(self, followed: FollowedEvent) -> Iterable[Action]:
        if followed.event.plan_id != self._current:
            return
        self._unknown = False
        yield from self._frames(followed)
        if followed.ends_plan:
            yield from self._end(followed.event.plan_id)

    def on_refused(self, refused: RefusedAction) -> Iterable[Action]:
        yield _error(refused.message, refused.code)
        plan_id = self._current
        if plan_id is not None and refused.plan_id == plan_id and (refused.action != "signal" or self._unknown):
            yield from self._end(plan_id)

    def _request(self, message: Mapping[str, Any]) -> Iterator[Action]:
        if (fault := _fault(message)) is not None:
            yield _error(fault, ErrorCode.INVALID_FIELD)
        elif len(self._waiting) >= WAITING:
            yield _error(f"{WAITING} messages are waiting; wait for an answer first", ErrorCode.TOO_MANY_REQUESTS)
        else:
            fields: dict[str, Any] = {"message": message["message"]} | {
                name: message.get(name) or [] for name in _LISTS
            }
            self._waiting.append(Start(TEMPLATE, fields, message.get("plan_id") or self._new_id()))
            yield from self._next()

    def _cancel(self) -> Iterator[Action]:
        if self._current is None:
            yield _error("There is nothing to cancel", ErrorCode.PLAN_ENDED)
        elif self._started:
            yield ControlPlan(self._current, "cancel")
        else:
            self._cancelled = True

    def _resume(self, message: Mapping[str, Any]) -> Iterator[Action]:
        plan_id, place = message.get("plan_id"), message.get("place")
        if not isinstance(plan_id, str) or not _plan_id.match(plan_id):
            yield _error("plan_id: expected that of the `started` frame", ErrorCode.INVALID_PLAN_ID)
        elif self._current is not None:
            text = "This connection is planning a trip; cancel it, or open another connection"
            yield _error(text, ErrorCode.TOO_MANY_REQUESTS)
        else:
            try:
                since: Since = position_in(place) if isinstance(place, str) else "start"
            except BadCursor as error:
                yield _error(f"place: {error}", ErrorCode.INVALID_FIELD)
                return
            self._switch_to(plan_id, started=True)
            self._unknown = True
            yield Follow(plan_id, since)

    def _next(self) -> Iterator[Action]:
        if self._current is None and self._waiting:
            start = self._waiting.popleft()
            self._switch_to(start.plan_id, started=False)
            yield start

    def _switch_to(self, plan_id: str, *, started: bool) -> None:
        self._current, self._started, self._cancelled, self._unknown = plan_id, started, False, False
        self._frames = TripFrames()

    def _end(self, plan_id: str) -> Iterator[Action]:
        self._current = None
        yield Unfollow(plan_id)
        yield from self._next()


_LISTS: Final = ("pois", "requirements", "plan")


def _fault(request: Mapping[str, Any]) -> str | None:
    """Returns what is wrong with a request, or None if it is valid."""
    message, plan_id = request.get("message"), request.get("plan_id")
    if not isinstance(message, str) or not message.strip():
        return "Missing required field: message" if message in (None, "") else "message: expected a text"
    for name in _LISTS:
        items: Any = [] if request.get(name) is None else request[name]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in cast("list[object]", items)):
            return f"{name}: expected a list of objects"
    if plan_id is not None and (not isinstance(plan_id, str) or not _plan_id.match(plan_id)):
        return "plan_id: expected `trip-` and 1 to 100 of A-Z a-z 0-9 . _ ~ -"
    return None


def _error(message: str, code: str) -> SendFrame:
    return SendFrame({"type": "error", "message": message, "code": str(code)})


# -- over HTTP


def _empty_for_null(items: object) -> object:
    return [] if items is None else items


Items = Annotated[list[dict[str, JsonValue]], Field(max_length=200), BeforeValidator(_empty_for_null)]
"""As many as the template accepts. The limit is checked before the items are."""


class AskTrip(BaseModel):
    """The traveller's message and the current state. With a plan_id the request may be repeated safely."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"message": "plan a 3 day trip to Tokyo", "pois": [], "requirements": [], "plan": []}]
        }
    )

    message: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]
    pois: Items = Field(default_factory=list[dict[str, JsonValue]])
    requirements: Items = Field(default_factory=list[dict[str, JsonValue]])
    plan: Items = Field(default_factory=list[dict[str, JsonValue]])
    plan_id: Annotated[str, Field(pattern=PLAN_ID)] | None = None


class Trip(BaseModel):
    """The result. `plan_id` is the plan that made it; its page is `/plan/{plan_id}`."""

    intents: list[dict[str, Any]]
    pois: list[dict[str, Any]]
    requirements: list[dict[str, Any]]
    plan: list[dict[str, Any]]
    plan_id: str


class _SlowRoute(ApiRoute):
    """A route whose response takes as long as a whole trip."""

    seconds = ANSWER_SECONDS + 12.0


def router(hub: Hub) -> APIRouter:
    """Returns the dialect's routes."""
    routes = APIRouter(tags=["dialects"], route_class=_SlowRoute, generate_unique_id_function=operation_id)
    starter: Principal = Depends(caller_of(hub, START))

    @routes.websocket("/ws/chat")
    async def trip_chat(websocket: WebSocket) -> None:
        await serve_dialect(hub, websocket, TripDialect())

    @routes.post("/chat", responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
    async def plan_trip(wanted: AskTrip, request: Request, principal: Principal = starter) -> Trip:
        """Plan a trip by chat; responds when the whole trip is planned. (`/ws/chat` sends each part when it is ready.)"""
        plan_id = wanted.plan_id or new_plan_id()
        require(principal, "read", plan_id)
        await start_plan(hub, principal, Start(TEMPLATE, wanted.model_dump(exclude={"plan_id"}), plan_id))
        frames = await _whole(DialectStream(hub, request, principal, PlanFeed(plan_id, TripFrames())), plan_id)
        return Trip(plan_id=plan_id, **{name: frames[name]["data"] for name in STAGES.values()})

    return routes


async def _whole(stream: DialectStream, plan_id: str) -> Mapping[str, Mapping[str, Any]]:
    """Returns every frame by its type once the trip is planned, or raises `Problem`."""
    sent = stream.frames()
    frames: dict[str, Mapping[str, Any]] = {}
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for data in sent:
                if data != KEEP_ALIVE:
                    frame = json.loads(data)
                    frames[str(frame["type"])] = frame
    except TimeoutError:
        pass
    finally:
        await sent.aclose()
    if "done" in frames:
        return frames
    if "error" in frames:
        code, message = str(frames["error"].get("code", "plan_failed")), str(frames["error"]["message"])
        raise Problem(code, message, status=422, title="The trip could not be planned.", plan_id=plan_id)
    message = "the trip is still being planned; repeat the request with this plan_id"
    raise Problem(ErrorCode.UNAVAILABLE, message, plan_id=plan_id)
