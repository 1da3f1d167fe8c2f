"""How every route of the API behaves: bounded in time and in size, strict about JSON, and every failure a problem."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from hub.api.problems import Problem, problem_of
from hub.config.limits import BatchLimits
from hub.wire.codes import ErrorCode

__all__ = ["ApiRoute", "operation_id"]

_logger = logging.getLogger(__name__)

BODY_S: Final = 20.0
"""A body that takes longer to come is given up."""
_huge: Final = re.compile(rb"\d[eE]\+?\d{3}|\d{309}")
"""Numbers that may be more than a double holds."""


class ApiRoute(APIRoute):
    """In whichever app it stands. A router that needs other bounds has a class of its own with them."""

    seconds: ClassVar[float] = 12.0
    """For how long an answer may be worked on. The hub tries the log for ten, and then says so."""
    body_bytes: ClassVar[int] = BatchLimits().body_bytes

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            asked = _Asked(request, self.body_bytes)
            try:
                if request.method in ("POST", "PUT"):
                    body = await asked.body()
                    if self.body_field is not None:
                        _check_type(request, body)
                async with asyncio.timeout(self.seconds):
                    return await handle(asked)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                if problem.status_code == 500:
                    _logger.error("%s %s: %s", request.method, request.url.path, problem.detail)
                return problem.response()

        return answer


def operation_id(route: APIRoute) -> str:
    """Operations are called as their functions are: what generated clients' methods will be called."""
    return route.name


class _Asked(Request):
    """A request whose body is bounded, and JSON read strictly: no NaN, no half characters, no endless nesting."""

    def __init__(self, request: Request, most: int) -> None:
        super().__init__(request.scope, request.receive)
        self._most = most
        self._whole: bytes | None = None

    async def body(self) -> bytes:
        if self._whole is None:
            try:
                async with asyncio.timeout(BODY_S):
                    self._whole = await self._read()
            except TimeoutError:
                raise Problem("too_slow", f"the body did not come within {BODY_S:g} s", status=408) from None
            except ClientDisconnect:
                raise Problem(ErrorCode.BAD_FRAME, "the body broke off") from None
        return self._whole

    async def json(self) -> Any:
        body = await self.body()
        try:
            value = from_json(body, allow_inf_nan=False)
            if _huge.search(body):
                json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise Problem(ErrorCode.BAD_FRAME, f"the body is not JSON: {error}") from None
        return value

    async def _read(self) -> bytes:
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._most:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        async for piece in self.stream():
            pieces.append(piece)
            size += len(piece)
            if size > self._most:
                raise self._too_large()
        return b"".join(pieces)

    def _too_large(self) -> Problem:
        detail = f"a body has at most {self._most:,} bytes here; send less at once"
        return Problem("too_large", detail, status=413, title="The body is larger than the hub takes.")


def _check_type(request: Request, body: bytes) -> None:
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        raise Problem(ErrorCode.BAD_FRAME, "the request has no body; one of JSON is needed")
    if said != "application/json" and not (said.startswith("application/") and said.endswith("+json")):
        shown = f"not {said[:60]}" if said else "and the request has no Content-Type"
        detail = f"the body must be JSON: Content-Type: application/json is needed, {shown}"
        raise Problem("not_json", detail, status=415, title="The body is not JSON.")
