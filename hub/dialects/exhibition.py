"""An exhibition planned in stages: `/ws/{session_id}` and `/api/proposals`, with the template `exhibition`.

Ids: a session's plan is `exhibition:` and the session's id (escaped by `plan_id_of`). The socket may be opened before the
plan is started, while it runs, or afterwards; it sends everything from the beginning. The progress in frames never
decreases. See docs/dialects/exhibition.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.websockets import WebSocket

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidPlanId
from broadcasters.events import PlanStatus, PlanUpdate, StepUpdate
from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.callers import caller_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.core.rates import START
from hub.dialects.dialect import (
    Action,
    Dialect,
    Disconnect,
    Follow,
    FollowedEvent,
    RefusedAction,
    SendFrame,
    Start,
    plan_id_of,
)
from hub.dialects.endpoints import serve_dialect
from hub.dialects.interpreter import start_plan
from hub.node import Hub
from hub.wire.codes import CloseCode, ErrorCode

__all__ = [
    "STAGES",
    "ExhibitionDialect",
    "ExhibitionFrames",
    "Proposal",
    "ProposalRequest",
    "ProposalStarted",
    "plan_of",
    "proposal_of",
    "proposal_url",
    "router",
]

TEMPLATE: Final = "exhibition"
STAGES: Final = {"theme_refinement": 25, "artist_discovery": 55, "artwork_discovery": 90}
"""The template's steps, and the overall progress when each is complete."""
_NOT_ADDRESSABLE: Final = frozenset({".", "..", "chat", "streaming"})
"""Session ids whose sockets would be other routes, or none."""


def plan_of(session_id: str) -> str:
    """Returns the id of the session's plan; raises `InvalidPlanId`."""
    return plan_id_of(TEMPLATE, session_id)


def proposal_url(session_id: str) -> str:
    """Returns the URL of the session's proposal."""
    return f"/api/proposals/{quote(session_id, safe='')}"


# -- from events to frames


class ExhibitionFrames:
    """Translates the events of one plan. Each stage completes once; progress never decreases."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._progress = 0
        self._complete: set[str] = set()

    def __call__(self, followed: FollowedEvent) -> Iterator[SendFrame]:
        match followed.event:
            case StepUpdate(step_id=stage) as update if stage in STAGES:
                yield from self._stage_frames(stage, update, followed)
            case PlanUpdate(step_id=None, status="completed"):
                url = proposal_url(self._session_id)
                frame = {"type": "completed", "session_id": self._session_id, "proposal_url": url}
                yield SendFrame(frame, followed.position)
            case PlanUpdate(step_id=None, status="error" | "cancelled", content=content):
                frame = {"type": "error", "error": content or "The exhibition could not be planned"}
                yield SendFrame(frame, followed.position)
            case _:
                pass

    def _stage_frames(self, stage: str, update: StepUpdate, followed: FollowedEvent) -> Iterator[SendFrame]:
        if stage in self._complete:
            return
        if update.status == "completed":
            self._complete.add(stage)
            frame = self._frame("stage_complete", stage, STAGES[stage], f"{_title(stage)} complete", update)
            yield SendFrame({**frame, "completed_stage": stage, "data": update.data or {}}, followed.position)
        elif update.status in ("in_progress", "retrying") and update.content:
            overall = int((update.data or {}).get("overall", 0))
            yield SendFrame(self._frame("progress", stage, overall, update.content, update), followed.position)

    def _frame(self, kind: str, stage: str, progress: int, message: str, update: StepUpdate) -> dict[str, Any]:
        self._progress = max(self._progress, progress)
        return {
            "type": kind,
            "session_id": self._session_id,
            "stage": stage,
            "progress": self._progress,
            "message": message,
            "updated_at": update.timestamp,
        }


def _title(stage: str) -> str:
    return stage.replace("_", " ").capitalize()


class ExhibitionDialect(Dialect):
    """One client on `/ws/{session_id}`: it receives its session's frames, and has no messages of its own."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._frames = ExhibitionFrames(session_id)

    def on_open(self) -> Iterable[Action]:
        try:
            follow = Follow(plan_of(self._session_id))
        except InvalidPlanId as error:
            yield SendFrame({"type": "error", "error": f"session_id: {error}"})
            yield Disconnect(CloseCode.PROTOCOL_ERROR, "no plan id can be made of this session_id")
            return
        yield SendFrame({"type": "connected", "session_id": self._session_id})
        yield follow

    def on_event(self, followed: FollowedEvent) -> Iterable[Action]:
        return self._frames(followed)

    def on_invalid_message(self, reason: str) -> Iterable[Action]:
        del reason
        return ()

    def on_refused(self, refused: RefusedAction) -> Iterable[Action]:
        yield SendFrame({"type": "error", "error": refused.message})
        if refused.code == ErrorCode.FORBIDDEN:
            yield Disconnect(CloseCode.FORBIDDEN, refused.message)


