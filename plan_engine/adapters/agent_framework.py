"""Microsoft Agent Framework, shown as plans: an agent's messages, tools and approvals; a workflow's executors as steps.

    response = await run_agent("plan-1", agent, "How did we sell in May?")
    outputs = await run_workflow("plan-2", workflow, "How did we sell in May?")

A workflow with a checkpoint storage continues after a crash; otherwise the run starts over, in the same plan.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from broadcasters.extras import extra

with extra("agent-framework", "this adapter"):
    from agent_framework import (
        Agent,
        AgentResponse,
        AgentResponseUpdate,
        AgentSession,
        CheckpointStorage,
        Content,
        Message,
        Workflow,
        WorkflowCheckpoint,
        WorkflowEvent,
    )

from broadcasters.broadcaster import Broadcaster
from broadcasters.usage import Usage, usage_of
from plan_engine.adapters.conversion import answer_as, approval_of_tool, as_text, question_for, title_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.run.context import Context

__all__ = ["run_agent", "run_workflow"]

NAME: Final = "Microsoft Agent Framework"
"""Who works on the plan, for people."""


async def run_agent(
    plan: str | Context,
    agent: Agent[Any],
    messages: Any,
    *,
    session: AgentSession | None = None,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> AgentResponse[Any]:
    """Run an agent, and report the run. Tools with `approval_mode="always_require"` are put to a person.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        agent: the agent.
        messages: what `agent.run` takes.
        session: the session to continue; by default a new one.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title.
        **options: passed to `agent.run`.

    Returns:
        The agent's last response.
    """
    async with reporting(plan, broadcaster, name=NAME, title=title) as sink:
        session = session or agent.create_session()
        updates = _AgentUpdates(sink, agent.name or "Agent", sink.run_id)
        while True:
            stream = agent.run(messages, stream=True, session=session, **options)
            async for update in stream:
                await updates.report(update)
            await updates.end()
            response = await stream.get_final_response()
            if not response.user_input_requests:
                sink.result = response.text
                return response
            requests = response.user_input_requests
            answers = await gather_or_cancel(_decide(sink, updates.agent, request) for request in requests)
            messages = Message(role="user", contents=[*answers])


async def _decide(sink: RunSink, agent: str, request: Content, step_id: str | None = None) -> Content:
    """A person's answer to a tool that requires approval."""
    call = request.function_call
    if call is None:
        raise ValueError(f"the agent requests a {request.type}; only tool approvals can be answered here")
    question = approval_of_tool(str(call.name), call.parse_arguments())
    answer = await sink.ask(str(request.id), question, agent=agent, step_id=step_id)
    return request.to_function_approval_response(bool(answer))


class _AgentUpdates:
    """Reports an agent's updates. One message is open at a time; they are numbered, after a prefix."""

    def __init__(self, sink: RunSink, agent: str, prefix: str, step_id: str | None = None) -> None:
        self._sink = sink
        self.agent = agent
        self._prefix = prefix
        self._step_id = step_id
        self._numbers: dict[str | None, int] = {}
        """By the framework's ids, which are random."""
        self._open: MessageHeader | None = None
        self._call: tuple[str, Content] | None = None
        """A call whose arguments are still being written, after the name of the agent that makes it."""
        self._with_usage: list[AgentResponseUpdate] = []
        self._counted = Counter[str]()

    async def report(self, update: AgentResponseUpdate) -> None:
        agent = update.author_name or self.agent
        for content in update.contents:
            match content.type:
                case "text" | "text_reasoning" if content.text:
                    await self._write(self._header(update, agent, thinking=content.type != "text"), content.text)
                case "function_call":
                    await self._called(content, agent)
                case "function_result":
                    await self.end()
                    failed = content.exception is not None
                    result = content.exception if failed else content.result
                    await self._sink.tool_ended(str(content.call_id), result, failed=failed)
                case "usage":
                    await self._used(update, agent)
                case _:
                    pass

    def _header(self, update: AgentResponseUpdate, agent: str, *, thinking: bool) -> MessageHeader:
        number = self._numbers.setdefault(update.message_id, len(self._numbers) + 1)
        message_id = f"{self._prefix}.{number}{'.thinking' if thinking else ''}"
        return MessageHeader(message_id, agent, "thinking" if thinking else "result", self._step_id)

    async def _called(self, part: Content, agent: str) -> None:
        """Add to the call that is being written, or begin another one."""
        if self._call and part.call_id in (self._call[1].call_id, "", None):
            part = self._call[1] + part
        else:
            await self.end()
        self._call = agent, part
        if _is_whole(part.arguments):
            await self._report_call()

    async def _report_call(self) -> None:
        if self._call:
            (agent, call), self._call = self._call, None
            arguments = call.parse_arguments()
            await self._sink.tool_started(
                ToolInvocation(str(call.call_id), str(call.name), agent, arguments, self._step_id)
            )

    async def _write(self, header: MessageHeader, text: str) -> None:
        if self._call or (self._open and self._open != header):
            await self.end()
        self._open = header
        await self._sink.write(header, text)

    async def end(self) -> None:
        if self._open:
            await self._sink.end_message(self._open.message_id)
            self._open = None
        await self._report_call()

    async def _used(self, update: AgentResponseUpdate, agent: str) -> None:
        """Report the difference that the update makes: the framework knows whether it adds to the usage or replaces it."""
        self._with_usage.append(update)
        details = AgentResponse.from_updates(self._with_usage).usage_details or {}
        total = Counter({name: count for name, count in details.items() if isinstance(count, int)})
        if used := total - self._counted:
            self._counted |= total
            usage = _usage(used, getattr(update.raw_representation, "model", None))
            self._sink.count_usage(usage, agent=agent, step_id=self._step_id)
            await self._sink.report_usage()


