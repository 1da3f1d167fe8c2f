"""Frames of `WebSocketChatTransport` (ai 7): a client's requests, and the responses to each of them.

The client drops its connection at a frame of another type, one without `requestId`, or a gap in the numbers of chunks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from hub.api.problems import Problem
from hub.protocols.ai_sdk.chunks import DONE
from hub.protocols.ai_sdk.requests import ChatPost
from hub.transports.http_stream import KEEP_ALIVE
from hub.wire.codes import ErrorCode

__all__ = ["ChatResume", "ChatSend", "ResponseFrames", "request_in"]

_DATA: Final = b"data: "
_END: Final = b"\n\n"


@dataclass(frozen=True, slots=True)
class ChatSend:
    """`send`: what `POST /ai-sdk/{template}` does."""

    post: ChatPost


@dataclass(frozen=True, slots=True)
class ChatResume:
    """`resume`: what `GET …/{chatId}/stream` does. `ended`: also a plan that has ended."""

    chat_id: str
    ended: bool


class _ResumeBody(BaseModel):
    ended: Literal["replay"] | None = None


class _Resume(BaseModel):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    body: _ResumeBody = _ResumeBody()


class _Send(BaseModel):
    body: dict[str, Any] = {}


def request_in(frame: Mapping[str, Any]) -> ChatSend | ChatResume:
    """The request of a frame other than `abort`. Raises `Problem` or `RequestValidationError`."""
    try:
        match frame.get("type"):
            case "send":
                names = ("id", "messages", "trigger", "messageId")
                own = {name: frame[name] for name in names if name in frame}
                return ChatSend(ChatPost.model_validate({**_Send.model_validate(frame).body, **own}))
            case "resume":
                resume = _Resume.model_validate(frame)
                return ChatResume(resume.id, resume.body.ended is not None)
            case other:
                detail = f"unknown frame type {other!r:.80}; expected send, resume or abort"
                raise Problem(ErrorCode.UNKNOWN_TYPE, detail)
    except ValidationError as error:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(errors, body=frame) from None


class ResponseFrames:
    """The frames of one response, in their order: `start`, numbered chunks, `end`; or one that refuses the request."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._prefix = f'{{"type":"chunk","requestId":{json.dumps(request_id)},"sequence":'
        self._sequence = 0

    def start(self) -> str:
        """The response begins."""
        return self._frame("start")

    def chunks(self, events: bytes) -> Iterator[str]:
        """Whole server-sent events, as the encoder makes them, each as a chunk with the next number."""
        if events == KEEP_ALIVE:  # the WebSocket has pings of its own
            return
        for event in events.removesuffix(DONE).split(_END)[:-1]:
            yield f'{self._prefix}{self._sequence},"chunk":{event.removeprefix(_DATA).decode()}}}'
            self._sequence += 1

    def end(self) -> str:
        """The response is complete."""
        return self._frame("end")

    def no_active(self) -> str:
        """There is nothing to resume."""
        return self._frame("no-active")

    def error(self, text: str) -> str:
        """The request failed; the text is for people."""
        return self._frame("error", errorText=text)

    def _frame(self, kind: str, **fields: str) -> str:
        frame = {"type": kind, "requestId": self._request_id, **fields}
        return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
