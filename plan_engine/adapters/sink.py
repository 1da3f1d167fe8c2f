"""Where an adapter reports a run: `PlanSink` makes it a plan of its own, `StepSink` a part of an engine's step."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from broadcasters.events import MessageType, StepStatus
from broadcasters.usage import Usage
from plan_engine.adapters.conversion import MAX_CONTENT, MAX_TITLE, cut, plain
from plan_engine.errors import Cancelled
from plan_engine.model.interaction import Answer, InputQuestion
from plan_engine.run.context import Context, Stream, ToolUse

__all__ = ["MessageHeader", "RunSink", "StepSink", "ToolInvocation", "gather_or_cancel"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """A message without its text."""

    message_id: str
    agent: str
    kind: MessageType = "result"
    step_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """A tool call without its result."""

    call_id: str
    tool_name: str
    agent: str
    arguments: Any = None
    step_id: str | None = None


class RunSink(ABC):
    """Every method returns once its event is durable. Names and texts may be of any length, and data of any type: both are
    converted and bounded here. `result` is what the run returned, reported when it ends."""

    plan_id: str
    result: Any = None
    resumed: bool = False
    """Whether this run was begun before, and not finished."""
    repeats: bool = False
    """Whether it was begun by a process that was killed, or an earlier attempt of the engine's step."""

    def __init__(self) -> None:
        self.run_id = secrets.token_hex(6)
        """A unique prefix for ids, where the framework has none. A run that continues another one has the same."""

    @abstractmethod
    async def step(
        self, step_id: str, status: StepStatus, *, title: str, content: str | None = None, data: Any = None
    ) -> None:
        """Report the status of a part of the run. Does nothing if that is its status already."""

    @abstractmethod
    async def progress(self, percent: float, text: str | None = None, *, step_id: str | None = None) -> None:
        """Report the progress of the run, or of one step of it, from 0 to 100."""

    @abstractmethod
    async def write(self, header: MessageHeader, text: str) -> None:
        """Add text to a message. Begins it if it isn't open; a message of that id that was ended is replaced."""

    @abstractmethod
    async def end_message(self, message_id: str) -> None:
        """End a message. Does nothing if it isn't open."""

    @abstractmethod
    async def tool_started(self, call: ToolInvocation) -> None:
        """Report that a tool is used. Does nothing if that was reported."""

    @abstractmethod
    async def tool_ended(self, call_id: str, result: Any, *, failed: bool = False) -> None:
        """Report a tool's result. Does nothing if the call isn't open."""

    @abstractmethod
    def count_usage(self, usage: Usage, *, agent: str, step_id: str | None = None) -> None:
        """Count what was used of a model, once. `report_usage` sends it, or the end of the run, also if the run fails."""

    @abstractmethod
    async def report_usage(self) -> None:
        """Report the usage that was counted since the last report."""

    @abstractmethod
    async def ask(self, request_id: str, question: InputQuestion, *, agent: str, step_id: str | None = None) -> Answer:
        """Ask a person, and wait for the answer."""

    @abstractmethod
    async def checkpoint(self) -> None:
        """Wait while the plan is paused. Every method does that reports something."""

    async def message(self, header: MessageHeader, text: str) -> None:
        """Send a whole message."""
        await self.write(header, text)
        await self.end_message(header.message_id)

    @abstractmethod
    async def close_earlier_run(self) -> None:
        """Report that what an earlier run left open has broken off."""

    @abstractmethod
    def continue_after(self, call_ids: Collection[str]) -> None:
        """The run does not begin from the start, but goes on after these tool calls. Call it before anything is reported."""

    # ---- beginning and end; called by `reporting`

    @abstractmethod
    async def begin(self) -> None: ...

    @abstractmethod
    async def completed(self) -> None: ...

    @abstractmethod
    async def failed(self, error: BaseException) -> None: ...


class _ToolFailed(Exception):
    """Leaves a tool's block as an error of the tool does."""


class StepSink(RunSink):
    """Part of an engine's step, which has ids, retries and an end of its own. Steps of the run become `action` messages."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.plan_id = context.plan_id
        self.run_id = context.key
        self.resumed = self.repeats = context.attempt > 1
        self._context = context
        self._begun: set[str] = set()
        self._called: set[str] = set()
        self._messages: dict[str, tuple[AbstractAsyncContextManager[Stream], Stream]] = {}
        self._tools: dict[str, tuple[AbstractAsyncContextManager[ToolUse], ToolUse]] = {}
        self._usage: deque[tuple[Usage, str]] = deque()

    async def begin(self) -> None:
        await self._context.checkpoint()

    async def checkpoint(self) -> None:
        await self._context.checkpoint()

    def continue_after(self, call_ids: Collection[str]) -> None:
        """Each attempt of a step has ids of its own."""

    async def close_earlier_run(self) -> None:
        """The engine has done so."""

    async def completed(self) -> None:
        for message_id in [*self._messages]:
            await self.end_message(message_id)
        for call_id in [*self._tools]:
            await self.tool_ended(call_id, "broken off", failed=True)
        await self.report_usage()

    async def failed(self, error: BaseException) -> None:
        """Close what is open with the error, and report what was used. The engine reports the error itself."""
        for block, _ in [*self._messages.values(), *self._tools.values()]:
            with suppress(Cancelled, asyncio.CancelledError, type(error)):
                await block.__aexit__(type(error), error, None)
        while self._usage:
            with suppress(Cancelled, asyncio.CancelledError):  # the step's end sends it then
                await self.report_usage()

    async def step(self, step_id: str, status: StepStatus, *, title: str, **_: Any) -> None:
        if status == "in_progress" and step_id not in self._begun:
            self._begun.add(step_id)
            await self._context.act(cut(title, MAX_TITLE))

    async def progress(self, percent: float, text: str | None = None, **_: Any) -> None:
        await self._context.progress(min(100.0, max(0.0, percent)), text and cut(text, MAX_CONTENT))

    async def write(self, header: MessageHeader, text: str) -> None:
        if header.message_id not in self._messages:
            block = self._context.stream(header.kind, agent=header.agent)
            self._messages[header.message_id] = block, await block.__aenter__()
        await self._messages[header.message_id][1].write(text.encode("utf-8", "replace").decode())

    async def end_message(self, message_id: str) -> None:
        if known := self._messages.pop(message_id, None):
            await known[0].__aexit__(None, None, None)

    async def tool_started(self, call: ToolInvocation) -> None:
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

    def count_usage(self, usage: Usage, *, agent: str, **_: Any) -> None:
        self._usage.append((usage, agent))

    async def report_usage(self) -> None:
        while self._usage:
            usage, agent = self._usage.popleft()
            await self._context.report_usage(usage, agent=agent)

    async def ask(self, request_id: str, question: InputQuestion, **_: Any) -> Answer:  # noqa: ARG002 - the engine makes ids
        return await self._context.await_input(
            question.kind, question.prompt, options=question.options, schema=question.schema
        )


def _keywords(arguments: Any) -> Mapping[str, Any]:
    """A call's arguments as keyword arguments of `Context.tool`, which has one named `agent` itself."""
    if arguments is None:
        return {}
    fields = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else None
    return fields if fields is not None and "agent" not in fields else {"arguments": arguments}


async def gather_or_cancel(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines concurrently. Returns their results in order; if one fails, cancels the others and raises its error."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
