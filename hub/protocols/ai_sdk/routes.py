"""Routes of the AI SDK's protocol: `useChat({transport: new DefaultChatTransport({api: "…/ai-sdk/{template}"})})`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.websockets import WebSocket

from hub.access.principal import Principal
from hub.api.callers import caller_of
from hub.api.problems import Problem, problems
from hub.api.route import operation_id
from hub.core.rates import START
from hub.node import Hub
from hub.protocols.ai_sdk.history import messages_of
from hub.protocols.ai_sdk.requests import ChatPost
from hub.protocols.ai_sdk.sockets import MESSAGE_BYTES, SOCKET_PATH, serve_chats
from hub.protocols.ai_sdk.turns import Chats
from hub.protocols.route import STREAM_HEADERS, ProtocolRoute
from hub.protocols.segments import SegmentReader
from hub.protocols.streams import PlanStream

__all__ = ["AiSdkRoute", "router"]

HEADERS: Final = {**STREAM_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
_STREAM: Final[dict[str, Any]] = {
    "description": "Chunks of a UI message.",
    "content": {"text/event-stream": {}},
}
Template = Annotated[
    str, Path(min_length=1, max_length=128, examples=["business_operations"], description="The name of a template.")
]
ChatId = Annotated[str, Path(min_length=1, max_length=128, examples=["chat-1"], description="The id of the chat.")]


class AiSdkRoute(ProtocolRoute):
    """A route whose errors are plain text: `useChat` shows the body as the error's message."""

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        return PlainTextResponse(str(problem.detail), problem.status_code, problem.headers)


def router(hub: Hub) -> APIRouter:
    """The routes of the AI SDK's protocol."""
    routes = APIRouter(
        prefix="/ai-sdk", tags=["protocols"], route_class=AiSdkRoute, generate_unique_id_function=operation_id
    )
    caller: Principal = Depends(caller_of(hub))
    starter: Principal = Depends(caller_of(hub, START))
    chats = Chats(hub)

    def respond(request: Request, principal: Principal, reader: SegmentReader) -> Response:
        return PlanStream(hub, request, principal, reader).response(HEADERS)

    @routes.post(
        "/{template}",
        response_class=Response,
        responses={200: _STREAM, **_texts(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503)},
    )
    async def ai_sdk_chat(
        template: Template, post: ChatPost, request: Request, principal: Principal = starter
    ) -> Response:
        """Send a message, which starts the chat's next plan, or answers; the plan follows until it ends or asks."""
        return respond(request, principal, await chats.turn(principal, template, post))

    @routes.get(
        "/{template}/{chat_id}/stream",
        response_class=Response,
        responses={200: _STREAM, 204: {"description": "Nothing to resume."}, **_texts(401, 403, 422, 429, 503)},
    )
    async def ai_sdk_resume(
        template: Template,  # noqa: ARG001
        chat_id: ChatId,
        request: Request,
        ended: Annotated[Literal["replay"] | None, Query(description="`replay`: also a plan that has ended.")] = None,
        principal: Principal = caller,
    ) -> Response:
        """Follow the chat's last plan from its start, if it has not ended."""
        reader = await chats.resume(principal, chat_id, ended=ended is not None)
        return Response(status_code=204) if reader is None else respond(request, principal, reader)

    @routes.get("/{template}/{chat_id}/messages", responses=_texts(401, 403, 422, 429, 503))
    async def ai_sdk_messages(
        template: Template,  # noqa: ARG001
        chat_id: ChatId,
        principal: Principal = caller,
    ) -> list[dict[str, Any]]:
        """The chat's messages; none if there is no such chat."""
        return [message for plan in await chats.threads.all(principal, chat_id) for message in messages_of(plan)]

    @routes.post("/{template}/{chat_id}/stop", status_code=204, responses=_texts(401, 403, 404, 409, 422, 429, 503))
    async def ai_sdk_stop(
        template: Template,  # noqa: ARG001
        chat_id: ChatId,
        principal: Principal = caller,
    ) -> Response:
        """Cancel the chat's last plan. (The client's own `stop` only leaves the stream.)"""
        await chats.stop(principal, chat_id)
        return Response(status_code=204)

    _add_socket(hub, routes)
    return routes


def _add_socket(hub: Hub, routes: APIRouter) -> None:
    @routes.websocket("/{template}/ws")
    async def ai_sdk_socket(template: Template, websocket: WebSocket) -> None:
        await serve_chats(hub, websocket, template)

    hub.native.message_bytes[SOCKET_PATH] = MESSAGE_BYTES


def _texts(*statuses: int) -> dict[int | str, dict[str, Any]]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {status: {**entry, "content": text} for status, entry in problems(*statuses).items()}
