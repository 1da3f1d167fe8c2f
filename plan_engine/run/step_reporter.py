"""Reports what one attempt of a step does. Closed when the attempt is over: the agent then reports nothing more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from broadcasters.events import (
    AgentMessage,
    Artifact,
    MessageType,
    PlanEvent,
    StepStatus,
    StepUpdate,
    ToolCall,
    ToolPhase,
    build,
)
from broadcasters.position import Position
from broadcasters.streamed_message import RollUp
from broadcasters.usage import UsageFields, usage_of
from plan_engine.errors import Cancelled
from plan_engine.model.plan import Step
from plan_engine.run.reporter import Reporter
from plan_engine.run.run_events import BROKEN_OFF, KeyedEvent, tool_end
from plan_engine.run.run_state import RunState

__all__ = ["StepReporter", "Stopwatch"]


class Stopwatch:
    """The working time of an attempt: without the time it waits for people or for the log, or is paused.

    `over` is resolved when `seconds` of work have passed since `start`; without seconds, never. The owner must close it."""

    def __init__(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._remaining = seconds
        self._since = 0.0
        self._stops = 1
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to count. Must be called once."""
        self._release()

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Don't count inside the block. Blocks may overlap."""
        self._stops += 1
        self._halt()
        try:
            yield
        finally:
            self._release()

    def close(self) -> None:
        self._stops += 1
        self._halt()

    def _release(self) -> None:
        self._stops -= 1
        if not self._stops and self._remaining is not None and not self.over.done():
            self._since = self._loop.time()
            self._timer = self._loop.call_later(max(0.0, self._remaining), self._expire)

    def _halt(self) -> None:
        if self._timer is not None and self._remaining is not None:
            self._timer.cancel()
            self._timer = None
            self._remaining -= self._loop.time() - self._since

    def _expire(self) -> None:
        self._timer = None
        self._remaining = 0.0
        if not self.over.done():
            self.over.set_result(None)


