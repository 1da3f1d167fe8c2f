"""Plans over HTTP: lists, snapshots, and forgetting."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent
from broadcasters.events import PlanStatus
from broadcasters.log.contract import PlanEntry
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, encode
from hub.access.principal import Principal
from hub.access.tickets import ticket_key
from hub.api.callers import PlanIdPath, caller_of, holder_of, require
from hub.api.problems import Problem, problems
from hub.api.route import ApiRoute, operation_id
from hub.node import Hub

__all__ = [
    "Cursors",
    "PlanList",
    "PlanSummary",
    "etag",
    "router",
]

NONCE: Final = 12


class Cursors:
    """`key` is a secret of the hub's, the same on all its nodes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"plancast cursor 1", "sha256"))

    def seal(self, cursor: str | None) -> str | None:
        """The log's cursor, for a client."""
        if cursor is None:
            return None
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, cursor.encode(), None)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, cursor: str | None) -> str | None:
        """The log's cursor again; `InvalidEvent` for one that was not made here."""
        if cursor is None:
            return None
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], None).decode()
        except (ValueError, InvalidTag):
            raise InvalidEvent("cursor", "not one that this list has given; begin again without") from None


class PlanSummary(BaseModel):
    """A plan as a list shows it."""

    plan_id: str
    status: str
    title: str | None
    progress: float | None
    owner: str | None
    labels: list[str]
    created_at: str
    updated_at: str
    epoch: str
    offset: int

    @classmethod
    def of(cls, plan: PlanEntry) -> PlanSummary:
        return cls(
            plan_id=plan.plan_id,
            status=plan.status,
            title=plan.title,
            progress=plan.progress,
            owner=plan.owner,
            labels=list(plan.labels),
            created_at=plan.created_at,
            updated_at=plan.updated_at,
            epoch=plan.head.epoch,
            offset=plan.head.offset,
        )


class PlanList(BaseModel):
    """Plans, the last active first. `cursor` asks for those that follow; null: there are none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plans": [
                        {
                            "plan_id": "plan-1",
                            "status": "in_progress",
                            "title": "Trip to Rome",
                            "progress": 40,
                            "owner": "ada",
                            "labels": ["travel"],
                            "created_at": "2026-01-31T12:00:00.000Z",
                            "updated_at": "2026-01-31T12:00:07.250Z",
                            "epoch": "k3f9",
                            "offset": 57,
                        }
                    ],
                    "cursor": None,
                }
            ]
        }
    )

    plans: list[PlanSummary]
    cursor: str | None


def etag(place: Position) -> str:
    """A plan's state as an entity tag: its place says it all."""
    return f'"{place.epoch}:{place.offset}"'


def router(hub: Hub) -> APIRouter:
    """The plans' routes, for this hub."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    cursors = Cursors(ticket_key(hub.settings))

    @routes.get("/plans", responses=problems(401, 403, 422, 429, 503))
    async def list_plans(
        request: Request,
        owner: Annotated[str | None, Query(max_length=256, examples=["ada"])] = None,
        label: Annotated[str | None, Query(max_length=256, examples=["travel"])] = None,
        status: PlanStatus | None = None,
        cursor: Annotated[str | None, Query(max_length=512, description="That of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        principal: Principal = caller,
    ) -> PlanList:
        """The plans that the caller may read, the last active first. There may be fewer than asked for and a cursor:
        ask on with it."""

        def shown(plan: PlanEntry) -> bool:
            return principal.may("read", plan.plan_id) and status in (None, plan.status)

        holder, at = holder_of(hub, request, principal), cursors.unseal(cursor)
        found, place = await hub.lists.find(holder, shown, limit, owner=owner, label=label, cursor=at)
        return PlanList(plans=[PlanSummary.of(plan) for plan in found], cursor=cursors.seal(place))

    @routes.get(
        "/plans/{plan_id}",
        response_model=Snapshot,
        responses={
            304: {"description": "Unchanged since the ETag that was given."},
            **problems(401, 403, 404, 422, 429, 503),
        },
    )
    async def get_plan(
        plan_id: PlanIdPath,
        if_none_match: Annotated[str | None, Header(description="An ETag seen before.")] = None,
        principal: Principal = caller,
    ) -> Response:
        """The plan folded to its newest event; the ETag is its place in the log."""
        require(principal, "read", plan_id)
        head = await hub.log.head(plan_id)
        if head.offset == 0:
            raise Problem("no_such_plan", "nothing was said about this plan yet", status=404)
        if _matches(if_none_match, etag(head.position)):
            return Response(status_code=304, headers=_headers(head.position))
        snapshot, head = await snapshot_of(hub.log, plan_id)
        return Response(encode(snapshot), media_type="application/json", headers=_headers(head.position))

    @routes.delete("/plans/{plan_id}", status_code=204, responses=problems(401, 403, 404, 422, 429, 503))
    async def delete_plan(plan_id: PlanIdPath, principal: Principal = caller) -> None:
        """Forget the plan; whoever watches it is told."""
        require(principal, "publish", plan_id)
        if not await hub.log.delete(plan_id):
            raise Problem("no_such_plan", "there is no such plan", status=404)

    return routes


def _headers(place: Position) -> dict[str, str]:
    return {"ETag": etag(place), "Cache-Control": "private, no-cache"}


def _matches(asked: str | None, tag: str) -> bool:
    """If-None-Match, weakly compared (RFC 9110, 13.1.2)."""
    tags = [one.strip().removeprefix("W/") for one in (asked or "").split(",")]
    return tag in tags or tags == ["*"]
