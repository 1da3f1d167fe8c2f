"""A run told as a plan of its own, through a broadcaster.

What the plan's snapshot says already is not said again, so that a run which is taken up after a crash goes on in the
same story: steps that were under way stay so, a question keeps its place and its answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import PlancastError
from broadcasters.events import PlanStatus, StepStatus
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from broadcasters.snapshot_steps import STEP_ENDED
from broadcasters.streamed_message import Message
from plan_engine.adapters.answers import answer_to
from plan_engine.adapters.outlet import Call, Line, Outlet
from plan_engine.adapters.plain import as_text, cut, plain, plain_object
from plan_engine.run.context import Answer, Question
from plan_engine.run.run_history import broken_off

__all__ = ["BROKEN_OFF", "WITHDRAWN", "PlanOutlet", "named"]

BROKEN_OFF: Final = "broken off"
WITHDRAWN: Final = "withdrawn"
"""Who "answers" a question that nobody waits for any more."""
LAST_WORDS_S: Final = 10.0
"""How long a run that failed waits for that to be told."""
MAX_NAME: Final = 256
MAX_CONTENT: Final = 8_000


def named(name: str) -> str:
    """An id or a name that an event can carry: one too long is cut, and stays its own."""
    name = name.encode("utf-8", "replace").decode() or "-"
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 17]}~{sha256(name.encode()).hexdigest()[:16]}"


class PlanOutlet(Outlet):
    """Begun and ended by `telling`. With `resumes`, the run itself takes up what was left open; otherwise it is a new
    run, and what an earlier one left open has broken off."""

    def __init__(self, broadcaster: Broadcaster, told: Snapshot, *, title: str | None, resumes: bool) -> None:
        super().__init__()
        self.plan_id = told.plan_id
        self.taken_up = bool(told.steps) and told.status != "completed"
        self._told = told
        self._say = broadcaster
        self._title = title
        self._resumes = resumes
        self._status: PlanStatus = told.status
        self._steps: dict[str, StepStatus] = {step.step_id: step.status for step in told.steps}
        self._tools = {
            call.call_id: Call(call.call_id, call.tool_name, call.agent_name)
            for call in told.tool_calls
            if call.phase == "started"
        }
        self._called = {call.call_id for call in told.tool_calls} if resumes else set[str]()
        self._begun = {message.message_id for message in told.messages}
        self._messages: dict[str, Message] = {}
        self._asking: Counter[str | None] = Counter()

    # ---- its life

    async def begin(self) -> None:
        title = self._title and cut(self._title, 1000)
        if self._status != "in_progress" or (title is not None and title != self._told.title):
            await self._say.send_plan_update(self.plan_id, title=title, message_type=None)
            self._status = "in_progress"
        if not self._resumes:
            await self.break_off_the_former()

    async def completed(self) -> None:
        await self._close("cancelled", None)
        await self._end("completed", None)

    async def failed(self, error: BaseException) -> None:
        """Say so, as far as that can be said; the error itself goes on to the caller."""
        cancelled = not isinstance(error, Exception)
        status: PlanStatus = "cancelled" if cancelled else "error"
        told = "Cancelled." if cancelled else as_text(error)
        with suppress(PlancastError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._close("cancelled" if cancelled else "error", error)
                await self._end(status, told)

    async def _end(self, status: PlanStatus, content: str | None) -> None:
        result = None if self.result is None else {"result": plain(self.result)}
        await self._say.send_plan_update(self.plan_id, content=content, status=status, message_type=None, data=result)

    async def _close(self, status: StepStatus, error: BaseException | None) -> None:
        """Nothing stays open behind the end."""
        messages, self._messages = self._messages, {}
        for message in messages.values():
            await message.__aexit__(type(error) if error else None, error, None)
        for call_id in [*self._tools]:
            await self.tool_ended(call_id, BROKEN_OFF, failed=True)
        for step_id, told in self._steps.items():
            if told not in STEP_ENDED:
                await self._say.send_step_update(self.plan_id, step_id, status, BROKEN_OFF)
                self._steps[step_id] = status

    async def break_off_the_former(self) -> None:
        for request in self._told.inputs:
            if request.answered_at is None:
                await self._say.send_input_response(self.plan_id, request.request_id, None, by=WITHDRAWN)
        for message in self._told.messages:
            if message.streaming:
                await self._say.send(broken_off(self.plan_id, message, BROKEN_OFF))
        await self._close("error", None)

    # ---- steps and progress

    async def step(
        self, step_id: str, status: StepStatus, *, title: str, content: str | None = None, data: Any = None
    ) -> None:
        step_id = named(step_id)
        if self._steps.get(step_id) == status:
            return
        self._steps[step_id] = status  # before it is told: whoever is cancelled meanwhile must know of it
        fields = plain_object(data)
        await self._say.send_step_update(
            self.plan_id, step_id, status, cut(content or "", MAX_CONTENT), title=cut(title, 1000), data=fields
        )

    async def progress(self, percent: float, text: str | None = None, *, step_id: str | None = None) -> None:
        percent, text = min(100.0, max(0.0, percent)), text and cut(text, MAX_CONTENT)
        if step_id is None:
            await self._say.send_plan_update(self.plan_id, content=text, progress=percent, message_type=None)
        else:
            step_id = named(step_id)
            await self._say.send_step_update(self.plan_id, step_id, "in_progress", text or "", progress=percent)

    # ---- messages

    async def write(self, line: Line, text: str) -> None:
        message = self._messages.get(line.message_id)
        if message is None:
            message = self._messages[line.message_id] = await self._begin_message(line)
        await message.write(text.encode("utf-8", "replace").decode())

    async def _begin_message(self, line: Line) -> Message:
        message_id, step_id = named(line.message_id), line.step_id and named(line.step_id)
        if message_id in self._begun:  # what said it is run again, so the message begins anew, in its place
            await self._say.send_agent_message(
                self.plan_id, named(line.agent), "", line.kind, message_id=message_id, step_id=step_id, final=False
            )
        self._begun.add(message_id)
        message = self._say.message(self.plan_id, named(line.agent), line.kind, message_id=message_id, step_id=step_id)
        return await message.__aenter__()

    async def end_message(self, message_id: str) -> None:
        if message := self._messages.pop(message_id, None):
            await message.__aexit__(None, None, None)

    # ---- tools

    async def tool_started(self, call: Call) -> None:
        if call.call_id not in self._called:
            self._called.add(call.call_id)
            self._tools[call.call_id] = call
            await self._tool(call, "started", arguments=plain(call.arguments))

    async def tool_ended(self, call_id: str, result: Any, *, failed: bool = False) -> None:
        if call := self._tools.pop(call_id, None):
            await self._tool(call, "error" if failed else "completed", result=plain(result))

    async def _tool(self, call: Call, phase: Any, **fields: Any) -> None:
        step_id = call.step_id and named(call.step_id)
        names = named(call.agent), named(call.call_id), named(call.tool_name)
        await self._say.send_tool_call(self.plan_id, *names, phase, step_id=step_id, **fields)

    # ---- questions

    async def ask(self, request_id: str, question: Question, *, agent: str, step_id: str | None = None) -> Answer:
        request_id = named(request_id if self._resumes else f"{self.run_id}.{request_id}")
        step_id = step_id and named(step_id)
        for known in self._told.inputs:
            if known.request_id == request_id and known.answered_at is not None:
                return Answer(known.answer, known.by, known.answered_at)

        async def put() -> Position:
            return await self._say.send_input_request(
                self.plan_id,
                request_id,
                question.kind,
                question.prompt,
                options=question.options,
                schema=question.schema and dict(question.schema),
                step_id=step_id,
                agent_name=named(agent),
                key=f"ask.{sha256(request_id.encode()).hexdigest()[:40]}",
            )

        place = await put()
        await self._wait(+1, step_id)
        answer = await answer_to(self._say, self.plan_id, request_id, place, put)
        await self._wait(-1, step_id)
        return answer

    async def _wait(self, more: int, step_id: str | None) -> None:
        """Several may be asked at once: the plan, and a step of it, wait as long as one of them does."""
        self._asking[step_id] += more
        status: PlanStatus = "waiting" if self._asking.total() else "in_progress"
        step_status: StepStatus = "waiting" if self._asking[step_id] else "in_progress"
        if step_id is not None and self._steps.get(step_id) != step_status:
            self._steps[step_id] = step_status
            await self._say.send_step_update(self.plan_id, step_id, step_status)
        if status != self._status:
            self._status = status
            await self._say.send_plan_update(self.plan_id, status=status, message_type=None)
