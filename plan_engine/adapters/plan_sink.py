"""Reports a run as a plan of its own, through a broadcaster, and passes people's signals to it.

What the plan has already isn't published again, so that a run which follows one that was killed continues the same plan:
steps that were in progress stay so, texts go on where they broke off, and a question keeps its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any, Final

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import PlanCancelled, PlancastError
from broadcasters.events import STEP_ENDED, AgentMessage, PlanEvent, PlanStatus, StepStatus, StepUpdate, build
from broadcasters.snapshot import MessageState, Snapshot
from broadcasters.usage import Usage
from broadcasters.working import Work
from plan_engine.adapters.conversion import MAX_CONTENT, MAX_TITLE, as_text, cut, plain, plain_object, shortened
from plan_engine.adapters.published import PublishedIds, WrittenMessage, question_signature
from plan_engine.adapters.sink import MessageHeader, RunSink, StepSink, ToolInvocation
from plan_engine.model.interaction import Answer, InputQuestion
from plan_engine.run.context import Context
from plan_engine.run.run_events import BROKEN_OFF, broken_off

__all__ = ["WITHDRAWN", "PlanSink", "reporting"]

WITHDRAWN: Final = "withdrawn"
"""Who "answers" a question that no run waits for any more."""
FAILURE_S: Final = 10.0
"""How long a run that failed waits until that is reported."""
MAX_KEY: Final = 200


@asynccontextmanager
async def reporting(
    plan: str | Context,
    broadcaster: Broadcaster | None,
    *,
    name: str,
    title: str | None = None,
    resumes: bool = False,
) -> AsyncGenerator[RunSink]:
    """The sink for a run of `plan`: a plan's id, or the context of an engine's step.

    A plan of its own is completed when the block is left, fails when an exception leaves it, and is cancelled when the task
    is. When a person cancels it, the block is cancelled and `PlanCancelled` raised. Without a broadcaster, one is opened for
    the run, on the log that PLANCAST_LOG names.

    Args:
        plan: the plan.
        broadcaster: sends its events.
        name: who works on the plan, for people: the framework.
        title: the plan's title.
        resumes: the run itself continues what an earlier one left open.
    """
    if not isinstance(plan, str):
        async with _ending(StepSink(plan)) as step_sink:
            yield step_sink
        return
    async with AsyncExitStack() as stack:
        if broadcaster is None:
            broadcaster = await stack.enter_async_context(Broadcaster())
        async with (work := broadcaster.working(plan, name=name)):
            sink = PlanSink(broadcaster, work, await work.plan(), title=title, resumes=resumes)
            async with _ending(sink), work.interrupting():
                yield sink
            return
        work.check()  # a person has cancelled it


@asynccontextmanager
async def _ending(sink: RunSink) -> AsyncGenerator[RunSink]:
    """Begin and end the run."""
    await sink.begin()
    try:
        yield sink
    except BaseException as error:
        await sink.failed(error)
        raise
    await sink.completed()


class PlanSink(RunSink):
    """Opened and closed by `reporting`. With `resumes`, the run itself continues what an earlier one left open; otherwise it
    starts over: it repeats one that was killed, and what others left open is reported as broken off."""

    def __init__(
        self, broadcaster: Broadcaster, work: Work, snapshot: Snapshot, *, title: str | None, resumes: bool
    ) -> None:
        super().__init__()
        self.plan_id = snapshot.plan_id
        self.resumed = bool(snapshot.steps) and snapshot.status != "completed"
        self._snapshot, self._work, self._broadcaster = snapshot, work, broadcaster
        self._title, self._resumes = title, resumes
        self._since = snapshot.worker.signals_after if snapshot.worker else snapshot.offset
        """Where this run has begun, or the first of those that were killed and that it repeats."""
        if resumes:
            self.run_id = f"run{self._since}"
        self.repeats = snapshot.worker is not None and self._since < snapshot.worker.offset
        self._ids = PublishedIds(snapshot, None if resumes else self._since)
        self._steps: dict[str, StepStatus] = {step.step_id: step.status for step in snapshot.steps}
        self._done = {step.step_id for step in snapshot.steps if step.status == "completed" and self._repeats(step)}
        self._calls = {call.call_id: call.phase for call in snapshot.tool_calls if resumes or self._repeats(call)}
        self._tools = {
            call.call_id: ToolInvocation(call.call_id, call.tool_name, call.agent_name)
            for call in snapshot.tool_calls
            if call.phase == "started"
        }
        self._before = {message.message_id: message for message in snapshot.messages}
        self._begun: set[str] = set()
        self._messages: dict[str, WrittenMessage] = {}
        self._last: dict[tuple[str, str | None], dict[str, Any]] = {}
        """The fields of the last message that each agent began in each step."""
        self._usage: dict[str, tuple[Usage, str, str | None]] = {}
        """Counted and not yet accepted by the log, by the keys of the events: with agent and step."""
        self._usage_keys = (f"usage:{self._work.worker_id}:{number}" for number in count(1))

    def _repeats(self, part: Any) -> bool:
        """Whether a part of the plan is of a run that was killed and that this one repeats."""
        return not self._resumes and part.offset > self._since

    def continue_after(self, call_ids: Collection[str]) -> None:
        done = (call.offset for call in self._snapshot.tool_calls if call.call_id in call_ids)
        self._ids = PublishedIds(self._snapshot, max(done, default=self._since))

    # ---- beginning and end

    async def begin(self) -> None:
        title = self._title and cut(self._title, MAX_TITLE)
        plan = self._snapshot
        paused = plan.status == "waiting" and (plan.data or {}).get("signal") == "pause"
        if (plan.status != "in_progress" and not paused) or (title is not None and title != plan.title):
            status: PlanStatus = "waiting" if paused else "in_progress"
            await self._broadcaster.send_plan_update(self.plan_id, title=title, status=status, message_type=None)
        if not self._resumes:
            await self._broken_off(self._since)

    async def checkpoint(self) -> None:
        await self._work.checkpoint()

    async def completed(self) -> None:
        await self._close("cancelled", None)
        await self._end("completed", None)

    async def failed(self, error: BaseException) -> None:
        """Report the failure, if the log is available. The error itself is raised to the caller."""
        if self._work.taken_over:
            return
        stopped = isinstance(error, PlanCancelled)
        cancelled = stopped or not isinstance(error, Exception)
        status: PlanStatus = "cancelled" if cancelled else "error"
        with suppress(PlancastError, TimeoutError):
            async with asyncio.timeout(FAILURE_S):
                await self._close_parts(asyncio.CancelledError() if stopped else error)
                if not stopped:  # else the end of the work reports the end of the plan
                    await self._close("cancelled" if cancelled else "error", error)
                    await self._end(status, "Cancelled." if cancelled else as_text(error))

    async def _end(self, status: PlanStatus, content: str | None) -> None:
        result = None if self.result is None else {"result": plain(self.result)}
        await self._broadcaster.send_plan_update(
            self.plan_id, content=content, status=status, message_type=None, data=result
        )

    async def _close(self, status: StepStatus, error: BaseException | None) -> None:
        """End the messages, tool calls and steps that are open, and those of earlier runs."""
        await self._close_parts(error)
        await self._close_before(self._snapshot.offset)
        await self._close_steps(status, self._steps)

    async def _close_parts(self, error: BaseException | None) -> None:
        messages, self._messages = self._messages, {}
        for message in messages.values():
            await message.end(error)
        for call_id in [*self._tools]:
            await self._tool_broken_off(call_id)
        await self._report_usage(ending=True)

    async def _tool_broken_off(self, call_id: str) -> None:
        if call := self._tools.pop(call_id, None):
            await self._tool(call, "error", result=BROKEN_OFF)

    async def _close_steps(self, status: StepStatus, step_ids: Iterable[str]) -> None:
        for step_id in [*step_ids]:
            if self._steps[step_id] not in STEP_ENDED:
                await self._broadcaster.send_step_update(self.plan_id, step_id, status, BROKEN_OFF)
                self._steps[step_id] = status

    async def close_earlier_run(self) -> None:
        await self._broken_off(self._snapshot.offset)

    async def _broken_off(self, offset: int) -> None:
        """Report as broken off what earlier runs have left open, as far as it began before this offset."""
        await self._close_before(offset)
        for call in self._snapshot.tool_calls:
            if call.offset <= offset:
                await self._tool_broken_off(call.call_id)
        await self._close_steps("error", (step.step_id for step in self._snapshot.steps if step.offset <= offset))

    async def _close_before(self, offset: int) -> None:
        """End the questions and messages of earlier runs that this one has not repeated."""
        plan = self._snapshot
        for request in plan.inputs:
            if request.answered_at is None and request.offset <= offset and request.request_id not in self._begun:
                await self._broadcaster.send_input_response(self.plan_id, request.request_id, None, by=WITHDRAWN)
                self._begun.add(request.request_id)
        for message in plan.messages:
            if message.streaming and message.offset <= offset and message.message_id not in self._begun:
                await self._broadcaster.send(broken_off(self.plan_id, message, BROKEN_OFF))
                self._before[message.message_id] = message.model_copy(update={"streaming": False, "error": BROKEN_OFF})

    # ---- steps and progress

    async def step(
        self, step_id: str, status: StepStatus, *, title: str, content: str | None = None, data: Any = None
    ) -> None:
        await self.checkpoint()
        title = cut(title, MAX_TITLE)
        step_id = self._ids.of(step_id, "step", title)
        if self._steps.get(step_id) == status or (step_id in self._done and status == "in_progress"):
            return
        self._steps[step_id] = status  # before it is sent, so that it is ended if the run is cancelled meanwhile
        await self._broadcaster.send_step_update(
            self.plan_id, step_id, status, cut(content or "", MAX_CONTENT), title=title, data=plain_object(data)
        )

    async def progress(self, percent: float, text: str | None = None, *, step_id: str | None = None) -> None:
        await self.checkpoint()
        percent, text = min(100.0, max(0.0, percent)), text and cut(text, MAX_CONTENT)
        step_id = self._ids.known("step", step_id)
        if step_id is None:
            await self._broadcaster.send_plan_update(self.plan_id, content=text, progress=percent, message_type=None)
        elif step_id not in self._done:
            await self._broadcaster.send_step_update(self.plan_id, step_id, "in_progress", text or "", progress=percent)

    # ---- messages

    async def write(self, header: MessageHeader, text: str) -> None:
        await self.checkpoint()
        message = self._messages.get(header.message_id)
        if message is None:
            message = self._messages[header.message_id] = await self._begin_message(header)
        await message.write(text.encode("utf-8", "replace").decode())

    async def _begin_message(self, header: MessageHeader) -> WrittenMessage:
        agent = shortened(header.agent)
        message_id = self._ids.of(header.message_id, "message", agent, header.kind)
        known = await self._published(message_id)
        self._begun.add(message_id)
        ids = {"message_id": message_id, "step_id": self._ids.known("step", header.step_id)}
        self._last[agent, ids["step_id"]] = {"agent_name": agent, "message_type": header.kind, **ids}
        return WrittenMessage(self._broadcaster, self.plan_id, agent, header.kind, ids, known)

    async def _published(self, message_id: str) -> MessageState | None:
        """The message of this id as the plan has it, if its sender runs again."""
        if message_id not in self._begun:
            return self._before.get(message_id)
        plan = await self._work.plan()
        return next((one for one in plan.messages if one.message_id == message_id), None)

    async def end_message(self, message_id: str) -> None:
        if message := self._messages.pop(message_id, None):
            await message.end()

    # ---- tools

    async def tool_started(self, call: ToolInvocation) -> None:
        await self.checkpoint()
        own_id, agent = call.call_id, shortened(call.agent)
        step_id = self._ids.known("step", call.step_id)
        call_id = self._ids.of(own_id, "tool", agent, shortened(call.tool_name), step_id)
        phase, self._calls[call_id] = self._calls.get(call_id), "started"
        call = replace(call, call_id=call_id)
        if phase is None:
            self._tools[call_id] = call
            await self._tool(call, "started", arguments=plain(call.arguments))

    async def tool_ended(self, call_id: str, result: Any, *, failed: bool = False) -> None:
        await self.checkpoint()
        if call := self._tools.pop(self._ids.known("tool", call_id) or "", None):
            await self._tool(call, "error" if failed else "completed", result=plain(result))

    async def _tool(self, call: ToolInvocation, phase: Any, **fields: Any) -> None:
        step_id = self._ids.known("step", call.step_id)
        names = shortened(call.agent), call.call_id, shortened(call.tool_name)
        await self._broadcaster.send_tool_call(self.plan_id, *names, phase, step_id=step_id, **fields)

    # ---- usage

    def count_usage(self, usage: Usage, *, agent: str, step_id: str | None = None) -> None:
        self._usage[next(self._usage_keys)] = usage, shortened(agent), self._ids.known("step", step_id)

    async def report_usage(self) -> None:
        await self.checkpoint()
        await self._report_usage()

    async def _report_usage(self, *, ending: bool = False) -> None:
        for key, (usage, agent, step_id) in [*self._usage.items()]:
            if (event := self._usage_event(usage, agent, step_id, ending=ending)) is not None:
                await self._broadcaster.send(event, key=key)
                self._usage.pop(key, None)

    def _usage_event(self, usage: Usage, agent: str, step_id: str | None, *, ending: bool) -> PlanEvent | None:
        """A further part of the agent's last message, or an update of its step. At the end of the run the usage of an agent
        that has sent no message goes with the last message of another one, or in a message of its own."""
        message = self._last.get((agent, step_id))
        known: dict[str, Any] = {"plan_id": self.plan_id, "agent_name": agent, "usage": usage}
        if message is None and step_id in self._steps:
            return build(StepUpdate, {**known, "step_id": step_id, "status": self._steps[step_id]})
        if message is None and ending:
            message = next(reversed(self._last.values()), {"content": _in_words(usage), "append": None})
        return None if message is None else build(AgentMessage, {"content": "", "append": True, **message, **known})

    # ---- questions

    async def ask(self, request_id: str, question: InputQuestion, *, agent: str, step_id: str | None = None) -> Answer:
        own_id = request_id if self._resumes else f"{self.run_id}.{request_id}"
        key = self._ids.of(_key(own_id), *question_signature(question))
        self._begun.add(key)
        return await self._broadcaster.await_input(
            self.plan_id,
            question.kind,
            question.prompt,
            options=question.options,
            schema=question.schema,
            key=key,
            step_id=self._ids.known("step", step_id),
            agent_name=shortened(agent),
        )


def _in_words(usage: Usage) -> str:
    return f"{usage.model or 'The model'} used {usage.input_tokens or 0} input and {usage.output_tokens or 0} output tokens."


def _key(request_id: str) -> str:
    """The request's id, as far as it can be a key."""
    if len(request_id) <= MAX_KEY and request_id.isprintable():
        return request_id
    return sha256(request_id.encode(errors="replace")).hexdigest()[:40]
