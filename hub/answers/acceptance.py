"""What people answer: the first answer to a request wins, on whichever hub and in whichever tab it was given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, cast

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogError, SnapshotUnreadable
from broadcasters.events import InputResponse, build, timestamp
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from broadcasters.snapshot_model import InputState
from hub.answers.schema import misfit, same
from hub.core.connection import RequestRefused
from hub.core.effects import Answer
from hub.wire.codes import ErrorCode

__all__ = ["Answers"]


class Answers:
    """Puts answers into plans' logs. Whoever waits for one reads it there."""

    def __init__(self, log: PlanLog, broadcaster: Broadcaster) -> None:
        self._log = log
        self._broadcaster = broadcaster

    async def give(self, answer: Answer) -> Position:
        """Answer a request; returns the answer's position. `RequestRefused` says why it is not taken.

        When the answer that was taken came from the same person with the same idempotency key, or is the same, its
        position is returned again.
        """
        fields = {"plan_id": answer.plan_id, "request_id": answer.request_id, "answer": answer.answer, "by": answer.by}
        try:
            return await self._give(build(InputResponse, {**fields, "idempotency_key": answer.idempotency_key}))
        except InvalidEvent as error:
            raise RequestRefused(ErrorCode.INVALID_ANSWER, str(error)) from None
        except (LogError, SnapshotUnreadable) as error:
            raise RequestRefused(ErrorCode.UNAVAILABLE, str(error), retry_after_ms=2000) from None

    async def _give(self, event: InputResponse) -> Position:
        snapshot, _ = await snapshot_of(self._log, event.plan_id)
        request = _asked(snapshot, event.request_id)
        if request.answered_at is None:
            _check(request, event.answer)
        else:
            _check_taken(request, event)
        place = await self._broadcaster.send(event, key=_key(event.request_id))
        if request.answered_at is None:  # two at once: the log has ordered them, and the fold says whose counts
            snapshot, _ = await snapshot_of(self._log, event.plan_id)
            for taken in _called(snapshot, event.request_id):
                _check_taken(taken, event)
        return place


def _key(request_id: str) -> str:
    """One answer for ever, on all hubs. A request's id may be longer than a key, and hold anything."""
    return f"answer.{hashlib.blake2b(request_id.encode(), digest_size=20).hexdigest()}"


def _asked(snapshot: Snapshot, request_id: str) -> InputState:
    request = next(_called(snapshot, request_id), None)
    if request is None:
        raise RequestRefused(ErrorCode.NO_SUCH_REQUEST, f"the plan asks nothing called {request_id!r:.80}")
    if request.answered_at is None and snapshot.ended_at is not None:
        raise RequestRefused(ErrorCode.PLAN_ENDED, "the plan has ended; nothing waits for this answer")
    return request


def _called(snapshot: Snapshot, request_id: str) -> Iterator[InputState]:
    """The request of this id. (One that was answered may be left out of a snapshot that would be too large.)"""
    return (asked for asked in snapshot.inputs if asked.request_id == request_id)


def _check(request: InputState, answer: Any) -> None:
    """May the request still be answered, and so?"""
    if request.expires_at is not None and request.expires_at <= timestamp():
        raise RequestRefused(ErrorCode.REQUEST_EXPIRED, f"this could be answered until {request.expires_at}")
    for schema in _schemas(request):
        if (fault := misfit(schema, answer)) is not None:
            raise RequestRefused(ErrorCode.INVALID_ANSWER, fault)


def _schemas(request: InputState) -> Iterator[object]:
    if request.kind == "choice" and request.options:
        yield {"enum": [_value(option) for option in request.options]}
    yield request.json_schema


def _check_taken(request: InputState, given: InputResponse) -> None:
    """Is the answer that was taken this one, or one that was sent with its key?"""
    repeated = given.idempotency_key is not None and request.idempotency_key == given.idempotency_key
    if request.by != given.by or not (repeated or same(request.answer, given.answer)):
        message = f"{request.by or 'somebody'} answered first"
        raise RequestRefused(ErrorCode.ALREADY_ANSWERED, message, by=request.by, at=request.answered_at)


def _value(option: Any) -> Any:
    """Options are values, or objects with a value and a label for people."""
    if not isinstance(option, dict):
        return option
    fields = cast("dict[str, Any]", option)
    return fields.get("value", fields)
