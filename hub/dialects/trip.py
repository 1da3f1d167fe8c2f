"""A trip by chat: `/ws/chat` and `POST /chat` over the template `trip`.

Ids: a request has no id in the original format; the plan it starts is called `trip-` and 32 random digits, and the client
is told so (`started`). A client may choose the plan_id itself, one that begins with `trip-`: sending the same request again
then starts nothing new. What is additive here (`started`, `poi`, `progress`, `cancel`, `resume`, `authenticate`, and the
fields `plan_id`, `place`, `code`) is what original clients ignore, and never need. See docs/dialects/trip.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from hub.dialects.dialect import Act, Follow, Recount, Refusal, Say, Signal, Speaker, Start, Told, Unfollow
from hub.dialects.dialect_stream import KEEP_ALIVE, Recital
from hub.dialects.places import BadCursor, place_of, place_said
from hub.dialects.socket import serve_dialect
from hub.dialects.starting import start_plan
from hub.node import Hub
from hub.wire.codes import ErrorCode

__all__ = ["AskTrip", "Trip", "TripStory", "TripTalk", "new_plan_id", "router"]

TEMPLATE: Final = "trip"
STAGES: Final = {"intents": "intents", "pois": "pois", "requirements": "requirements", "itinerary": "plan"}
"""The template's steps, and the frame that says what each came to."""
WAITING: Final = 8
"""So many requests of one client wait for the one before them."""
PATIENCE_S: Final = 120.0
"""For how long `POST /chat` waits for the whole answer."""
PLAN_ID: Final = r"^trip-[A-Za-z0-9._~-]{1,100}$"
_plan_id: Final = re.compile(PLAN_ID[:-1] + r"\Z")


def new_plan_id() -> str:
    """The id of a plan that a client gave none."""
    return f"trip-{secrets.token_hex(16)}"


# -- from events to frames


class TripStory:
    """The events of one `trip` plan as frames. The last frame of an event carries its place: to resume behind it."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, told: Told) -> Iterator[Say]:
        frames = [frame for name, frame in self._frames(told) if self._first(name)]
        for frame in frames[:-1]:
            yield Say(frame)
        for frame in frames[-1:]:
            yield Say({**frame, "plan_id": told.event.plan_id, "place": place_said(told.place)}, told.place)

    def _frames(self, told: Told) -> Iterator[tuple[str | None, dict[str, Any]]]:
        match told.event:
            case StepUpdate(step_id=step, status="completed", data=data) if step in STAGES:
                yield step, {"type": STAGES[step], "data": (data or {}).get("result", [])}
            case AgentMessage(data={"poi": poi}):
                yield f"poi {json.dumps(poi, sort_keys=True)}", {"type": "poi", "data": poi}
            case PlanUpdate(step_id=None) as update:
                yield from _of_the_plan(update)
            case _:
                pass

    def _first(self, name: str | None) -> bool:
        """Whether it wasn't said before, by an earlier attempt or before a retelling."""
        if name is None:
            return True
        new = name not in self._said
        self._said.add(name)
        return new


def _of_the_plan(update: PlanUpdate) -> Iterator[tuple[str | None, dict[str, Any]]]:
    if update.progress is not None:
        yield f"progress {update.progress}", {"type": "progress", "percent": int(update.progress)}
    if update.status == "completed":
        yield None, {"type": "done"}
    elif update.status == "cancelled":
        yield None, {"type": "error", "message": update.content or "Cancelled", "code": "cancelled"}
    elif update.status == "error":
        yield None, {"type": "error", "message": _reason(update)}


def _reason(update: PlanUpdate) -> str:
    """What went wrong, with the exception where that says more."""
    text = update.content or "It could not be done"
    said: Any = (update.data or {}).get("error")
    error = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    message = str(error.get("message") or "")
    return text if message in text else f"{text} ({error.get('type', 'Error')}: {message})"


# -- the socket