def _usage(used: Mapping[str, int], model: str | None) -> Usage:
    fields = {
        "model": model or None,
        "input_tokens": used.get("input_token_count"),
        "output_tokens": used.get("output_token_count"),
        "cached_tokens": used.get("cache_read_input_token_count"),
        "reasoning_tokens": used.get("reasoning_output_token_count"),
    }
    return usage_of({name: value for name, value in fields.items() if value is not None})


def _is_whole(arguments: Any) -> bool:
    """Models write arguments piece by piece, as JSON. The beginning of an object is not valid JSON."""
    try:
        return isinstance(json.loads(arguments) if isinstance(arguments, str) else arguments, Mapping)
    except ValueError:
        return False


# ---- workflows


async def run_workflow(
    plan: str | Context,
    workflow: Workflow,
    message: Any,
    *,
    checkpoint_storage: CheckpointStorage | None = None,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> list[Any]:
    """Run a workflow, and report the run. What executors request (`ctx.request_info`) is put to a person.

    With `checkpoint_storage`, a run whose process was killed is continued from its last checkpoint.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        workflow: the workflow.
        message: its input.
        checkpoint_storage: keeps its checkpoints, also those of other plans.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title.
        **options: passed to `workflow.run`.

    Returns:
        The workflow's outputs; of a run that was continued, those since the checkpoint.

    Raises:
        ValidationError: a person's answer isn't of the type that the executor waits for.
    """
    saves = checkpoint_storage is not None
    async with reporting(plan, broadcaster, name=NAME, title=title, resumes=saves) as sink:
        events = _WorkflowEvents(sink)
        given: dict[str, Any] = {"message": message}
        if checkpoint_storage is not None:
            checkpoints = _RunCheckpoints(checkpoint_storage, sink, events)
            options["checkpoint_storage"] = checkpoints
            given = await checkpoints.latest(workflow.name) or given
        while given:
            async for event in workflow.run(**given, stream=True, **options):
                await events.report(event)
            await events.end()
            given = {"responses": answers} if (answers := await events.answers()) else {}
        sink.result = events.outputs[-1] if len(events.outputs) == 1 else events.outputs or None
        return events.outputs


class _RunCheckpoints:
    """The storage as the workflow sees it: each checkpoint is marked with its run, and with how far its ids are used up."""

    def __init__(self, storage: CheckpointStorage, sink: RunSink, events: _WorkflowEvents) -> None:
        self._storage, self._events = storage, events
        self._repeats, self._run = sink.repeats, f"{sink.plan_id} {sink.run_id}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        checkpoint.metadata["plancast"] = {"run": self._run, **self._events.state()}
        return await self._storage.save(checkpoint)

    async def latest(self, workflow_name: str) -> dict[str, Any] | None:
        """What continues the run, if it was killed after its first checkpoint."""
        saved = await self._storage.list_checkpoints(workflow_name=workflow_name) if self._repeats else ()
        own = [one for one in saved if one.metadata.get("plancast", {}).get("run") == self._run]
        if not own:
            return None
        newest = max(own, key=lambda one: one.timestamp)
        self._events.restore(newest.metadata["plancast"])
        return {"checkpoint_id": newest.checkpoint_id}


class _WorkflowEvents:
    """Reports a workflow's events. Each call of an executor is a step; one that waited for an answer continues its step."""

    def __init__(self, sink: RunSink) -> None:
        self.outputs: list[Any] = []
        self._sink = sink
        self._calls: Counter[str] = Counter()
        self._message_counts: Counter[str] = Counter()
        self._requests: dict[str, WorkflowEvent[Any]] = {}
        self._waiting: set[str] = set()
        self._agents: dict[str, _AgentUpdates] = {}
        self._updates: dict[str, list[AgentResponseUpdate]] = {}

    def state(self) -> dict[str, Any]:
        """What continues the numbers of the ids, as JSON."""
        return {
            "calls": {**self._calls},
            "messages": {**self._message_counts},
            "waiting": sorted(self._waiting),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from this state."""
        self._calls.update(state["calls"])
        self._message_counts.update(state["messages"])
        self._waiting.update(state["waiting"])

    async def report(self, event: WorkflowEvent[Any]) -> None:
        executor = event.executor_id or "workflow"
        match event.type:
            case "executor_invoked":
                await self._invoked(executor)
            case "executor_completed":
                await self._completed(executor)
            case "executor_failed":
                why = event.details.message if event.details else None
                await self._step(executor, "error", why)
            case "request_info":
                self._requests[event.request_id] = event
                self._waiting.add(event.source_executor_id)
            case "output" | "intermediate":
                await self._output(executor, event.data, final=event.type == "output")
            case "warning" | "error":
                await self._message(executor, "thinking", event.data)
            case _:
                pass

    # ---- executors

    async def _invoked(self, executor: str) -> None:
        if executor in self._waiting:
            self._waiting.discard(executor)
        else:
            self._calls[executor] += 1
        await self._step(executor, "in_progress")

    async def _completed(self, executor: str) -> None:
        await self._flush(executor)
        if executor not in self._waiting:
            await self._step(executor, "completed")

    async def _step(self, executor: str, status: Any, content: str | None = None) -> None:
        await self._sink.step(self._step_id(executor), status, title=title_of(executor), content=content)

    def _step_id(self, executor: str) -> str:
        return f"{self._sink.run_id}.{executor}.{self._calls[executor]}"

    # ---- outputs

    async def _output(self, executor: str, output: Any, *, final: bool) -> None:
        if isinstance(output, AgentResponseUpdate):
            await self._agent_updates(executor).report(output)
            if final:
                self._updates.setdefault(executor, []).append(output)
            return
        if final:
            self.outputs.append(output)
        if isinstance(output, AgentResponse):
            output = output.text
        await self._message(executor, "result" if final else "action", output)

    def _agent_updates(self, executor: str) -> _AgentUpdates:
        if executor not in self._agents:
            message_id, step_id = self._next_message_id(executor), self._step_id(executor)
            self._agents[executor] = _AgentUpdates(self._sink, title_of(executor), message_id, step_id)
        return self._agents[executor]

    async def _message(self, executor: str, kind: Any, value: Any) -> None:
        header = MessageHeader(self._next_message_id(executor), title_of(executor), kind, self._step_id(executor))
        await self._sink.message(header, as_text(value))

    def _next_message_id(self, executor: str) -> str:
        self._message_counts[executor] += 1
        return f"{self._sink.run_id}.{executor}.said{self._message_counts[executor]}"

    async def _flush(self, executor: str) -> None:
        if agent := self._agents.pop(executor, None):
            await agent.end()
        if updates := self._updates.pop(executor, None):
            self.outputs.append(AgentResponse.from_updates(updates))

    async def end(self) -> None:
        for executor in {*self._agents, *self._updates}:
            await self._flush(executor)

    # ---- requests

    async def answers(self) -> dict[str, Any]:
        """People's answers to all open requests, by request id; empty when there are none."""
        requests, self._requests = self._requests, {}

        async def ask(request_id: str, event: WorkflowEvent[Any]) -> tuple[str, Any]:
            executor = event.source_executor_id
            agent, step_id = title_of(executor), self._step_id(executor)
            request = event.data
            if isinstance(request, Content) and request.type == "function_approval_request":
                return request_id, await _decide(self._sink, agent, request, step_id)
            question = question_for(request, event.response_type)
            answer = await self._sink.ask(request_id, question, agent=agent, step_id=step_id)
            return request_id, answer_as(answer, event.response_type)

        return dict(await gather_or_cancel(ask(*one) for one in requests.items()))
