"""Encodes a plan's changes as frames of MACAE's socket: one frame a line, which its transport sends one by one. Pure.

A client that opens the socket has the plan as `GET /api/v4/plan` shows it. It is sent the open approval or question again,
and the end of a plan that has ended; then what follows. See shapes.py for what the page shows of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from broadcasters.changes import Change, Changes, InputChange, MessageChange, PlanChange, difference
from broadcasters.events import PLAN_ENDED
from broadcasters.position import Position
from broadcasters.snapshot import InputState, Snapshot
from hub.dialects.macae.shapes import (
    MANAGER,
    is_bubble,
    macae_plan,
    open_clarification,
    question_text,
    result_text,
    seconds,
    text_of,
)
from hub.protocols.segments import Advance, Encoded, Ending, open_questions

__all__ = ["ANSWERED_HERE", "MacaeEncoder", "frame"]

ANSWERED_HERE: Final = "macae:"
"""The idempotency keys of answers from the page begin with this. It shows such an answer itself."""


def frame(kind: str, data: Any) -> bytes:
    """A frame and the end of its line."""
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True)
class MacaeEncoder:
    """Encodes a plan for MACAE's page. `unseen`: a client that joins lacks the messages that began then or later."""

    unseen: float = inf

    def opening(self, plan: Snapshot, position: Position) -> bytes:  # noqa: ARG002
        asked = open_clarification(plan)
        question = _clarification(asked) if asked else b""
        return b"".join([*self._lacking(plan), *_approvals(plan), question, _end(plan)])

    def _lacking(self, plan: Snapshot) -> Iterator[bytes]:
        for message in plan.messages:
            if seconds(message.at) >= self.unseen:
                yield from _message(plan, MessageChange(None, message, message.content))

    def encode(self, advance: Advance) -> Iterator[Encoded]:
        for event in advance.changes:
            for change in event.changes:
                if encoded := b"".join(_frames(advance.after, change)):
                    yield Encoded(event.last, encoded)

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes | None:
        changes = [Changes(0, position.offset, None, difference(before, after))]  # the page keeps what it has
        return b"".join(part.encoded for part in self.encode(Advance(before, after, position.epoch, changes, ())))

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:  # noqa: ARG002
        return _failure(ending.message, None) if ending.kind == "failed" else b""


def _frames(plan: Snapshot, change: Change) -> Iterable[bytes]:
    """The frames for one change; `plan` is the state after it or later."""
    match change:
        case MessageChange():
            return _message(plan, change)
        case InputChange():
            return _input(plan, change)
        case PlanChange(before=before, after=after) if after.status in PLAN_ENDED and before.status not in PLAN_ENDED:
            return [_end(plan)]
        case _:
            return ()


def _message(plan: Snapshot, change: MessageChange) -> Iterator[bytes]:
    message, before = change.after, change.before
    ends = change.closes and (before is None or before.streaming or change.text != "")
    text = (message.content if change.text is None else change.text) + ("\n\n" if ends else "")
    if text:
        piece = {"agent_name": message.agent_name, "content": text, "is_final": change.closes}
        yield frame("agent_message_streaming", piece)
    if ends and is_bubble(message):
        whole = next((one for one in reversed(plan.messages) if one.message_id == message.message_id), message)
        yield _bubble(message.agent_name, whole.content, message.at)


def _bubble(agent: str, content: str, at: str) -> bytes:
    return frame("agent_message", {"agent_name": agent, "timestamp": seconds(at), "content": content})


def _input(plan: Snapshot, change: InputChange) -> Iterator[bytes]:
    question, new = change.after, change.before is None
    if question.kind == "approval":
        yield from _approvals(plan) if question.answered_at is None else ()
    elif question.answered_at is None:
        yield _clarification(question) if question in open_questions(plan) else _asked(question)
    else:
        if new:  # the client was behind
            yield _asked(question)
        if new or not (question.idempotency_key or "").startswith(ANSWERED_HERE):
            yield _bubble("human", text_of(question.answer), question.answered_at)


def _asked(question: InputState) -> bytes:
    """A question that was answered since."""
    return _bubble(MANAGER, question_text(question), question.at)


def _approvals(plan: Snapshot) -> Iterator[bytes]:
    """The request for approval, if one is open."""
    if any(question.kind == "approval" for question in open_questions(plan)):
        yield frame("plan_approval_request", {"plan": macae_plan(plan), "status": "PENDING_APPROVAL", "context": {}})


def _clarification(question: InputState) -> bytes:
    kind = "user_clarification_request"
    agent = question.agent_name or ""
    data = {"request_id": question.request_id, "questions": question_text(question), "agent_name": agent}
    return frame(kind, {"type": kind, "data": data})


def _end(plan: Snapshot) -> bytes:
    """The end of a plan; nothing if it has not ended."""
    match plan.status:
        case "completed":
            return _final(result_text(plan), "completed", plan.ended_at)
        case "cancelled":
            return _final(plan.content or "The plan was cancelled.", "canceled", plan.ended_at)
        case "error":
            return _failure(plan.content or "The plan failed.", plan.ended_at)
        case _:
            return b""


def _final(content: str, status: str, at: str | None) -> bytes:
    kind = "final_result_message"
    return frame(kind, {"type": kind, "data": {"content": content, "status": status, "timestamp": seconds(at)}})


def _failure(content: str, at: str | None) -> bytes:
    return frame("error_message", {"content": content, "status": "error", "timestamp": seconds(at)})
