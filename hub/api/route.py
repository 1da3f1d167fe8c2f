"""The API's routes: time and size limits, strict JSON, problems for all errors, and conditional requests."""

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
from hub.config.limits import MIB, BatchLimits
from hub.core.shares import HeldBytes, network
from hub.wire.codes import ErrorCode

__all__ = ["LARGE_BODIES", "ApiRoute", "etag_matches", "operation_id"]

_logger = logging.getLogger(__name__)

BODY_S: Final = 20.0
"""Seconds within which a request's body must arrive."""
SMALL_BODY: Final = BatchLimits().body_bytes
"""A larger one counts."""
LARGE_BODIES: Final = HeldBytes(per_address=64 * MIB, total=256 * MIB)
"""Bodies are received before their sender is authenticated, and a parsed one takes many times its size."""
_huge: Final = re.compile(rb"\d[eE]\+?\d{3}|\d{309}")
"""Numbers that may be too large for a double."""


class ApiRoute(APIRoute):
    """A route with limits, in any application. A router with other limits uses a subclass."""

    seconds: ClassVar[float] = 12.0
    """Seconds for a response. The hub retries the log for ten, and then reports the failure."""
    body_bytes: ClassVar[int] = SMALL_BODY

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            bounded = _BoundedRequest(request, self.body_bytes)
            try:
                if request.method in ("POST", "PUT", "PATCH"):
                    body = await bounded.body()
                    if self.body_field is not None:
                        _check_type(request, body)
                async with asyncio.timeout(self.seconds):
                    return await handle(bounded)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                if problem.status_code == 500:
                    _logger.error("%s %s: %s", request.method, request.url.path, problem.detail)
                return self.refusal(problem)
            finally:
                bounded.release()

        return answer

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        """The response to a request that was refused."""
        return problem.response()


def operation_id(route: APIRoute) -> str:
    """The function's name as the operation's id, which generated clients use as the method's name."""
    return route.name


def etag_matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this entity tag, by weak comparison (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or tags == ["*"]


class _BoundedRequest(Request):
    """A request with a size limit and strict JSON: no NaN, no lone surrogates, no unlimited nesting."""

    def __init__(self, request: Request, most: int) -> None:
        super().__init__(request.scope, request.receive)
        self._most = most
        self._whole: bytes | None = None
        self._origin = network(request.client.host if request.client else None)
        self._counted = 0

    def release(self) -> None:
        """Drop the body; the request was answered, or its response does not need it."""
        self._whole = b""
        LARGE_BODIES.give_back(self._origin, self._counted)
        self._counted = 0

    async def body(self) -> bytes:
        if self._whole is None:
            try:
                async with asyncio.timeout(BODY_S):
                    self._whole = await self._read()
            except TimeoutError:
                raise Problem("too_slow", f"the body must arrive within {BODY_S:g} s", status=408) from None
            except ClientDisconnect:
                raise Problem(ErrorCode.BAD_FRAME, "the connection closed before the end of the body") from None
        return self._whole

    async def json(self) -> Any:
        body = await self.body()
        try:
            value = from_json(body, allow_inf_nan=False)
            if _huge.search(body):
                json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise Problem(ErrorCode.BAD_FRAME, f"the body is not valid JSON: {error}") from None
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
            if size > SMALL_BODY:
                more = size - SMALL_BODY - self._counted
                LARGE_BODIES.take(self._origin, more)
                self._counted += more
        return b"".join(pieces)

    def _too_large(self) -> Problem:
        detail = f"the body must have at most {self._most:,} bytes; send less at once"
        return Problem("too_large", detail, status=413, title="The body is too large.")


def _check_type(request: Request, body: bytes) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        raise Problem(ErrorCode.BAD_FRAME, "the request has no body; expected JSON")
    if not re.fullmatch(r"application/(json|.*\+json)", media_type):
        detail = f"the Content-Type must be application/json; got {media_type[:60] or 'none'}"
        raise Problem("not_json", detail, status=415, title="The body is not JSON.")
