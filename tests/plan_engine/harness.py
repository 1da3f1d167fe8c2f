"""The environment of an engine test: a log, an engine's database, and people who answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Received, follow
from broadcasters.snapshot import Snapshot
from hub.answers.acceptance import Answers
from hub.core.effects import SubmitAnswer
from plan_engine import Engine, Template
from tests.plan_engine.event_rules import Event, events_of, violations

__all__ = ["DEADLINE_S", "EngineHarness", "statuses"]

DEADLINE_S = 40.0


class EngineHarness:
    """`async with harness:` opens its log. Engines are opened in it one after the other; others may work on the same."""

    def __init__(self, directory: Path, *, db: str | None = None, log: str | None = None) -> None:
        self.directory = directory
        self.db = db or f"sqlite:///{directory / 'engine.db'}"
        self.log_url = log or f"sqlite:///{directory / 'plans.db'}"
        self.log: PlanLog = log_of(self.log_url)
        self._broadcaster = Broadcaster(log=self.log)

    async def __aenter__(self) -> EngineHarness:
        await self.log.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._broadcaster.close()
        await self.log.close()

    @asynccontextmanager
    async def engine(self, *templates: Template, **options: Any) -> AsyncGenerator[Engine]:
        options = {"poll": 0.05, "lease": 2.0} | options
        async with Engine(self.db, self.log, templates, **options) as engine:
            yield engine

    # ---- reading the log

    async def events(self, plan_id: str) -> list[Event]:
        """All events of a plan that has ended. Fails if they violate a rule."""
        events = await events_of(self.log, plan_id)
        found = violations(events)
        assert found == [], "\n".join([*found, *map(str, events)])
        return events

    async def events_so_far(self, plan_id: str) -> list[Event]:
        """All events of a plan that has not ended. Fails if they violate a rule."""
        events = await events_of(self.log, plan_id)
        found = violations(events, ended=False)
        assert found == [], "\n".join([*found, *map(str, events)])
        return events

    async def snapshot(self, plan_id: str) -> Snapshot:
        return (await snapshot_of(self.log, plan_id))[0]

    async def until(self, plan_id: str, true: Callable[[Event], bool]) -> Event:
        """Wait for an event of the plan for which this is true."""
        async with asyncio.timeout(DEADLINE_S), aclosing(follow(self.log, plan_id, "start")) as items:
            async for item in items:
                if isinstance(item, Received):
                    event = Event.of(item.position.offset, item.payload)
                    if true(event):
                        return event
        raise AssertionError("follow() is infinite")

    async def until_content(self, plan_id: str, content: str) -> Event:
        return await self.until(plan_id, lambda event: event.data.get("content") == content)

    async def until_step(self, plan_id: str, step_id: str, status: str) -> Event:
        return await self.until(
            plan_id,
            lambda event: (
                event.type == "step_update" and event.data["step_id"] == step_id and event.data["status"] == status
            ),
        )

    async def until_asked(self, plan_id: str) -> str:
        """Wait for a question; its request_id."""
        event = await self.until(plan_id, lambda event: event.type == "input_request")
        return str(event.data["request_id"])

    # ---- people

    async def answer(self, plan_id: str, request_id: str, answer: Any, by: str = "maria") -> None:
        """Answer as a hub does."""
        await Answers(self.log, self._broadcaster).give(SubmitAnswer(plan_id, request_id, answer, None, by))

    async def outcome(self, engine: Engine, plan_id: str) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await engine.outcome(plan_id)


def statuses(events: Sequence[Event], step_id: str) -> list[str]:
    """The statuses of a step, in order."""
    return [e.data["status"] for e in events if e.type == "step_update" and e.data["step_id"] == step_id]
