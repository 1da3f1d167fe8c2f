"""Errors over HTTP: problem+json (RFC 9457), with the same codes as `error` frames."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from broadcasters.errors import InvalidEvent, InvalidPlanId, LogError, LogFull, LogUnavailable, SnapshotUnreadable
from hub.auth import AuthenticationFailed
from hub.core.connection import RequestRefused
from hub.wire.codes import ERROR_CODES, ErrorCode

__all__ = ["STATUS", "Problem", "ProblemRoute", "problems"]

STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_FRAME: 400,
    ErrorCode.INVALID_FIELD: 422,
    ErrorCode.INVALID_PLAN_ID: 422,
    ErrorCode.INVALID_ANSWER: 422,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.INVALID_TOKEN: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NO_SUCH_REQUEST: 404,
    ErrorCode.ALREADY_ANSWERED: 409,
    ErrorCode.PLAN_ENDED: 409,
    ErrorCode.NOT_SUPPORTED: 409,
    ErrorCode.REQUEST_EXPIRED: 410,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
}


class ProblemBody(BaseModel):
    """What went wrong, for people (`title`, `detail`) and for programs (`code`)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Problem(Exception):
    """The request can't be done; answered as problem+json."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        known = code in ErrorCode.__members__.values()
        self.status = status or (STATUS[ErrorCode(code)] if known else 400)
        self.headers = dict(headers or {})
        self.body = {
            "type": f"urn:plancast:problem:{code}",
            "title": title or (ERROR_CODES[ErrorCode(code)].meaning if known else detail),
            "status": self.status,
            "detail": detail,
            "code": str(code),
        } | {name: value for name, value in more.items() if value is not None}

    def response(self) -> Response:
        return JSONResponse(self.body, self.status, self.headers, media_type="application/problem+json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses, for a route's `responses`: so the OpenAPI document says that they are problems."""
    return {
        status: {"model": ProblemBody, "content": {"application/problem+json": {}}, "description": "A problem."}
        for status in statuses
    }


class ProblemRoute(APIRoute):
    """A route that answers what goes wrong as a problem, in whichever app it stands."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_problems(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                problem = _problem(error)
                if problem is None:
                    raise
                return problem.response()

        return handle_problems


def _problem(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case InvalidPlanId():
            return Problem(ErrorCode.INVALID_PLAN_ID, str(error))
        case InvalidEvent():
            return Problem(ErrorCode.INVALID_FIELD, str(error), field=error.field)
        case RequestRefused():
            retry = {"Retry-After": str(-(-error.retry_after_ms // 1000))} if error.retry_after_ms else {}
            return Problem(error.code, str(error), headers=retry, by=error.by, at=error.at)
        case AuthenticationFailed():
            return Problem(error.code, str(error), status=error.status, headers={"WWW-Authenticate": "Bearer"})
        case RequestValidationError():
            return _unfit(error)
        case HTTPException():
            return Problem(f"http_{error.status_code}", str(error.detail), status=error.status_code)
        case LogFull():
            return Problem("log_full", str(error), status=507, title="The log has no room.")
        case LogUnavailable():
            return Problem(ErrorCode.UNAVAILABLE, str(error), headers={"Retry-After": "2"})
        case LogError() | SnapshotUnreadable():
            return Problem(ErrorCode.INTERNAL, str(error))
        case _:
            return None


def _unfit(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    if first["type"] == "json_invalid":
        return Problem(ErrorCode.BAD_FRAME, f"the body is not JSON: {first.get('ctx', {}).get('error', '')}")
    return Problem(ErrorCode.INVALID_FIELD, f"{field}: {first['msg']}", field=field)
