"""Errors as LangGraph's clients show them, and parameters that its routes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from broadcasters.events import PLAN_ID
from hub.api.problems import Problem, refusals
from hub.api.route import operation_id
from hub.protocols.route import ProtocolRoute

__all__ = ["LangGraphRoute", "RefusalDetail", "ThreadIdPath", "details", "new_router"]

ThreadIdPath = Annotated[str, Path(pattern=PLAN_ID, examples=["plan-1"], description="The id of the thread.")]


class RefusalDetail(BaseModel):
    """Why a request was refused, for people."""

    detail: str


class LangGraphRoute(ProtocolRoute):
    """A route whose errors have the shape {"detail": …}."""

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        return JSONResponse({"detail": problem.body["detail"]}, problem.status_code, problem.headers)


def new_router(route_class: type[ProtocolRoute] = LangGraphRoute) -> APIRouter:
    """A router of the protocol, without routes."""
    return APIRouter(
        prefix="/langgraph", tags=["protocols"], route_class=route_class, generate_unique_id_function=operation_id
    )


def details(*statuses: int, model: type[BaseModel] = RefusalDetail) -> dict[int | str, dict[str, Any]]:
    """Entries for a route's `responses` that describe these statuses."""
    return refusals(model, {status: _DESCRIPTIONS[status] for status in statuses})


_DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "The body is not JSON.",
    401: "The request has no token, or its token is invalid or expired.",
    403: "The token gives no right to this, whether or not the thread exists.",
    404: "There is no such thread, run or assistant.",
    408: "The body did not arrive in time.",
    409: "The thread is busy, or exists, or has no question to resume from.",
    410: "The question has expired, or the plan was deleted.",
    413: "The body is too large.",
    415: "The Content-Type is not JSON.",
    422: "A parameter or field is invalid, or asks for something that this hub does not do.",
    429: "A limit was exceeded; retry after `Retry-After` seconds.",
    503: "The log or the engine does not respond, or the hub is stopping.",
}