class StepReporter:
    """Each event gets a key made of step, attempt and a number in the attempt, so that a retry appends nothing twice.

    `resumes_after` is set when another worker left this attempt waiting for a person: the plan's offset at that point. The
    agent then runs again from its beginning, and the reporter is `replaying`: what was reported before isn't sent again
    until the agent is back at its question."""

    def __init__(
        self,
        reporter: Reporter,
        run_state: RunState,
        step: Step,
        *,
        attempt: int,
        max_attempts: int,
        restarts: int = 0,
        stopwatch: Stopwatch | None = None,
        resumes_after: int = 0,
    ) -> None:
        self.step = step
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.run_state = run_state
        self.stopwatch = stopwatch or Stopwatch(None)
        self.closed = False
        self.replaying = resumes_after > 0
        self.reported: StepStatus = "waiting" if resumes_after else "pending"
        """The step's latest reported status."""
        self._key_prefix = f"{step.id}:{attempt}" + (f"+{resumes_after}" if resumes_after else "")
        self._reporter = reporter
        self._restarts = restarts
        self._count = 0
        self._messages: dict[str, RollUp] = {}
        self._artifacts: Counter[str] = Counter()
        self._tools: dict[str, dict[str, Any]] = {}
        self._usage_of_tools: dict[str, UsageFields | None] = {}
        self._usage: dict[str, PlanEvent] = {}
        """Reported by the agent and not yet accepted by the log, by key."""
        self._on_close: set[Callable[[], object]] = set()

    @property
    def plan_id(self) -> str:
        return self._reporter.plan_id

    def next_id(self, kind: str) -> str:
        """An id for a message or tool call of this attempt."""
        self._count += 1
        return f"{self._key_prefix}:{kind}{self._count}"

    # ---- before each event

    async def gate(self) -> None:
        """Wait while the plan is paused. Raises `Cancelled` once the attempt is over."""
        if not self.run_state.going.is_set() and not self.closed:
            with self.resting():
                await self.run_state.going.wait()
        if self.closed:
            raise Cancelled(f"this attempt of step {self.step.id!r} is over; it can report nothing more")

    @contextmanager
    def resting(self) -> Generator[None]:
        """The agent waits inside the block: its time isn't counted, and the worker may run other plans."""
        with self.stopwatch.stopped(), self.run_state.resting(self.step.id):
            yield

    def on_close(self, call: Callable[[], object]) -> Callable[[], None]:
        """Call `call` when the reporter is closed. Returns a function that takes this back."""
        self._on_close.add(call)
        return lambda: self._on_close.discard(call)

    # ---- events

    async def report(self, cls: type[PlanEvent], **fields: Any) -> None:
        """Send an event of this class about this step."""
        await self.gate()
        event = build(cls, {"plan_id": self.plan_id, "step_id": self.step.id, **fields})
        with self.stopwatch.stopped():
            await self._send(event, self._key())

    async def _send(self, event: PlanEvent, key: str) -> None:
        if not self.replaying:
            await self._reporter.send(event, key)

    async def send_keyed(self, event: PlanEvent, key: str) -> Position:
        """Send an event that is the same in every attempt, under a key of its own."""
        await self.gate()
        with self.stopwatch.stopped():
            return await self._reporter.send(event, key)

    async def begin(self) -> None:
        """Report that this attempt begins."""
        await self.gate()
        if not self.replaying:
            await self._reporter.send_all([self.update("in_progress", key=f"{self.step.id}:{self.attempt}:begin")])

    async def retrying(self, content: str, data: Mapping[str, Any] | None = None) -> None:
        """Report why this attempt follows another one."""
        await self.gate()
        event = self.update("retrying", content, data=data, key=f"{self.step.id}:{self.attempt}:retrying")
        await self._reporter.send_all([event])

    async def status(self, status: StepStatus, content: str | None = None, *more: KeyedEvent) -> None:
        """Report the step's status and, in the same append, `more`."""
        await self.gate()
        own = [] if self.replaying else [self.update(status, content)]
        await self._reporter.send_all([*own, *more])

    async def progress(self, percent: float, text: str | None, data: Mapping[str, Any] | None) -> None:
        await self.gate()
        own = self.update("in_progress", text, progress=percent, data=data)
        of_the_plan = [*self.run_state.progress(self.step.id, percent)]
        if not self.replaying:
            with self.stopwatch.stopped():
                await self._reporter.send_all([own, *of_the_plan])

    async def report_usage(self, usage: UsageFields, agent_name: str) -> None:
        """Report usage of this attempt that no message or tool call reports. If the attempt is over, `close` sends it."""
        status: StepStatus = "in_progress" if self.reported == "pending" else self.reported
        event, key = self.update(status, agent_name=agent_name, usage=usage)
        if not self.replaying:
            self._usage[key] = event
        await self.gate()
        with self.stopwatch.stopped():
            await self._send(event, key)
        self._usage.pop(key, None)

    def update(
        self,
        status: StepStatus,
        content: str | None = None,
        *,
        key: str | None = None,
        data: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> KeyedEvent:
        """A step update with this attempt's numbers, to be sent by the caller."""
        if not self.replaying:
            self.reported = status
        if self._restarts:
            data = {**(data or {}), "restarts": self._restarts}
        known = {"plan_id": self.plan_id, "step_id": self.step.id, "status": status, "content": content, "data": data}
        attempt = {"attempt": self.attempt, "max_attempts": self.max_attempts}
        return build(StepUpdate, {**known, **attempt, **fields}), key or self._key()

    def _key(self) -> str:
        self._count += 1
        return f"{self._key_prefix}:{self._count}"

    # ---- streamed messages

    async def open_message(self, agent_name: str, kind: MessageType) -> str:
        await self.gate()
        message_id = self.next_id("message")
        fields = {
            "plan_id": self.plan_id,
            "agent_name": agent_name,
            "message_type": kind,
            "step_id": self.step.id,
            "message_id": message_id,
        }
        self._messages[message_id] = RollUp(fields, self._send_part)
        return message_id

    async def write(self, message_id: str, text: str) -> None:
        await self.gate()
        with self.stopwatch.stopped():
            await self._messages[message_id].write(text)

    def report_message_usage(self, message_id: str, usage: UsageFields) -> None:
        """Send this usage with the message's last part."""
        usage = usage_of(usage)
        if message := self._messages.get(message_id):
            message.usage = usage

    async def close_message(self, message_id: str, error: BaseException | None = None) -> None:
        """Close it, with an error mark when it broke off. Does nothing if `close` has closed it already."""
        if message := self._messages.pop(message_id, None):
            with self.stopwatch.stopped():
                await self._end_message(message, error)

    async def _send_part(self, part: AgentMessage) -> None:
        await self._send(part, self._key())

    async def _end_message(self, message: RollUp, error: BaseException | None) -> None:
        """Send the rest of the message, and its end. A part that failed matters less than `error`."""
        await message.stop()
        if error is None:
            message.raise_failure()
        for part in message.rest(error):
            await self._send_part(part)

    # ---- artifacts

    async def artifact(self, fields: Mapping[str, Any]) -> Position:
        """Send an artifact unless an earlier attempt did: the n-th identical one has the same key in every attempt."""
        artifact = build(Artifact, {"plan_id": self.plan_id, "step_id": self.step.id, **fields})
        content = artifact.model_dump_json(exclude={"timestamp"})
        digest = sha256(content.encode()).hexdigest()[:16]
        self._artifacts[digest] += 1
        return await self.send_keyed(artifact, f"{self.step.id}:made:{digest}:{self._artifacts[digest]}")

    # ---- tools

    async def open_tool(self, agent_name: str, tool_name: str, arguments: Any) -> str:
        await self.gate()
        call_id = self.next_id("tool")
        ids = {"plan_id": self.plan_id, "step_id": self.step.id, "call_id": call_id}
        call = {**ids, "agent_name": agent_name, "tool_name": tool_name}
        started = build(ToolCall, {**call, "phase": "started", "arguments": arguments})
        if not self.replaying:
            self._tools[call_id] = call  # before it is sent, so that it is closed if the attempt is cancelled meanwhile
        with self.stopwatch.stopped():
            await self._send(started, self._key())
        return call_id

    async def close_tool(self, call_id: str, phase: ToolPhase, result: Any, usage: UsageFields | None = None) -> None:
        """Report a tool's result. Does nothing if `close` has ended the call already."""
        self.count_tool_usage(call_id, usage)
        await self.gate()
        if call := self._tools.get(call_id):
            with self.stopwatch.stopped():
                await self._reporter.send_all([tool_end(call, phase, result, usage)])
            self._tools.pop(call_id, None)

    def count_tool_usage(self, call_id: str, usage: UsageFields | None) -> None:
        """Keep what a tool has used of a model, for `close` if that ends the call."""
        self._usage_of_tools[call_id] = usage

    # ---- the end

    def shut(self) -> None:
        """Accept no more events from the agent."""
        self.closed = True
        for call in [*self._on_close]:
            call()
        self._on_close.clear()

    async def close(self, why: BaseException | None = None) -> None:
        """Shut, and report that the messages and tool calls still open have broken off, and the usage that is not reported
        yet. Idempotent."""
        self.shut()
        tools, self._tools = self._tools, {}
        messages, self._messages = self._messages, {}
        usage, self._usage = self._usage, {}
        if self._reporter.silenced:
            return
        error = why or asyncio.CancelledError()
        await asyncio.gather(*(self._end_message(message, error) for message in messages.values()))
        if tools or usage:
            used = self._usage_of_tools
            ends = [tool_end(call, "error", BROKEN_OFF, used.get(call_id)) for call_id, call in tools.items()]
            await self._reporter.send_all([*ends, *((event, key) for key, event in usage.items())])
