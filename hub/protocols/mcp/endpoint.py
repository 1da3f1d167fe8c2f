"""Serves MCP over streamable HTTP with the `mcp` package, after the hub has authenticated the request.

Each request is served by itself, so any node can serve it. Only clients of the older era that can ask a person get a
session, since their answers are requests of their own. Where a session is not known (on another node, or after a restart),
its requests are served without it; only answers to what was asked in it are refused.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, cast

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from broadcasters.supervision import log_failure
from hub.access.principal import Principal
from hub.config.limits import MIB
from hub.node import Hub
from hub.protocols.mcp.server import PRINCIPAL, server_of

__all__ = ["McpEndpoint"]

SESSION: Final = "mcp-session-id"
SESSIONS: Final = 2_000
SESSIONS_EACH: Final = 100
"""Sessions that one subject may have; its oldest one is ended for another."""
IDLE_S: Final = 1800.0
PROCESSED_S: Final = 5.0
"""How long the end of a session waits until its last messages are processed."""
BODY_BYTES: Final = MIB


class McpEndpoint:
    """The endpoint of one hub. `open` it before the first request, and `close` it."""

    def __init__(self, hub: Hub) -> None:
        server = server_of(hub)
        self._single = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=BODY_BYTES)
        self._sessions = StreamableHTTPSessionManager(
            server, session_idle_timeout=IDLE_S, max_sessions=SESSIONS, max_request_body_size=BODY_BYTES
        )
        self._owners: OrderedDict[str, str] = OrderedDict()
        """The subject that began each session."""
        self._accepted: dict[str, set[asyncio.Future[None]]] = {}
        """The messages of each session that the package has accepted and not yet processed."""
        self._opened = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        running = self._task = asyncio.create_task(self._run(), name="mcp")
        running.add_done_callback(log_failure)
        await self._opened.wait()

    async def close(self) -> None:
        self._closing.set()
        if self._task is not None:
            await self._task

    async def serve(self, scope: Scope, receive: Receive, send: Send, body: bytes, principal: Principal) -> None:
        """Serve a request, whose body was read before."""
        scope = {**scope, PRINCIPAL: principal}
        receive = _replayed(body, receive)
        session = Headers(scope=scope).get(SESSION)
        if session is not None and self._owners.get(session) == principal.subject:
            await self._serve_in(session, scope, receive, self._watching(send, session), body)
        elif session is None and _begins_session(body):
            await self._end_surplus(scope, principal.subject)
            await self._sessions.handle_request(scope, receive, self._noting(send, principal.subject))
        elif session is None or _has_method(body):
            await self._single.handle_request(_with_session(scope, None), receive, send)
        else:
            await self._sessions.handle_request(_with_session(scope, "unknown"), receive, send)

    async def _serve_in(self, session: str, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Serve a request of a session; one that ends it waits for the messages accepted before."""
        if scope["method"] == "DELETE":
            await self._until_processed(session)
        if scope["method"] != "POST" or _has_result(body):
            await self._sessions.handle_request(scope, receive, send)
            return
        accepted = self._accepted.setdefault(session, set())
        accepted.add(processed := asyncio.get_running_loop().create_future())
        try:
            await self._sessions.handle_request(scope, receive, send)
        finally:
            processed.set_result(None)
            accepted.discard(processed)
            if not accepted:
                self._accepted.pop(session, None)

    async def _until_processed(self, session: str) -> None:
        """Wait until the session's accepted messages are processed.

        The package answers a message without a result before it processes it, and fails if the session ends meanwhile."""
        if accepted := self._accepted.get(session):
            await asyncio.wait(accepted, timeout=PROCESSED_S)

    async def _end_surplus(self, scope: Scope, subject: str) -> None:
        """Makes room for a session of this subject, so that it can't have all that there are."""
        mine = [session for session, owner in self._owners.items() if owner == subject]
        for session in mine[: max(0, len(mine) - SESSIONS_EACH + 1)]:
            del self._owners[session]
            await self._until_processed(session)
            ending = _with_session({**scope, "method": "DELETE"}, session)
            await self._sessions.handle_request(ending, _replayed(b"", _nothing_more), _discard)

    async def _run(self) -> None:
        async with self._single.run(), self._sessions.run():
            self._opened.set()
            await self._closing.wait()

    def _noting(self, send: Send, subject: str) -> Send:
        """Notes who begins a session."""

        def note(message: Message) -> None:
            if (session := MutableHeaders(scope=message).get(SESSION)) is not None and message["status"] < 400:
                self._owners[session] = subject
                if len(self._owners) > SESSIONS:
                    self._owners.popitem(last=False)

        return _at_start(send, note)

    def _watching(self, send: Send, session: str) -> Send:
        """Notes that a session of this caller is over."""

        def note(message: Message) -> None:
            if message["status"] == 404:
                self._owners.pop(session, None)

        return _at_start(send, note)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


async def _discard(message: Message) -> None:
    """The session's client receives no response."""


def _at_start(send: Send, note: Callable[[Message], None]) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            note(message)
        await send(message)

    return noting


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


def _with_session(scope: Scope, session: str | None) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name != SESSION.encode()]
    return {**scope, "headers": headers if session is None else [*headers, (SESSION.encode(), session.encode())]}


def _message(body: bytes) -> dict[str, Any]:
    try:
        message: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {}


def _has_method(body: bytes) -> bool:
    return "method" in _message(body)


def _has_result(body: bytes) -> bool:
    """Whether it is a request, and neither a notification nor an answer."""
    return {"id", "method"} <= _message(body).keys()


def _begins_session(body: bytes) -> bool:
    """Whether the client initializes, and can ask a person."""
    match _message(body):
        case {"method": "initialize", "params": {"capabilities": {"elicitation": dict()}}}:
            return True
        case _:
            return False
