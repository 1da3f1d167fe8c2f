"""An exhibition in progressive stages: `/ws/{session_id}` and `/api/proposals` over the template `exhibition`.

Ids: the plan of a session is `exhibition:` and the session's id (written as hub/dialects/names.py says). The socket may be
opened before the plan is started, while it runs, or after: it is told everything from the beginning. A `progress` frame
never names less than the one before it. See docs/dialects/exhibition.md.
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
from hub.dialects.dialect import Act, Follow, HangUp, Refusal, Say, Speaker, Start, Told
from hub.dialects.names import plan_id_of
from hub.dialects.socket import serve_dialect
from hub.dialects.starting import start_plan
from hub.node import Hub
from hub.wire.codes import CloseCode, ErrorCode

__all__ = [
    "STAGES",
    "ExhibitionStory",
    "ExhibitionTalk",
    "Proposal",
    "ProposalStarted",
    "Theme",
    "plan_of",
    "proposal_of",
    "proposal_url",
    "router",
]

TEMPLATE: Final = "exhibition"
STAGES: Final = {"theme_refinement": 25, "artist_discovery": 55, "artwork_discovery": 90}
"""The template's steps, and the progress when each is complete."""
_NO_ADDRESS: Final = frozenset({".", "..", "chat", "streaming"})
"""As sessions, these would have the sockets of others, or none."""


def plan_of(session_id: str) -> str:
    """The session's plan; `InvalidPlanId` when no plan can be called so."""
    return plan_id_of(TEMPLATE, session_id)


def proposal_url(session_id: str) -> str:
    """Where its proposal is."""
    return f"/api/proposals/{quote(session_id, safe='')}"


# -- from events to frames


class ExhibitionStory:
    """The events of one plan as frames. Each stage is complete once; progress never goes backwards."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._progress = 0
        self._complete: set[str] = set()

    def __call__(self, told: Told) -> Iterator[Say]:
        match told.event:
            case StepUpdate(step_id=stage) as update if stage in STAGES:
                yield from self._of_a_stage(stage, update, told)
            case PlanUpdate(step_id=None, status="completed"):
                url = proposal_url(self._session_id)
                yield Say({"type": "completed", "session_id": self._session_id, "proposal_url": url}, told.place)
            case PlanUpdate(step_id=None, status="error" | "cancelled", content=content):
                yield Say({"type": "error", "error": content or "The exhibition could not be planned"}, told.place)
            case _:
                pass

    def _of_a_stage(self, stage: str, update: StepUpdate, told: Told) -> Iterator[Say]:
        if stage in self._complete:
            return
        if update.status == "completed":
            self._complete.add(stage)
            frame = self._frame("stage_complete", stage, STAGES[stage], f"{_named(stage)} complete", update)
            yield Say({**frame, "completed_stage": stage, "data": update.data or {}}, told.place)
        elif update.status in ("in_progress", "retrying") and update.content:
            overall = int((update.data or {}).get("overall", 0))
            yield Say(self._frame("progress", stage, overall, update.content, update), told.place)

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


def _named(stage: str) -> str:
    return stage.replace("_", " ").capitalize()


class ExhibitionTalk(Speaker):
    """One client on `/ws/{session_id}`: it is told of its session, and has nothing to say itself."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._story = ExhibitionStory(session_id)

    def opened(self) -> Iterable[Act]:
        try:
            follow = Follow(plan_of(self._session_id))
        except InvalidPlanId as error:
            yield Say({"type": "error", "error": f"session_id: {error}"})
            yield HangUp(CloseCode.PROTOCOL_ERROR, "no plan can be called so")
            return
        yield Say({"type": "connected", "session_id": self._session_id})
        yield follow

    def told(self, told: Told) -> Iterable[Act]:
        return self._story(told)

    def garbled(self, why: str) -> Iterable[Act]:
        del why
        return ()

    def refused(self, refusal: Refusal) -> Iterable[Act]:
        yield Say({"type": "error", "error": refusal.message})
        if refusal.code == ErrorCode.FORBIDDEN:
            yield HangUp(CloseCode.FORBIDDEN, refusal.message)


# -- over HTTP


def _addressable(session_id: str) -> str:
    if "/" in session_id or session_id in _NO_ADDRESS:
        raise ValueError("no address leads to a session of this name")
    return session_id


class Theme(BaseModel):
    """What the exhibition is to be about. With a session_id of its own a client can open the socket first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"theme": "Surrealism and dreams"}]})

    theme: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
    session_id: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_addressable)] | None = None


class ProposalStarted(BaseModel):
    """It is being worked on: where to watch, and where the proposal will be."""

    session_id: str
    status: str = "started"
    websocket_url: str
    proposal_url: str


class Proposal(BaseModel):
    """The proposal as far as it is assembled. `status` is completed when nothing more will come."""

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
    """What is there of the proposal: the data of every stage that is complete."""
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
    """The dialect's routes, for this hub."""
    routes = APIRouter(tags=["dialects"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))

    @routes.websocket("/ws/{session_id}")
    async def exhibition_session(websocket: WebSocket, session_id: str) -> None:
        await serve_dialect(hub, websocket, ExhibitionTalk(session_id))

    @routes.post("/api/proposals", status_code=202, responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
    async def start_proposal(said: Theme, principal: Principal = starter) -> ProposalStarted:
        """Start planning an exhibition. Asking again with the same session_id starts nothing new."""
        session_id = said.session_id or str(uuid.uuid4())
        await start_plan(hub, principal, Start(TEMPLATE, {"theme": said.theme}, plan_of(session_id)))
        socket = f"/ws/{quote(session_id, safe='')}"
        return ProposalStarted(session_id=session_id, websocket_url=socket, proposal_url=proposal_url(session_id))

    @routes.get("/api/proposals/{session_id}", responses=problems(401, 403, 404, 422, 429, 503))
    async def get_proposal(
        session_id: Annotated[str, Path(min_length=1, max_length=100)],
        response: Response,
        principal: Principal = caller,
    ) -> Proposal:
        """The proposal, as far as it is assembled."""
        plan_id = plan_of(session_id)
        require(principal, "read", plan_id)
        snapshot, _ = await snapshot_of(hub.log, plan_id)
        if not snapshot.offset:
            raise Problem("no_such_proposal", "nothing was started for this session", status=404)
        response.headers["Cache-Control"] = "no-store"
        return proposal_of(session_id, snapshot)

    return routes
