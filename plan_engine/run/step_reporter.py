"""What one attempt of a step says. Once the attempt is over its voice is closed, and nothing more is told by it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

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
from plan_engine.errors import Cancelled
from plan_engine.model.plan import Step
from plan_engine.run.reporter import Keyed, Teller
from plan_engine.run.run_state import Course
from plan_engine.run.stopwatch import Stopwatch

__all__ = ["BROKEN_OFF", "Voice"]

BROKEN_OFF: Final = "broken off"
"""What is told of a tool that nobody waits for any more."""


class Voice:
    """Every word gets a key of step, attempt and a number in the attempt, so that no word of it is told twice.

    With `goes_on_after`, so many events had been told when another worker left the attempt waiting for a person. Its
    agent begins anew, and `retells` what it said already, which isn't told again, until it is back at a question."""

    def __init__(
        self,
        teller: Teller,
        course: Course,
        step: Step,
        *,
        attempt: int,
        max_attempts: int,
        restarts: int = 0,
        watch: Stopwatch | None = None,
        goes_on_after: int = 0,
    ) -> None:
        self.step = step
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.course = course
        self.watch = watch or Stopwatch(None)
        self.closed = False
        self.retells = goes_on_after > 0
        self.told: StepStatus = "waiting" if goes_on_after else "pending"
        """How the step was last told to go."""
        self._name = f"{step.id}:{attempt}" + (f"+{goes_on_after}" if goes_on_after else "")
        self._teller = teller
        self._restarts = restarts
        self._said = 0
        self._messages: dict[str, RollUp] = {}
        self._made: Counter[str] = Counter()
        self._tools: dict[str, dict[str, Any]] = {}
        self._on_close: set[Callable[[], object]] = set()

    @property
    def plan_id(self) -> str:
        return self._teller.plan_id

    def next_id(self, kind: str) -> str:
        """A name for something this attempt does: a message, a tool call."""
        self._said += 1
        return f"{self._name}:{kind}{self._said}"

    # ---- the gate that every word passes

    async def gate(self) -> None:
        """Wait while the plan is paused; `Cancelled` once the attempt is over."""
        if not self.course.going.is_set() and not self.closed:
            with self.resting():
                await self.course.going.wait()
        if self.closed:
            raise Cancelled(f"this attempt of step {self.step.id!r} is over; nothing it says is told")

    @contextmanager
    def resting(self) -> Generator[None]:
        """Inside, the agent waits: its time doesn't count, and others may be worked on."""
        with self.watch.stopped(), self.course.resting(self.step.id):
            yield

    def on_close(self, call: Callable[[], object]) -> Callable[[], None]:
        """Call it when the voice is closed, unless what is returned here is called before."""
        self._on_close.add(call)
        return lambda: self._on_close.discard(call)

    # ---- words

    async def say(self, cls: type[PlanEvent], **fields: Any) -> None:
        """Say something of the plan, as of this step."""
        await self.gate()
        event = build(cls, {"plan_id": self.plan_id, "step_id": self.step.id, **fields})
        with self.watch.stopped():
            await self._tell(event, self._key())

    async def _tell(self, event: PlanEvent, key: str) -> None:
        if not self.retells:
            await self._teller.tell(event, key)

    async def tell_asked(self, event: PlanEvent, key: str) -> Position:
        """Say something that is the same in every attempt, under a key of its own."""
        await self.gate()
        with self.watch.stopped():
            return await self._teller.tell(event, key)

    async def begin(self) -> None:
        """Say that this attempt begins."""
        await self.gate()
        if not self.retells:
            await self._teller.tell_all([self.update("in_progress", key=f"{self.step.id}:{self.attempt}:begin")])

    async def retrying(self, content: str, data: Mapping[str, Any] | None = None) -> None:
        """Say why there is this attempt, after another one."""
        await self.gate()
        said = self.update("retrying", content, data=data, key=f"{self.step.id}:{self.attempt}:retrying")
        await self._teller.tell_all([said])

    async def status(self, status: StepStatus, content: str | None = None, *more: Keyed) -> None:
        """Say how the step goes, and with it, in the same append, what else there is to say."""
        await self.gate()
        said = [] if self.retells else [self.update(status, content)]
        await self._teller.tell_all([*said, *more])

    async def progress(self, percent: float, text: str | None, data: Mapping[str, Any] | None) -> None:
        await self.gate()
        said = self.update("in_progress", text, progress=percent, data=data)
        of_the_plan = [*self.course.progress(self.step.id, percent)]
        if not self.retells:
            with self.watch.stopped():
                await self._teller.tell_all([said, *of_the_plan])

    def update(
        self,
        status: StepStatus,
        content: str | None = None,
        *,
        key: str | None = None,
        data: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Keyed:
        """How the step goes, to be told."""
        if not self.retells:
            self.told = status
        if self._restarts:
            data = {**(data or {}), "restarts": self._restarts}
        known = {"plan_id": self.plan_id, "step_id": self.step.id, "status": status, "content": content, "data": data}
        attempt = {"attempt": self.attempt, "max_attempts": self.max_attempts}
        return build(StepUpdate, {**known, **attempt, **fields}), key or self._key()

    async def tell(self, said: Iterable[Keyed]) -> None:
        """Tell it even though the voice may be closed: the last words on a step are not the agent's."""
        await self._teller.tell_all(said)

    def _key(self) -> str:
        self._said += 1
        return f"{self._name}:{self._said}"

    # ---- messages in pieces

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
        self._messages[message_id] = RollUp(fields, self._tell_part)
        return message_id

    async def write(self, message_id: str, text: str) -> None:
        await self.gate()
        with self.watch.stopped():
            await self._messages[message_id].write(text)

    async def close_message(self, message_id: str, error: BaseException | None = None) -> None:
        """Close it, with a mark when it broke off. (When the voice was closed first, it is closed already.)"""
        if message := self._messages.pop(message_id, None):
            with self.watch.stopped():
                await self._end_message(message, error)

    async def _tell_part(self, part: AgentMessage) -> None:
        await self._tell(part, self._key())

    async def _end_message(self, message: RollUp, error: BaseException | None) -> None:
        """Sends what is left of the message, and its end. A failed part matters less than an error given here."""
        await message.stop()
        if error is None:
            message.raise_failure()
        for part in message.rest(error):
            await self._tell_part(part)

    # ---- things made

    async def made(self, fields: Mapping[str, Any]) -> Position:
        """Show it, unless an earlier attempt did: the n-th time the very same thing is made has the same key in all."""
        artifact = build(Artifact, {"plan_id": self.plan_id, "step_id": self.step.id, **fields})
        shown = artifact.model_dump_json(exclude={"timestamp"})
        digest = sha256(shown.encode()).hexdigest()[:16]
        self._made[digest] += 1
        return await self.tell_asked(artifact, f"{self.step.id}:made:{digest}:{self._made[digest]}")

    # ---- tools

    async def open_tool(self, agent_name: str, tool_name: str, arguments: Any) -> str:
        await self.gate()
        call_id = self.next_id("tool")
        call = {"call_id": call_id, "agent_name": agent_name, "tool_name": tool_name}
        known = {"plan_id": self.plan_id, "step_id": self.step.id, **call}
        started = build(ToolCall, {**known, "phase": "started", "arguments": arguments})
        if not self.retells:
            self._tools[call_id] = call  # before it is told: whoever is cancelled meanwhile must know of it
        with self.watch.stopped():
            await self._tell(started, self._key())
        return call_id

    async def close_tool(self, call_id: str, phase: ToolPhase, result: Any) -> None:
        """Say how it went. (When the voice was closed first, that was said already.)"""
        await self.gate()
        if call := self._tools.get(call_id):
            with self.watch.stopped():
                await self._teller.tell_all([self._tool_ended(call, phase, result)])
            self._tools.pop(call_id, None)

    def _tool_ended(self, call: Mapping[str, Any], phase: ToolPhase, result: Any) -> Keyed:
        known = {"plan_id": self.plan_id, "step_id": self.step.id, **call}
        return build(ToolCall, {**known, "phase": phase, "result": result}), f"{call['call_id']}:end"

    # ---- the end

    def shut(self) -> None:
        """Nothing the agent says from here on is told."""
        self.closed = True
        for call in [*self._on_close]:
            call()
        self._on_close.clear()

    async def close(self, why: BaseException | None = None) -> None:
        """Shut it, and tell that messages and tools which were left open have broken off. Harmless twice."""
        self.shut()
        tools, self._tools = self._tools, {}
        messages, self._messages = self._messages, {}
        if self._teller.silenced:
            return
        broken = why or asyncio.CancelledError()
        await asyncio.gather(*(self._end_message(message, broken) for message in messages.values()))
        if tools:
            await self._teller.tell_all(self._tool_ended(call, "error", BROKEN_OFF) for call in tools.values())
