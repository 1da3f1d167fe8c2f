"""A workflow of Microsoft Agent Framework, shown as a plan: executors are steps, what they request are questions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from agent_framework import AgentResponse, AgentResponseUpdate, Content, Workflow, WorkflowEvent
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from broadcasters.broadcaster import Broadcaster
from plan_engine.adapters.agent_framework_agent import Updates, decide
from plan_engine.adapters.outlet import Line, Outlet
from plan_engine.adapters.plain import as_text, title_of
from plan_engine.adapters.questions import question_of
from plan_engine.adapters.telling import telling
from plan_engine.adapters.together import together
from plan_engine.run.context import Answer, Context, Question

__all__ = ["run_workflow"]


async def run_workflow(
    plan: str | Context,
    workflow: Workflow,
    message: Any,
    *,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> list[Any]:
    """Run the workflow, told as `plan`; what it put out. `options` go to `workflow.run`.

    What executors request (`ctx.request_info`) is put to a person, and the answer given to them as the type they want."""
    async with telling(plan, broadcaster, title=title) as outlet:
        events = _Events(outlet)
        given: dict[str, Any] = {"message": message}
        while given:
            async for event in workflow.run(**given, stream=True, **options):
                await events.tell(event)
            await events.end()
            given = {"responses": answers} if (answers := await events.answers()) else {}
        outlet.result = events.outputs[-1] if len(events.outputs) == 1 else events.outputs or None
        return events.outputs


class _Events:
    """Tells them. An executor that is called again is a new step, but for one that was waiting for an answer."""

    def __init__(self, outlet: Outlet) -> None:
        self.outputs: list[Any] = []
        self._outlet = outlet
        self._calls: Counter[str] = Counter()
        self._said = 0
        self._asking: dict[str, WorkflowEvent[Any]] = {}
        self._waiting: set[str] = set()
        self._agents: dict[str, Updates] = {}
        self._pieces: dict[str, list[AgentResponseUpdate]] = {}

    async def tell(self, event: WorkflowEvent[Any]) -> None:
        executor = event.executor_id or "workflow"
        match event.type:
            case "executor_invoked":
                await self._invoked(executor)
            case "executor_completed":
                await self._ended(executor)
            case "executor_failed":
                why = event.details.message if event.details else None
                await self._step(executor, "error", why)
            case "request_info":
                self._asking[event.request_id] = event
                self._waiting.add(event.source_executor_id)
            case "output" | "intermediate":
                await self._output(executor, event.data, final=event.type == "output")
            case "warning" | "error":
                await self._say(executor, "thinking", event.data)
            case _:
                pass

    # ---- executors

    async def _invoked(self, executor: str) -> None:
        if executor in self._waiting:
            self._waiting.discard(executor)
        else:
            self._calls[executor] += 1
        await self._step(executor, "in_progress")

    async def _ended(self, executor: str) -> None:
        await self._flush(executor)
        if executor not in self._waiting:
            await self._step(executor, "completed")

    async def _step(self, executor: str, status: Any, content: str | None = None) -> None:
        await self._outlet.step(self._step_id(executor), status, title=title_of(executor), content=content)

    def _step_id(self, executor: str) -> str:
        return f"{self._outlet.run_id}.{executor}.{self._calls[executor]}"

    # ---- what they put out

    async def _output(self, executor: str, said: Any, *, final: bool) -> None:
        if isinstance(said, AgentResponseUpdate):
            await self._updates(executor).tell(said)
            if final:
                self._pieces.setdefault(executor, []).append(said)
            return
        if final:
            self.outputs.append(said)
        if isinstance(said, AgentResponse):
            said = said.text
        await self._say(executor, "result" if final else "action", said)

    def _updates(self, executor: str) -> Updates:
        if executor not in self._agents:
            self._agents[executor] = Updates(self._outlet, title_of(executor), self._step_id(executor))
        return self._agents[executor]

    async def _say(self, executor: str, kind: Any, said: Any) -> None:
        self._said += 1
        line = Line(f"{self._outlet.run_id}.said{self._said}", title_of(executor), kind, self._step_id(executor))
        await self._outlet.say(line, as_text(said))

    async def _flush(self, executor: str) -> None:
        if updates := self._agents.pop(executor, None):
            await updates.end()
        if pieces := self._pieces.pop(executor, None):
            self.outputs.append(AgentResponse.from_updates(pieces))

    async def end(self) -> None:
        for executor in {*self._agents, *self._pieces}:
            await self._flush(executor)

    # ---- what they request

    async def answers(self) -> dict[str, Any]:
        """What people answer to everything that was requested; empty when nothing was."""
        asking, self._asking = self._asking, {}

        async def ask(request_id: str, event: WorkflowEvent[Any]) -> tuple[str, Any]:
            executor = event.source_executor_id
            agent, step_id = title_of(executor), self._step_id(executor)
            said = event.data
            if isinstance(said, Content) and said.type == "function_approval_request":
                return request_id, await decide(self._outlet, agent, said, step_id)
            question = _question(said, event.response_type)
            answer = await self._outlet.ask(request_id, question, agent=agent, step_id=step_id)
            return request_id, _as_wanted(answer, event.response_type)

        return dict(await together(ask(*one) for one in asking.items()))


def _question(said: Any, wanted: type[Any]) -> Question:
    question = question_of(said)
    if wanted is bool:
        return Question("approval", question.prompt, ["yes", "no"])
    schema = question.schema or (None if wanted is str or question.options else _schema_of(wanted))
    return Question(question.kind, question.prompt, question.options, schema)


def _schema_of(wanted: type[Any]) -> dict[str, Any] | None:
    try:
        return TypeAdapter(wanted).json_schema()
    except PydanticUserError:
        return None


def _as_wanted(answer: Answer, wanted: type[Any]) -> Any:
    """The answer, as the type the executor waits for; a `ValidationError` says why it isn't one."""
    if wanted is bool:
        return bool(answer)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    except PydanticUserError:
        return answer.value
    return adapter.validate_python(answer.value)