# -- over HTTP


def _addressable(session_id: str) -> str:
    if "/" in session_id or session_id in _NOT_ADDRESSABLE:
        raise ValueError("this session_id can't be part of a URL; expected one without / that is no path of its own")
    return session_id


class ProposalRequest(BaseModel):
    """The theme of the exhibition. A client that sets its session_id can open the socket first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"theme": "Surrealism and dreams"}]})

    theme: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
    session_id: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_addressable)] | None = None


class ProposalStarted(BaseModel):
    """The exhibition is being planned: where to watch it, and where the proposal will be."""

    session_id: str
    status: str = "started"
    websocket_url: str
    proposal_url: str


class Proposal(BaseModel):
    """The proposal as far as it is complete. It is final when its `status` is completed."""

    session_id: str
    status: PlanStatus
    progress: int
    error: str | None = None
    exhibition_title: str | None = None
    subtitle: str | None = None
    curatorial_statement: str | None = None
    scholarly_rationale: str | None = None
    artists: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    artworks: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    created_at: str
    updated_at: str


def proposal_of(session_id: str, snapshot: Snapshot) -> Proposal:
    """Returns the proposal as far as it is complete: the data of every completed stage."""
    done = {step.step_id: step.data or {} for step in snapshot.steps if step.status == "completed"}
    parts: dict[str, Any] = {}
    for stage in STAGES:
        parts |= done.get(stage, {})
    ended = snapshot.status == "completed"
    return Proposal.model_validate(
        {
            **{name: value for name, value in parts.items() if name in Proposal.model_fields},
            "session_id": session_id,
            "status": snapshot.status,
            "progress": 100 if ended else max([STAGES[stage] for stage in STAGES if stage in done], default=0),
            "error": snapshot.content if snapshot.status in ("error", "cancelled") else None,
            "created_at": snapshot.created_at,
            "updated_at": snapshot.updated_at,
        }
    )


def router(hub: Hub) -> APIRouter:
    """Returns the dialect's routes."""
    routes = APIRouter(tags=["dialects"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))

    @routes.websocket("/ws/{session_id}")
    async def exhibition_session(websocket: WebSocket, session_id: str) -> None:
        await serve_dialect(hub, websocket, ExhibitionDialect(session_id))

    @routes.post("/api/proposals", status_code=202, responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
    async def start_proposal(wanted: ProposalRequest, principal: Principal = starter) -> ProposalStarted:
        """Start planning an exhibition. Repeating the request with the same session_id starts nothing new."""
        session_id = wanted.session_id or str(uuid.uuid4())
        await start_plan(hub, principal, Start(TEMPLATE, {"theme": wanted.theme}, plan_of(session_id)))
        socket = f"/ws/{quote(session_id, safe='')}"
        return ProposalStarted(session_id=session_id, websocket_url=socket, proposal_url=proposal_url(session_id))

    @routes.get("/api/proposals/{session_id}", responses=problems(401, 403, 404, 422, 429, 503))
    async def get_proposal(
        session_id: Annotated[
            str, Path(min_length=1, max_length=100, description="The session that `POST /api/proposals` named.")
        ],
        response: Response,
        principal: Principal = caller,
    ) -> Proposal:
        """The proposal, as far as it is complete."""
        plan_id = plan_of(session_id)
        require(principal, "read", plan_id)
        snapshot, _ = await snapshot_of(hub.log, plan_id)
        if not snapshot.offset:
            raise Problem("no_such_proposal", "no exhibition was started for this session", status=404)
        response.headers["Cache-Control"] = "no-store"
        return proposal_of(session_id, snapshot)

    return routes
