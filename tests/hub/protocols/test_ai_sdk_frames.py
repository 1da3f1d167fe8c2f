"""Frames of the AI SDK's WebSocket transport: numbered chunks, and requests that are read or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from hub.api.problems import problem_of
from hub.protocols.ai_sdk import chunks
from hub.protocols.ai_sdk.frames import ChatResume, ChatSend, ResponseFrames, request_in
from hub.transports.http_stream import KEEP_ALIVE

MESSAGE = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
SEND: Mapping[str, Any] = {
    "type": "send",
    "requestId": "r",
    "id": "c",
    "messages": [MESSAGE],
    "headers": {},
    "body": {},
}
RESUME: Mapping[str, Any] = {"type": "resume", "requestId": "r", "id": "c", "headers": {}, "body": {}}


def framed(responses: ResponseFrames, *parts: bytes) -> Sequence[Mapping[str, Any]]:
    return [json.loads(text) for part in parts for text in responses.chunks(part)]


def test_chunks_are_numbered_across_parts() -> None:
    """P-AIS-12: each server-sent event is one chunk; keep-alives and the end mark are none."""
    said = [
        {"type": "text-delta", "id": "1", "delta": text} for text in ('"a"\n\n', "b\u2028", "data: [DONE]\n\n", "ü")
    ]
    first = b"".join(map(chunks.encoded, said[:3]))
    frames = framed(ResponseFrames('r"1'), first, KEEP_ALIVE, chunks.encoded(said[3]) + chunks.DONE, chunks.DONE, b"")
    assert frames == [
        {"type": "chunk", "requestId": 'r"1', "sequence": number, "chunk": chunk} for number, chunk in enumerate(said)
    ]


def test_the_other_frames() -> None:
    """P-AIS-12."""
    response = ResponseFrames("r")
    frames = [response.start(), response.end(), response.no_active(), response.error("no\n")]
    assert [json.loads(frame) for frame in frames] == [
        {"type": "start", "requestId": "r"},
        {"type": "end", "requestId": "r"},
        {"type": "no-active", "requestId": "r"},
        {"type": "error", "requestId": "r", "errorText": "no\n"},
    ]


def test_requests() -> None:
    """P-AIS-11: fields of `body` are the template's, except those of the frame itself."""
    sent = request_in({**SEND, "trigger": "regenerate-message", "messageId": "m", "body": {"days": 3, "id": "other"}})
    assert isinstance(sent, ChatSend)
    assert (sent.post.id, sent.post.trigger, sent.post.message_id) == ("c", "regenerate-message", "m")
    assert sent.post.model_extra == {"days": 3}
    assert request_in(RESUME) == ChatResume("c", ended=False)
    assert request_in({**RESUME, "body": {"ended": "replay"}, "metadata": 1}) == ChatResume("c", ended=True)


BAD: Sequence[tuple[str, Mapping[str, Any]]] = [
    ("unknown frame type 'ping'; expected send, resume or abort", {"type": "ping"}),
    ("unknown frame type None", {}),
    ("messages", {**SEND, "messages": []}),
    ("trigger", {**SEND, "trigger": "resume"}),
    ("body", {**SEND, "body": []}),
    ("id", {**RESUME, "id": ""}),
    ("ended", {**RESUME, "body": {"ended": 1}}),
]


@pytest.mark.parametrize(("expected", "frame"), BAD)
def test_bad_requests(expected: str, frame: Mapping[str, Any]) -> None:
    """P-AIS-11: the error is a text for people, as over HTTP."""
    with pytest.raises(Exception) as raised:
        request_in(frame)
    problem = problem_of(raised.value)
    assert problem is not None
    assert expected in problem.detail
    assert problem.status_code == (422 if isinstance(raised.value, RequestValidationError) else 400)
