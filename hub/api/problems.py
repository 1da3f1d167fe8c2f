"""Errors over HTTP: problem+json (RFC 9457), with the same codes as `error` frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from broadcasters.errors import (
    InvalidEvent,
    InvalidPlanId,
    LogError,
    LogFull,
    LogMisconfigured,
    LogUnavailable,
    SnapshotUnreadable,
)
from hub.access.auth import AuthenticationFailed
from hub.access.tickets import TicketTooLarge
from hub.core.connection import RequestRefused
from hub.core.rates import TooManyRequests
from hub.core.registry import NoRoom
from hub.core.shares import TooManyBytes, TooManyPlans
from hub.engine_port import BrokenTemplate, EngineError, InputRejected, TemplateNotFound
from hub.transports.admission import AdmissionRefused
from hub.wire.codes import ERROR_CODES, CloseCode, ErrorCode

__all__ = ["MEDIA_TYPE", "RETRY_AFTER_S", "STATUS", "Problem", "ProblemBody", "problem_of", "problems", "refusals"]

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
"""Long enough for a log to fail over, short enough for a person to wait."""

STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_FRAME: 400,
    ErrorCode.UNKNOWN_TYPE: 400,
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
    ErrorCode.CONTINUITY_LOST: 410,
    ErrorCode.PLAN_DELETED: 410,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.TOO_MANY_SUBSCRIPTIONS: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
}

_DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "The body is not JSON.",
    401: "The request has no token, or its token is invalid or expired.",
    403: "The token gives no right to this, whether or not the plan exists.",
    404: "The requested object does not exist.",
    409: "The request conflicts with the current state, or this hub does not support it.",
    410: "The requested data has been removed, or its time is over.",
    413: "The body is too large.",
    415: "The Content-Type is not JSON.",
    422: "A parameter or field is invalid; `field` names it.",
    429: "A limit was exceeded; retry after `Retry-After` seconds.",
    503: "The log or the engine does not respond, or the hub is stopping; retry after `Retry-After` seconds.",
    507: "The log is full.",
}


class ProblemBody(BaseModel):
    """What went wrong, for people (`title`, `detail`) and for programs (`code`)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:plancast:problem:invalid_field",
                    "title": ERROR_CODES[ErrorCode.INVALID_FIELD].meaning,
                    "status": 422,
                    "detail": "limit: Input should be less than or equal to 500",
                    "code": "invalid_field",
                    "field": "limit",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    """The invalid field or parameter."""
    plan_id: str | None = None
    """The plan concerned, if the request names several."""
    by: str | None = None
    """With `already_answered`: who gave the answer."""
    at: str | None = None
    """With `already_answered`: when it was given."""
    reason: str | None = None
    """With `continuity_lost`: trimmed, forked, ahead or epoch."""
    snapshot: str | None = None
    """With `continuity_lost`: the URL of the snapshot to continue from."""


class Problem(HTTPException):
    """An error response as problem+json. It is an HTTPException so that frameworks pass it on."""

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
        known = ErrorCode(code) if code in ErrorCode.__members__.values() else None
        status = status or (STATUS[known] if known else 400)
        waits = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
        super().__init__(status, detail, {**waits, **(headers or {})})
        self.body = {
            "type": f"urn:plancast:problem:{code}",
            "title": title or (ERROR_CODES[known].meaning if known else detail),
            "status": status,
            "detail": detail,
            "code": str(code),
        } | {name: value for name, value in more.items() if value is not None}

    def response(self) -> Response:
        return JSONResponse(self.body, self.status_code, self.headers, media_type=MEDIA_TYPE)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries for a route's `responses` that describe these statuses as problems in the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": retry} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def refusals(model: type[BaseModel], descriptions: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Entries for a route's `responses` that describe these statuses with bodies of this model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    entries: dict[int | str, dict[str, Any]] = {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
        for status, description in descriptions.items()
    }
    # FastAPI compiles a validator for each entry with a model; one is enough for the model to be in the document.
    first = next(iter(descriptions))
    return {**entries, first: {"description": descriptions[first], "model": model}}


