"""A person who watches a plan and answers its questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from broadcasters import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.events import SignalName, parse
from broadcasters.fold import fold
from broadcasters.log.follow import Received, follow
from broadcasters.signals import requested
from broadcasters.snapshot import InputState, Snapshot, StepState, empty

__all__ = ["Person", "step_called", "steps_of", "words_of"]

DEADLINE_S = 60.0


class Person:
    """Sees only what is in the log."""

    def __init__(self, broadcaster: Broadcaster, plan_id: str) -> None:
        self.plan_id = plan_id
        self._broadcaster = broadcaster

    async def sees(self) -> Snapshot:
        """The plan's current snapshot."""
        async with self._broadcaster.reading() as log:
            return (await snapshot_of(log, self.plan_id))[0]

    async def until(self, true: Callable[[Snapshot], Any]) -> Snapshot:
        """The snapshot after the first event for which this is true."""
        snapshot = empty(self.plan_id)
        async with (
            asyncio.timeout(DEADLINE_S),
            self._broadcaster.reading() as log,
            aclosing(follow(log, self.plan_id)) as items,
        ):
            async for item in items:
                assert isinstance(item, Received), item
                snapshot = fold(snapshot, item.position.offset, [parse(item.payload)])
                if true(snapshot):
                    return snapshot
        raise AssertionError("follow() is infinite")

    async def is_asked(self, times: int = 1) -> list[InputState]:
        """The open questions, once there are this many."""
        asked = await self.until(lambda plan: len(_open(plan)) == times and plan.status == "waiting")
        return _open(asked)

    async def answers(self, request: InputState, answer: Any) -> None:
        await self._broadcaster.send_input_response(self.plan_id, request.request_id, answer, by="maria")

    async def requests(self, signal: SignalName) -> None:
        """As a hub records a click on Cancel, Pause or Resume."""
        await self._broadcaster.send(requested(self.plan_id, signal, "maria"))


def _open(plan: Snapshot) -> list[InputState]:
    return [request for request in plan.inputs if request.answered_at is None]


def steps_of(plan: Snapshot) -> list[tuple[str | None, str]]:
    return [(step.title, step.status) for step in plan.steps]


def step_called(plan: Snapshot, title: str) -> StepState:
    (found,) = [step for step in plan.steps if step.title == title]
    return found


def words_of(plan: Snapshot) -> list[tuple[str, str, str]]:
    return [(message.agent_name, message.message_type, message.content) for message in plan.messages]
