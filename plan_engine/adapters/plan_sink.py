"""Reports a run as a plan of its own, through a broadcaster.

What the plan's snapshot has already isn't sent again, so that a run which is resumed after a crash continues the same plan:
steps that were in progress stay so, and a question keeps its answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from typing import Any, Final

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import LogUnavailable, PlancastError
from broadcasters.events import STEP_ENDED, PlanStatus, StepStatus, check_plan_id
from broadcasters.log.answers import first_answer
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from broadcasters.streamed_message import Message
from broadcasters.supervision import pauses
from plan_engine.adapters.conversion import MAX_CONTENT, MAX_TITLE, as_text, cut, plain, plain_object, shortened
from plan_engine.adapters.sink import MessageHeader, RunSink, StepSink, ToolInvocation
from plan_engine.model.interaction import Answer, InputQuestion
from plan_engine.run.context import Context
from plan_engine.run.run_events import BROKEN_OFF, broken_off

__all__ = ["WITHDRAWN", "PlanSink", "reporting"]

WITHDRAWN: Final = "withdrawn"
"""Who "answers" a question that no run waits for any more."""
FAILURE_S: Final = 10.0
"""How long a run that failed waits until that is reported."""
LOG_S: Final = 30.0
"""How long a run waits for its log at the beginning."""


@asynccontextmanager
async def reporting(
    plan: str | Context, broadcaster: Broadcaster | None, *, title: str | None = None, resumes: bool = False
) -> AsyncGenerator[RunSink]:
    """The sink for a run of `plan`: a plan's id, or the context of an engine's step.

    A plan of its own is completed when the block is left, fails when an exception leaves it, and is cancelled when the task
    is. Without a broadcaster, one is opened for the run, on the log that PLANCAST_LOG names."""
    async with AsyncExitStack() as stack:
        if not isinstance(plan, str):
            sink: RunSink = StepSink(plan)
        else:
            check_plan_id(plan)
            if broadcaster is None:
                broadcaster = await stack.enter_async_context(Broadcaster())
            sink = PlanSink(broadcaster, await _snapshot_of(broadcaster, plan), title=title, resumes=resumes)
        await sink.begin()
        try:
            yield sink
        except BaseException as error:
            await sink.failed(error)
            raise
        await sink.completed()


async def _snapshot_of(broadcaster: Broadcaster, plan_id: str) -> Snapshot:
    """The plan's snapshot. Retries for `LOG_S` while the log is unavailable, as sending does."""
    ends = asyncio.get_running_loop().time() + LOG_S
    waits = pauses(2.0)
    while True:
        try:
            async with broadcaster.reading() as log:
                return (await snapshot_of(log, plan_id))[0]
        except LogUnavailable:
            if asyncio.get_running_loop().time() > ends:
                raise
            await asyncio.sleep(next(waits))


