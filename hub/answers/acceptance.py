"""Accepts people's answers: the first answer to a request wins, across all hubs and browser tabs."""

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
from broadcasters.snapshot import InputState, Snapshot
from hub.answers.schema import same_json, schema_error
from hub.core.connection import RequestRefused
from hub.core.effects import SubmitAnswer
from hub.wire.codes import ErrorCode

__all__ = ["Answers"]


class Answers:
    """Appends answers to plans' logs, where the waiting step reads them."""

    def __init__(self, log: PlanLog, broadcaster: Broadcaster) -> None:
        self._log = log
        self._broadcaster = broadcaster

    async def give(self, answer: SubmitAnswer) -> Position:
        """Answer a request; returns the answer's position, or raises `RequestRefused`.

        If the accepted answer came from the same person, with the same idempotency key or the same value, its position is
        returned again.
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
        request = _request(snapshot, event.request_id)
        if request.answered_at is None:
            _check(request, event.answer)
        else:
            _check_repeats(request, event)
        position = await self._broadcaster.send(event, key=_key(event.request_id))
        if request.answered_at is None:  # of two at once, the first in the log wins
            snapshot, _ = await snapshot_of(self._log, event.plan_id)
            for taken in _requests(snapshot, event.request_id):
                _check_repeats(taken, event)
        return position


def _key(request_id: str) -> str:
    """The key that lets the log take one answer only. Hashed: a request id may be longer than a key, with any characters."""
    return f"answer.{hashlib.blake2b(request_id.encode(), digest_size=20).hexdigest()}"


def _request(snapshot: Snapshot, request_id: str) -> InputState:
    request = next(_requests(snapshot, request_id), None)
    if request is None:
        raise RequestRefused(ErrorCode.NO_SUCH_REQUEST, f"the plan has no input request {request_id!r:.80}")
    if request.answered_at is None and snapshot.ended_at is not None:
        raise RequestRefused(ErrorCode.PLAN_ENDED, "the plan has ended, so it takes no answers")
    return request


def _requests(snapshot: Snapshot, request_id: str) -> Iterator[InputState]:
    """The request of this id, if the snapshot has it. (An answered one may be left out of a snapshot that is too large.)"""
    return (one for one in snapshot.inputs if one.request_id == request_id)


def _check(request: InputState, answer: Any) -> None:
    """Refuse the answer if the request has expired or the answer doesn't fit it."""
    if request.expires_at is not None and request.expires_at <= timestamp():
        raise RequestRefused(ErrorCode.REQUEST_EXPIRED, f"the request expired at {request.expires_at}")
    for schema in _schemas(request):
        if (fault := schema_error(schema, answer)) is not None:
            raise RequestRefused(ErrorCode.INVALID_ANSWER, fault)


def _schemas(request: InputState) -> Iterator[object]:
    if request.kind == "choice" and request.options:
        yield {"enum": [_value(option) for option in request.options]}
    yield request.json_schema


def _check_repeats(request: InputState, given: InputResponse) -> None:
    """Refuse the answer unless it repeats the one that was accepted, by its key or its value."""
    repeated = given.idempotency_key is not None and request.idempotency_key == given.idempotency_key
    if request.by != given.by or not (repeated or same_json(request.answer, given.answer)):
        message = f"{request.by or 'someone else'} answered first"
        raise RequestRefused(ErrorCode.ALREADY_ANSWERED, message, by=request.by, at=request.answered_at)


def _value(option: Any) -> Any:
    """The option's value: options are values, or objects with a value and a label for people."""
    if not isinstance(option, dict):
        return option
    fields = cast("dict[str, Any]", option)
    return fields.get("value", fields)
