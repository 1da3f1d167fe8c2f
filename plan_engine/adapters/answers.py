"""The answer a person gave, read from the plan's log: the first one in it counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import LogUnavailable
from broadcasters.event_bytes import is_type
from broadcasters.events import InputResponse
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Broken, Received, follow
from broadcasters.position import Position
from broadcasters.snapshot import decode
from plan_engine.run.context import Answer

__all__ = ["answer_to"]

AGAIN_S: Final = 0.5


async def answer_to(
    broadcaster: Broadcaster,
    plan_id: str,
    request_id: str,
    asked_at: Position,
    ask_again: Callable[[], Awaitable[Position]],
) -> Answer:
    """Wait for it, however long, and however the weather is. When the log was lost, the question is asked again."""
    while True:
        try:
            async with (
                broadcaster.reading() as log,
                aclosing(_answers(log, plan_id, request_id, asked_at, ask_again)) as answers,
            ):
                return await anext(answers)
        except LogUnavailable:
            await asyncio.sleep(AGAIN_S)


async def _answers(
    log: PlanLog, plan_id: str, request_id: str, asked_at: Position, ask_again: Callable[[], Awaitable[Position]]
) -> AsyncGenerator[Answer]:
    async with aclosing(follow(log, plan_id, asked_at)) as story:
        async for item in story:
            if isinstance(item, Received) and is_type(item.payload, InputResponse.type):
                said = json.loads(item.payload)["data"]
                if said["request_id"] == request_id:
                    yield Answer(said.get("answer"), said.get("by"), said.get("at"))
            elif isinstance(item, Broken):
                inputs = decode(item.checkpoint.snapshot).inputs if item.checkpoint else ()
                state = next((one for one in inputs if one.request_id == request_id), None)
                if state is None:
                    await ask_again()
                elif state.answered_at is not None:
                    yield Answer(state.answer, state.by, state.answered_at)
