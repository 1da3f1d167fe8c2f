"""What people answer: the first answer to a request wins, on whichever hub and in whichever tab it was given."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogError
from broadcasters.events import InputResponse, build
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from broadcasters.snapshot_model import InputState
from hub.core.connection import RequestRefused
from hub.wire.codes import ErrorCode

__all__ = ["Answers"]


class Answers:
    """Puts answers into plans' logs. Whoever waits for one reads it there."""

    def __init__(self, log: PlanLog, broadcaster: Broadcaster) -> None:
        self._log = log
        self._broadcaster = broadcaster

    async def give(self, plan_id: str, request_id: str, answer: Any, by: str) -> Position:
        """Answer a request; where the answer stands. `RequestRefused` says why it is not taken.

        Giving the answer that was taken once more is answered as the first time was.
        """
        try:
            snapshot, _ = await snapshot_of(self._log, plan_id)
            request = _request(snapshot, request_id)
            if request.answered_at is None:
                _check(request, answer)
            fields = {"plan_id": plan_id, "request_id": request_id, "answer": answer, "by": by}
            event = build(InputResponse, fields)
            place = await self._broadcaster.send(event, key=f"answer:{request_id}")
            taken = await self._taken(plan_id, place)
        except InvalidEvent as error:
            raise RequestRefused(ErrorCode.INVALID_ANSWER, str(error)) from None
        except LogError as error:
            raise RequestRefused(ErrorCode.UNAVAILABLE, str(error), retry_after_ms=2000) from None
        if taken is not None and (taken.get("by"), taken.get("answer")) != (by, event.answer):
            who = taken.get("by") or "somebody"
            message = f"{who} answered first"
            raise RequestRefused(ErrorCode.ALREADY_ANSWERED, message, by=taken.get("by"), at=taken.get("at"))
        return place

    async def _taken(self, plan_id: str, place: Position) -> dict[str, Any] | None:
        """The answer that stands in the log; None when it was trimmed since."""
        page = await self._log.read(plan_id, place.offset - 1, limit=1)
        if page.first != place.offset or not page.payloads:
            return None
        data: dict[str, Any] = json.loads(page.payloads[0])["data"]
        return data


def _request(snapshot: Snapshot, request_id: str) -> InputState:
    request = next((asked for asked in snapshot.inputs if asked.request_id == request_id), None)
    if request is None:
        raise RequestRefused(ErrorCode.NO_SUCH_REQUEST, f"the plan asks nothing called {request_id!r}")
    if request.answered_at is None and snapshot.ended_at is not None:
        raise RequestRefused(ErrorCode.PLAN_ENDED, "the plan has ended; nothing waits for this answer")
    return request


def _check(request: InputState, answer: Any) -> None:
    if request.expires_at is not None and datetime.fromisoformat(request.expires_at).timestamp() < time.time():
        raise RequestRefused(ErrorCode.REQUEST_EXPIRED, f"this could be answered until {request.expires_at}")
    if request.kind == "choice" and request.options and answer not in [_value(option) for option in request.options]:
        raise RequestRefused(ErrorCode.INVALID_ANSWER, "one of the options is wanted")


def _value(option: Any) -> Any:
    """Options are values, or objects with a value and a label for people."""
    return option["value"] if isinstance(option, dict) and "value" in option else option
