"""Plans over HTTP: lists, snapshots, and deletion."""

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
from hub.api.route import ApiRoute, etag_matches, operation_id
from hub.node import Hub

__all__ = ["Cursors", "PlanList", "PlanSummary", "etag", "router"]

NONCE_BYTES: Final = 12

OwnerQuery = Annotated[str | None, Query(max_length=256, examples=["ada"], description="Only plans of this owner.")]
LabelQuery = Annotated[
    str | None, Query(max_length=256, examples=["travel"], description="Only plans with this label.")
]


class PlanSummary(BaseModel):
    """A plan in a list."""

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
    """Plans, most recently active first. `cursor` requests the next page; null: there are no more plans."""

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


class Cursors:
    """Encrypts the log's list cursors, which contain ids of plans that the client may not read.

    `key` is the same on all nodes of a hub."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"plancast cursor 1", "sha256"))

    def seal(self, cursor: str | None) -> str | None:
        """Encrypt the log's cursor for a client."""
        if cursor is None:
            return None
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, cursor.encode(), None)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, cursor: str | None) -> str | None:
        """Decrypt a cursor. Raises `InvalidEvent` if `seal` did not make it."""
        if cursor is None:
            return None
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None).decode()
        except (ValueError, InvalidTag):
            raise InvalidEvent("cursor", "not a cursor of this list; start again without a cursor") from None


def etag(position: Position) -> str:
    """A plan's entity tag, made from its position."""
    return f'"{position.epoch}:{position.offset}"'


def router(hub: Hub) -> APIRouter:
    """The routes of plan lists, snapshots and deletion."""
    routes = APIRouter(prefix="/api", tags=["plans"], route_class=ApiRoute, generate_unique_id_function=operation_id)
    caller: Principal = Depends(caller_of(hub))
    cursors = Cursors(ticket_key(hub.settings))

    @routes.get("/plans", responses=problems(401, 403, 422, 429, 503))
    async def list_plans(
        request: Request,
        owner: OwnerQuery = None,
        label: LabelQuery = None,
        status: Annotated[PlanStatus | None, Query(description="Only plans with this status.")] = None,
        cursor: Annotated[str | None, Query(max_length=512, description="The previous page's cursor.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="The maximum number of plans on a page.")] = 50,
        principal: Principal = caller,
    ) -> PlanList:
        """List the plans that the caller may read, most recently active first. A page may have fewer plans than `limit` and
        still a cursor."""

        def shown(plan: PlanEntry) -> bool:
            return principal.may("read", plan.plan_id) and status in (None, plan.status)

        holder, at = holder_of(hub, request, principal), cursors.unseal(cursor)
        found, next_page = await hub.lists.find(holder, shown, limit, owner=owner, label=label, cursor=at)
        return PlanList(plans=[PlanSummary.of(plan) for plan in found], cursor=cursors.seal(next_page))

    @routes.get(
        "/plans/{plan_id}",
        response_model=Snapshot,
        responses={
            304: {"description": "The plan has not changed since the given ETag."},
            **problems(401, 403, 404, 422, 429, 503),
        },
    )
    async def get_plan(
        plan_id: PlanIdPath,
        if_none_match: Annotated[str | None, Header(description="The ETag of the snapshot the client has.")] = None,
        principal: Principal = caller,
    ) -> Response:
        """The plan's snapshot at its newest event. The ETag is its position."""
        require(principal, "read", plan_id)
        head = await hub.log.head(plan_id)
        if head.offset == 0:
            raise Problem("no_such_plan", "there is no such plan; its first event creates it", status=404)
        if etag_matches(if_none_match, etag(head.position)):
            return Response(status_code=304, headers=_headers(head.position))
        snapshot, head = await snapshot_of(hub.log, plan_id)
        hub.workers.saw(snapshot)
        return Response(encode(snapshot), media_type="application/json", headers=_headers(head.position))

    @routes.delete("/plans/{plan_id}", status_code=204, responses=problems(401, 403, 404, 422, 429, 503))
    async def delete_plan(plan_id: PlanIdPath, principal: Principal = caller) -> None:
        """Delete a plan. Its subscribers are notified."""
        require(principal, "publish", plan_id)
        if not await hub.log.delete(plan_id):
            raise Problem("no_such_plan", "there is no such plan", status=404)

    return routes


def _headers(position: Position) -> dict[str, str]:
    return {"ETag": etag(position), "Cache-Control": "private, no-cache"}
