"""A run told as part of a step of an engine's plan: its ids, its retries and its end are the engine's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, cast

from broadcasters.events import StepStatus
from plan_engine.adapters.outlet import Call, Line, Outlet
from plan_engine.adapters.plain import cut, plain
from plan_engine.errors import Cancelled
from plan_engine.run.context import Answer, Context, Question, Stream, ToolUse

__all__ = ["StepOutlet"]

MAX_CONTENT = 8_000


class _ToolFailed(Exception):
    """Ends a tool's block as a failing tool would."""


class StepOutlet(Outlet):
    """The engine's plan has its own steps: those of the run are told as what its agents do."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.plan_id = context.plan_id
        self.taken_up = context.attempt > 1
        self._context = context
        self._begun: set[str] = set()
        self._called: set[str] = set()
        self._messages: dict[str, tuple[AbstractAsyncContextManager[Stream], Stream]] = {}
        self._tools: dict[str, tuple[AbstractAsyncContextManager[ToolUse], ToolUse]] = {}

    async def begin(self) -> None:
        await self._context.checkpoint()

    async def break_off_the_former(self) -> None:
        """The engine has."""

    async def completed(self) -> None:
        for message_id in [*self._messages]:
            await self.end_message(message_id)
        for call_id in [*self._tools]:
            await self.tool_ended(call_id, "broken off", failed=True)

    async def failed(self, error: BaseException) -> None:
        """The engine says why. Blocks left open are left, so that what they say is closed, too."""
        for block, _ in [*self._messages.values(), *self._tools.values()]:
            with suppress(Cancelled, asyncio.CancelledError, type(error)):
                await block.__aexit__(type(error), error, None)

    async def step(self, step_id: str, status: StepStatus, *, title: str, **_: Any) -> None:
        if status == "in_progress" and step_id not in self._begun:
            self._begun.add(step_id)
            await self._context.act(cut(title, 1000))

    async def progress(self, percent: float, text: str | None = None, **_: Any) -> None:
        await self._context.progress(min(100.0, max(0.0, percent)), text and cut(text, MAX_CONTENT))

    async def write(self, line: Line, text: str) -> None:
        if line.message_id not in self._messages:
            block = self._context.stream(line.kind, agent=line.agent)
            self._messages[line.message_id] = block, await block.__aenter__()
        await self._messages[line.message_id][1].write(text.encode("utf-8", "replace").decode())

    async def end_message(self, message_id: str) -> None:
        if known := self._messages.pop(message_id, None):
            await known[0].__aexit__(None, None, None)

    async def tool_started(self, call: Call) -> None:
        if call.call_id in self._called:
            return
        self._called.add(call.call_id)
        block = self._context.tool(call.tool_name, agent=call.agent, **_keywords(plain(call.arguments)))
        self._tools[call.call_id] = block, await block.__aenter__()

    async def tool_ended(self, call_id: str, result: Any, *, failed: bool = False) -> None:
        if (known := self._tools.pop(call_id, None)) is None:
            return
        block, use = known
        use.result = plain(result)
        if not failed:
            await block.__aexit__(None, None, None)
            return
        error = _ToolFailed(cut(str(result), MAX_CONTENT))
        await block.__aexit__(_ToolFailed, error, None)

    async def ask(self, request_id: str, question: Question, **_: Any) -> Answer:  # noqa: ARG002 - the engine has its own
        return await self._context.await_input(
            question.kind, question.prompt, options=question.options, schema=question.schema
        )


def _keywords(arguments: Any) -> Mapping[str, Any]:
    """As the context wants them: by name, and none called `agent`."""
    if arguments is None:
        return {}
    fields = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else None
    return fields if fields is not None and "agent" not in fields else {"arguments": arguments}