def problem_of(error: Exception) -> Problem | None:
    """The response to an exception; None if it is a programming error."""
    match error:
        case Problem():
            return error
        case InvalidPlanId():
            return Problem(ErrorCode.INVALID_PLAN_ID, str(error), field="plan_id")
        case InvalidEvent():
            return Problem(ErrorCode.INVALID_FIELD, str(error), field=error.field)
        case RequestRefused():
            retry = {"Retry-After": str(-(-error.retry_after_ms // 1000))} if error.retry_after_ms else {}
            return Problem(error.code, str(error), headers=retry, by=error.by, at=error.at)
        case AuthenticationFailed():
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            return Problem(error.code, str(error), status=error.status, headers=headers)
        case EngineError():
            return _of_the_engine(error)
        case TicketTooLarge():
            return Problem("ticket_too_large", str(error), status=422, title="The grants are too large for a ticket.")
        case AdmissionRefused():
            return _of_the_admission(error)
        case TooManyRequests():
            title = "More requests than allowed."
            return Problem(
                ErrorCode.TOO_MANY_REQUESTS, str(error), title=title, headers={"Retry-After": str(error.wait)}
            )
        case TooManyPlans():
            title = "More plans at once than allowed."
            return Problem(ErrorCode.TOO_MANY_SUBSCRIPTIONS, str(error), title=title)
        case TooManyBytes():
            return Problem(ErrorCode.UNAVAILABLE, str(error), title="More large requests at once than allowed.")
        case RequestValidationError():
            return _of_the_validation(error)
        case HTTPException():
            return _of_the_framework(error)
        case TimeoutError():
            return Problem(ErrorCode.UNAVAILABLE, "the log did not respond in time; the request may have taken effect")
        case _:
            return _of_the_log(error)


def _of_the_framework(error: HTTPException) -> Problem:
    details = {404: "there is no such path", 405: "the path does not support this method; `Allow` lists those it does"}
    detail = details.get(error.status_code, str(error.detail))
    code, title = f"http_{error.status_code}", str(error.detail)
    return Problem(code, detail, status=error.status_code, title=title, headers=error.headers)


def _of_the_engine(error: EngineError) -> Problem:
    match error:
        case TemplateNotFound():
            return Problem("unknown_template", str(error), status=404, title="There is no such template.")
        case InputRejected():
            return Problem(error.code, str(error), field="input")
        case BrokenTemplate():
            title = "The template is faulty; its author must fix it."
            return Problem("broken_template", str(error), status=500, title=title)
        case _:
            return Problem(error.code, str(error))


def _of_the_log(error: Exception) -> Problem | None:
    match error:
        case LogFull():
            return Problem("log_full", str(error), status=507, title="The log is full.")
        case LogUnavailable() | NoRoom():
            return Problem(ErrorCode.UNAVAILABLE, str(error))
        case LogMisconfigured():
            title = "The log is misconfigured; its operator must fix it."
            return Problem("log_misconfigured", str(error), status=500, title=title)
        case LogError() | SnapshotUnreadable():
            return Problem(ErrorCode.INTERNAL, str(error))
        case _:
            return None


def _of_the_admission(refusal: AdmissionRefused) -> Problem:
    match refusal.code:
        case CloseCode.RESTART | CloseCode.INTERNAL:
            return Problem(ErrorCode.UNAVAILABLE, refusal.reason)
        case CloseCode.TOO_MANY_REQUESTS:
            return Problem(ErrorCode.TOO_MANY_REQUESTS, refusal.reason, title="More connections than allowed.")
        case CloseCode.UNAUTHENTICATED | CloseCode.TOKEN_EXPIRED:
            return Problem(ErrorCode.INVALID_TOKEN, refusal.reason, headers={"WWW-Authenticate": "Bearer"})
        case _:
            return Problem(ErrorCode.FORBIDDEN, refusal.reason)


def _of_the_validation(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    where = first["loc"][0]
    if len(first["loc"]) == 1 and where == "body":
        return Problem(ErrorCode.INVALID_FIELD, f"body: {first['msg']}", field="body")
    field = ".".join(_as_written(first["loc"][1:], error.body if where == "body" else None))
    if field == "plan_id" and where == "path":
        return Problem(ErrorCode.INVALID_PLAN_ID, ERROR_CODES[ErrorCode.INVALID_PLAN_ID].meaning, field=field)
    return Problem(ErrorCode.INVALID_FIELD, f"{field}: {first['msg'].removeprefix('Value error, ')}", field=field)


def _as_written(loc: tuple[int | str, ...], body: Any) -> list[str]:
    """The path of the field as the client wrote it, without the names of union members that pydantic inserts."""
    if body is None:
        return [str(part) for part in loc]
    path: list[str] = []
    for at, part in enumerate(loc):
        last = at == len(loc) - 1
        if isinstance(body, dict) and (part in body or last):
            path.append(str(part))
            body = cast("dict[object, object]", body).get(part)
        elif isinstance(body, list) and isinstance(part, int):
            path.append(str(part))
            items = cast("list[object]", body)
            body = items[part] if part < len(items) else None
    return path or ["body"]
