"""Waiting for a person's answer to an input request, in any log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final

from broadcasters.errors import AnswerTrimmed, InvalidEvent, LogUnavailable
from broadcasters.event_bytes import is_type
from broadcasters.events import InputResponse, build, parse
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Broken, Received, follow
from broadcasters.position import Position
from broadcasters.snapshot import decode
from broadcasters.supervision import pauses

__all__ = ["first_answer"]

LONGEST_PAUSE_S: Final = 2.0


async def first_answer(
    reading: Callable[[], AbstractAsyncContextManager[PlanLog]],
    plan_id: str,
    request_id: str,
    after: Position,
    ask_again: Callable[[], Awaitable[object]],
) -> InputResponse:
    """Wait for the first answer to an input request, for as long as it takes, also while the log is unavailable.

    Args:
        reading: Gives the log to read, such as `Broadcaster.reading`. Called again after the log was unavailable.
        plan_id: The plan that asks.
        request_id: The request, which was sent already.
        after: The position of the request, or one before it.
        ask_again: Sends the request again. Awaited when the log was lost, and the request with it.

    Returns:
        The answer, as the log or its checkpoint has it. The first one in the log counts.

    Raises:
        AnswerTrimmed: The request was answered, and neither the log nor its checkpoint has the answer any more.
        LogMisconfigured: The log refuses to be read.
        SnapshotUnreadable: The log was trimmed, and newer code wrote its checkpoint.

    Example:
        position = await broadcaster.send_input_request("plan-1", "go", "approval", "Send the offer?", key="go")
        answer = await first_answer(broadcaster.reading, "plan-1", "go", position, ask_again)
    """
    tries = pauses(LONGEST_PAUSE_S)
    while True:
        try:
            async with reading() as log, aclosing(follow(log, plan_id, after)) as items:
                async for item in items:
                    if isinstance(item, Received):
                        answer = _answer_in(item.payload, request_id)
                    elif isinstance(item, Broken):
                        answer = await _answer_before(plan_id, request_id, after, item, ask_again)
                    else:
                        continue
                    if answer is not None:
                        return answer
        except LogUnavailable:
            await asyncio.sleep(next(tries))


def _answer_in(payload: bytes, request_id: str) -> InputResponse | None:
    """The event of this payload, if it is an answer to this request."""
    if not is_type(payload, InputResponse.type):
        return None
    try:
        event = parse(payload)
    except InvalidEvent:
        return None
    return event if isinstance(event, InputResponse) and event.request_id == request_id else None


async def _answer_before(
    plan_id: str, request_id: str, after: Position, broken: Broken, ask_again: Callable[[], Awaitable[object]]
) -> InputResponse | None:
    """The answer in the checkpoint from which the log goes on, if there is one."""
    inputs = decode(broken.checkpoint.snapshot).inputs if broken.checkpoint else ()
    state = next((state for state in inputs if state.request_id == request_id), None)
    folded = broken.reason == "trimmed" and broken.checkpoint and after.offset <= broken.checkpoint.position.offset
    if state is None and folded:  # a checkpoint keeps all requests without an answer
        raise AnswerTrimmed(plan_id, request_id)
    if state is None:
        await ask_again()
        return None
    if state.answered_at is None:
        return None
    fields = {"plan_id": plan_id, "request_id": request_id, "answer": state.answer, "by": state.by}
    return build(InputResponse, {**fields, "at": state.answered_at})