class TripTalk(Speaker):
    """One client on `/ws/chat`. Its requests are worked on one after the other, as they come."""

    def __init__(self, new_id: Callable[[], str] = new_plan_id) -> None:
        self._new_id = new_id
        self._waiting: deque[Start] = deque()
        self._now: str | None = None
        """The plan that the client is told of."""
        self._begun = self._stop = False
        """Whether that plan is known to have been started, and whether it was to be stopped before."""
        self._silent = False
        """Whether that plan was resumed, and nothing was told of it since: perhaps there is none."""
        self._story = TripStory()

    def heard(self, frame: Mapping[str, Any]) -> Iterable[Act]:
        match frame.get("type"):
            case "cancel":
                return self._cancel()
            case "resume":
                return self._resume(frame)
            case _:
                return self._ask(frame)

    def garbled(self, why: str) -> Iterable[Act]:
        yield _error(f"Invalid JSON: {why}", ErrorCode.BAD_FRAME)

    def started(self, plan_id: str) -> Iterable[Act]:
        if plan_id == self._now:
            self._begun = True
            yield Say({"type": "started", "plan_id": plan_id})
            yield Follow(plan_id)
            if self._stop:
                yield Signal(plan_id, "cancel")

    def told(self, told: Told) -> Iterable[Act]:
        if told.event.plan_id != self._now:
            return
        self._silent = False
        yield from self._story(told)
        if told.ending:
            yield from self._ended(told.event.plan_id)

    def refused(self, refusal: Refusal) -> Iterable[Act]:
        yield _error(refusal.message, refusal.code)
        if self._now is not None and refusal.plan_id == self._now and (refusal.act != "signal" or self._silent):
            yield from self._ended(self._now)

    def _ask(self, frame: Mapping[str, Any]) -> Iterator[Act]:
        if (fault := _fault(frame)) is not None:
            yield _error(fault, ErrorCode.INVALID_FIELD)
        elif len(self._waiting) >= WAITING:
            yield _error(f"{WAITING} messages wait already; wait for an answer first", ErrorCode.TOO_MANY_REQUESTS)
        else:
            given: dict[str, Any] = {"message": frame["message"]} | {name: frame.get(name) or [] for name in _LISTS}
            self._waiting.append(Start(TEMPLATE, given, frame.get("plan_id") or self._new_id()))
            yield from self._next()

    def _cancel(self) -> Iterator[Act]:
        if self._now is None:
            yield _error("Nothing is under way that could be cancelled", ErrorCode.PLAN_ENDED)
        elif self._begun:
            yield Signal(self._now, "cancel")
        else:
            self._stop = True

    def _resume(self, frame: Mapping[str, Any]) -> Iterator[Act]:
        plan_id, place = frame.get("plan_id"), frame.get("place")
        if not isinstance(plan_id, str) or not _plan_id.match(plan_id):
            yield _error("plan_id: that of the `started` frame is needed", ErrorCode.INVALID_PLAN_ID)
        elif self._now is not None:
            yield _error("Something is under way on this line; cancel it, or open another", ErrorCode.TOO_MANY_REQUESTS)
        else:
            try:
                since: Since = place_of(place) if isinstance(place, str) else "start"
            except BadCursor as error:
                yield _error(f"place: {error}", ErrorCode.INVALID_FIELD)
                return
            self._turn_to(plan_id, begun=True)
            self._silent = True
            yield Follow(plan_id, since)

    def _next(self) -> Iterator[Act]:
        if self._now is None and self._waiting:
            start = self._waiting.popleft()
            self._turn_to(start.plan_id, begun=False)
            yield start

    def _turn_to(self, plan_id: str, *, begun: bool) -> None:
        self._now, self._begun, self._stop, self._silent = plan_id, begun, False, False
        self._story = TripStory()

    def _ended(self, plan_id: str) -> Iterator[Act]:
        self._now = None
        yield Unfollow(plan_id)
        yield from self._next()


_LISTS: Final = ("pois", "requirements", "plan")


def _fault(frame: Mapping[str, Any]) -> str | None:
    """What is wrong with a request, if anything is."""
    message, plan_id = frame.get("message"), frame.get("plan_id")
    if not isinstance(message, str) or not message.strip():
        return "Missing required field: message" if message in (None, "") else "message: a text is needed"
    for name in _LISTS:
        items: Any = [] if frame.get(name) is None else frame[name]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in cast("list[object]", items)):
            return f"{name}: a list of objects is needed"
    if plan_id is not None and (not isinstance(plan_id, str) or not _plan_id.match(plan_id)):
        return "plan_id: `trip-` and 1 to 100 of A-Z a-z 0-9 . _ ~ - are needed"
    return None


def _error(message: str, code: str) -> Say:
    return Say({"type": "error", "message": message, "code": str(code)})


# -- over HTTP


def _empty_for_null(items: object) -> object:
    return [] if items is None else items


Items = Annotated[list[dict[str, JsonValue]], Field(max_length=200), BeforeValidator(_empty_for_null)]
"""As many as the template takes; what is wrong with each of a million is nothing to look for."""


class AskTrip(BaseModel):
    """What the traveller says, and how things stand. A plan_id makes asking again harmless."""

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
    """What became of it. `plan_id` names the plan that did the work; its page is `/plan/{plan_id}`."""

    intents: list[dict[str, Any]]
    pois: list[dict[str, Any]]
    requirements: list[dict[str, Any]]
    plan: list[dict[str, Any]]
    plan_id: str


class _Patient(ApiRoute):
    """The whole trip in one answer takes its time."""

    seconds = PATIENCE_S + 12.0


def router(hub: Hub) -> APIRouter:
    """The dialect's routes, for this hub."""
    routes = APIRouter(tags=["dialects"], route_class=_Patient, generate_unique_id_function=operation_id)
    starter: Principal = Depends(caller_of(hub, START))

    @routes.websocket("/ws/chat")
    async def trip_chat(websocket: WebSocket) -> None:
        await serve_dialect(hub, websocket, TripTalk())

    @routes.post("/chat", responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
    async def plan_trip(asked: AskTrip, request: Request, principal: Principal = starter) -> Trip:
        """Plan a trip by chat, and answer when all of it is done. (`/ws/chat` tells each part as soon as it is there.)"""
        plan_id = asked.plan_id or new_plan_id()
        require(principal, "read", plan_id)
        await start_plan(hub, principal, Start(TEMPLATE, asked.model_dump(exclude={"plan_id"}), plan_id))
        frames = await _whole(Recital(hub, request, principal, Recount(plan_id, TripStory())), plan_id)
        return Trip(plan_id=plan_id, **{name: frames[name]["data"] for name in STAGES.values()})

    return routes


async def _whole(recital: Recital, plan_id: str) -> Mapping[str, Mapping[str, Any]]:
    """Every frame by its type, once the trip is done; the `Problem` when it won't be."""
    told = recital.told()
    frames: dict[str, Mapping[str, Any]] = {}
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for said in told:
                frames |= _by_type([json.loads(said)] if said != KEEP_ALIVE else [])
    except TimeoutError:
        pass
    finally:
        await told.aclose()
    if "done" in frames:
        return frames
    if "error" in frames:
        code, message = str(frames["error"].get("code", "plan_failed")), str(frames["error"]["message"])
        raise Problem(code, message, status=422, title="The trip could not be planned.", plan_id=plan_id)
    raise Problem(ErrorCode.UNAVAILABLE, "it is still under way; ask again with this plan_id", plan_id=plan_id)


def _by_type(frames: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(frame["type"]): frame for frame in frames}