class PlanSink(RunSink):
    """Opened and closed by `reporting`. With `resumes`, the run itself continues what an earlier one left open; otherwise it
    is a new run, and what is open is reported as broken off."""

    def __init__(self, broadcaster: Broadcaster, snapshot: Snapshot, *, title: str | None, resumes: bool) -> None:
        super().__init__()
        self.plan_id = snapshot.plan_id
        self.resumed = bool(snapshot.steps) and snapshot.status != "completed"
        self._snapshot = snapshot
        self._broadcaster = broadcaster
        self._title = title
        self._resumes = resumes
        self._status: PlanStatus = snapshot.status
        self._steps: dict[str, StepStatus] = {step.step_id: step.status for step in snapshot.steps}
        self._tools = {
            call.call_id: ToolInvocation(call.call_id, call.tool_name, call.agent_name)
            for call in snapshot.tool_calls
            if call.phase == "started"
        }
        self._called = {call.call_id for call in snapshot.tool_calls} if resumes else set[str]()
        self._begun = {message.message_id for message in snapshot.messages}
        self._messages: dict[str, Message] = {}
        self._waits: Counter[str | None] = Counter()

    # ---- beginning and end

    async def begin(self) -> None:
        title = self._title and cut(self._title, MAX_TITLE)
        if self._status != "in_progress" or (title is not None and title != self._snapshot.title):
            await self._broadcaster.send_plan_update(self.plan_id, title=title, message_type=None)
            self._status = "in_progress"
        if not self._resumes:
            await self.close_earlier_run()

    async def completed(self) -> None:
        await self._close("cancelled", None)
        await self._end("completed", None)

    async def failed(self, error: BaseException) -> None:
        """Report the failure, if the log is available. The error itself is raised to the caller."""
        cancelled = not isinstance(error, Exception)
        status: PlanStatus = "cancelled" if cancelled else "error"
        content = "Cancelled." if cancelled else as_text(error)
        with suppress(PlancastError, TimeoutError):
            async with asyncio.timeout(FAILURE_S):
                await self._close("cancelled" if cancelled else "error", error)
                await self._end(status, content)

    async def _end(self, status: PlanStatus, content: str | None) -> None:
        result = None if self.result is None else {"result": plain(self.result)}
        await self._broadcaster.send_plan_update(
            self.plan_id, content=content, status=status, message_type=None, data=result
        )

    async def _close(self, status: StepStatus, error: BaseException | None) -> None:
        """End the messages, tool calls and steps that are open."""
        messages, self._messages = self._messages, {}
        for message in messages.values():
            await message.__aexit__(type(error) if error else None, error, None)
        for call_id in [*self._tools]:
            await self.tool_ended(call_id, BROKEN_OFF, failed=True)
        for step_id, reported in self._steps.items():
            if reported not in STEP_ENDED:
                await self._broadcaster.send_step_update(self.plan_id, step_id, status, BROKEN_OFF)
                self._steps[step_id] = status

    async def close_earlier_run(self) -> None:
        for request in self._snapshot.inputs:
            if request.answered_at is None:
                await self._broadcaster.send_input_response(self.plan_id, request.request_id, None, by=WITHDRAWN)
        for message in self._snapshot.messages:
            if message.streaming:
                await self._broadcaster.send(broken_off(self.plan_id, message, BROKEN_OFF))
        await self._close("error", None)

    # ---- steps and progress

    async def step(
        self, step_id: str, status: StepStatus, *, title: str, content: str | None = None, data: Any = None
    ) -> None:
        step_id = shortened(step_id)
        if self._steps.get(step_id) == status:
            return
        self._steps[step_id] = status  # before it is sent, so that it is ended if the run is cancelled meanwhile
        content, title = cut(content or "", MAX_CONTENT), cut(title, MAX_TITLE)
        await self._broadcaster.send_step_update(
            self.plan_id, step_id, status, content, title=title, data=plain_object(data)
        )

    async def progress(self, percent: float, text: str | None = None, *, step_id: str | None = None) -> None:
        percent, text = min(100.0, max(0.0, percent)), text and cut(text, MAX_CONTENT)
        if step_id is None:
            await self._broadcaster.send_plan_update(self.plan_id, content=text, progress=percent, message_type=None)
        else:
            step_id = shortened(step_id)
            await self._broadcaster.send_step_update(self.plan_id, step_id, "in_progress", text or "", progress=percent)

    # ---- messages

    async def write(self, header: MessageHeader, text: str) -> None:
        message = self._messages.get(header.message_id)
        if message is None:
            message = self._messages[header.message_id] = await self._begin_message(header)
        await message.write(text.encode("utf-8", "replace").decode())

    async def _begin_message(self, header: MessageHeader) -> Message:
        agent, message_id = shortened(header.agent), shortened(header.message_id)
        ids: dict[str, Any] = {"message_id": message_id, "step_id": header.step_id and shortened(header.step_id)}
        if message_id in self._begun:  # its sender runs again: replace the message by an empty one
            await self._broadcaster.send_agent_message(self.plan_id, agent, "", header.kind, final=False, **ids)
        self._begun.add(message_id)
        return await self._broadcaster.message(self.plan_id, agent, header.kind, **ids).__aenter__()

    async def end_message(self, message_id: str) -> None:
        if message := self._messages.pop(message_id, None):
            await message.__aexit__(None, None, None)

    # ---- tools

    async def tool_started(self, call: ToolInvocation) -> None:
        if call.call_id not in self._called:
            self._called.add(call.call_id)
            self._tools[call.call_id] = call
            await self._tool(call, "started", arguments=plain(call.arguments))

    async def tool_ended(self, call_id: str, result: Any, *, failed: bool = False) -> None:
        if call := self._tools.pop(call_id, None):
            await self._tool(call, "error" if failed else "completed", result=plain(result))

    async def _tool(self, call: ToolInvocation, phase: Any, **fields: Any) -> None:
        step_id = call.step_id and shortened(call.step_id)
        names = shortened(call.agent), shortened(call.call_id), shortened(call.tool_name)
        await self._broadcaster.send_tool_call(self.plan_id, *names, phase, step_id=step_id, **fields)

    # ---- questions

    async def ask(self, request_id: str, question: InputQuestion, *, agent: str, step_id: str | None = None) -> Answer:
        request_id = shortened(request_id if self._resumes else f"{self.run_id}.{request_id}")
        step_id = step_id and shortened(step_id)
        for known in self._snapshot.inputs:
            if known.request_id == request_id and known.answered_at is not None:
                return Answer(known.answer, known.by, known.answered_at)

        async def send() -> Position:
            return await self._broadcaster.send_input_request(
                self.plan_id,
                request_id,
                question.kind,
                question.prompt,
                options=question.options,
                schema=question.schema and dict(question.schema),
                step_id=step_id,
                agent_name=shortened(agent),
                key=f"ask.{sha256(request_id.encode()).hexdigest()[:40]}",
            )

        position = await send()
        await self._wait(+1, step_id)
        response = await first_answer(self._broadcaster.reading, self.plan_id, request_id, position, send)
        await self._wait(-1, step_id)
        return Answer(response.answer, response.by, response.at)

    async def _wait(self, more: int, step_id: str | None) -> None:
        """The plan, and a step of it, wait while at least one of their questions is open."""
        self._waits[step_id] += more
        status: PlanStatus = "waiting" if self._waits.total() else "in_progress"
        step_status: StepStatus = "waiting" if self._waits[step_id] else "in_progress"
        if step_id is not None and self._steps.get(step_id) != step_status:
            self._steps[step_id] = step_status
            await self._broadcaster.send_step_update(self.plan_id, step_id, step_status)
        if status != self._status:
            self._status = status
            await self._broadcaster.send_plan_update(self.plan_id, status=status, message_type=None)
