"""The responses of runs: a stream that cancels its run when the client leaves, and the values at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from broadcasters.supervision import log_failure
from hub.protocols.langgraph.state import encoded, interrupts_of, values_of
from hub.protocols.segments import Advance, Encoded, Ending
from hub.protocols.streams import PlanStream
from hub.transports.http_stream import KEEP_ALIVE

__all__ = ["AwaitedValues", "Departures", "FinalValues", "RunStream"]


class RunStream(PlanStream):
    """The stream of a run. `departed` is called if the client leaves before the end."""

    departed: Callable[[], None] | None = None

    def leave(self) -> None:
        left_early = self._here and not self.writer.reader.over
        super().leave()
        if left_early and self.departed is not None:
            self.departed()


class AwaitedValues(PlanStream):
    """The values at a run's end as JSON, with white space before them from time to time."""

    async def frames(self) -> AsyncGenerator[bytes]:
        async with aclosing(super().frames()) as frames:
            async for frame in frames:
                yield b"\n" if frame == KEEP_ALIVE else frame


class Departures:
    """What is done after clients have left. `after` begins it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def after(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="after a client of LangGraph left")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)


@dataclass(frozen=True, slots=True)
class FinalValues:
    """Encodes nothing but the values at the end."""

    earlier: bytes = b""

    def opening(self, plan: Snapshot, position: Position) -> bytes:  # noqa: ARG002
        return b""

    def encode(self, advance: Advance) -> Iterable[Encoded]:  # noqa: ARG002
        return ()

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes:  # noqa: ARG002
        return b""

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:  # noqa: ARG002
        if ending.kind == "restart":
            return None
        if ending.kind == "failed":
            return encoded({"__error__": {"error": ending.code, "message": ending.message}})
        values = values_of(plan, self.earlier)
        if interrupts := interrupts_of(plan):
            return b'%b,"__interrupt__":%b}' % (values[:-1], encoded(interrupts))
        if plan.status == "error":
            error = {"error": "PlanError", "message": plan.content or "the plan failed"}
            return b'%b,"__error__":%b}' % (values[:-1], encoded(error))
        return values
