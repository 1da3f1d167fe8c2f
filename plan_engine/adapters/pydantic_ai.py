"""A Pydantic AI agent, shown as a plan: the model's messages and thoughts, tools, and approvals.

    result = await run_pydantic_ai("plan-1", agent, "How did we sell in May?")

A tool with `requires_approval=True` is put to a person if `DeferredToolRequests` is one of the agent's output types.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any, Final, TypeVar

from broadcasters.extras import extra

with extra("pydantic-ai", "this adapter"):
    from pydantic_ai import Agent, AgentRunResult, DeferredToolRequests, DeferredToolResults, RunContext
    from pydantic_ai.messages import (
        AgentStreamEvent,
        ModelMessage,
        PartDeltaEvent,
        PartEndEvent,
        PartStartEvent,
        TextPart,
        TextPartDelta,
        ThinkingPart,
        ThinkingPartDelta,
        ToolCallEvent,
        ToolCallPart,
        ToolResultEvent,
    )
    from pydantic_ai.tools import ToolApproved, ToolDenied

    from plan_engine.models.model_usage import usages_in

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import MessageType
from plan_engine.adapters.conversion import approval_of_tool, reason_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.run.context import Context

__all__ = ["run_pydantic_ai"]

NAME: Final = "Pydantic AI"
"""Who works on the plan, for people."""
Deps = TypeVar("Deps")
Output = TypeVar("Output")


async def run_pydantic_ai(
    plan: str | Context,
    agent: Agent[Deps, Output],
    prompt: Any,
    *,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> AgentRunResult[Output]:
    """Run an agent, and report the run. It has no checkpoints: called again after a crash, it starts over, in the same plan.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        agent: the agent.
        prompt: what `agent.run` takes.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title.
        **options: passed to `agent.run` (deps, message_history …).

    Returns:
        The run's result.

    Raises:
        ValueError: the agent defers tool calls other than approvals.
    """
    async with reporting(plan, broadcaster, name=NAME, title=title) as sink:
        events = _PydanticAIEvents(sink, agent.name or "Agent")
        result = await events.run(agent, prompt, options)
        while isinstance(result.output, DeferredToolRequests):
            decided = await _decide(sink, events.agent, result.output)
            more = {**options, "message_history": result.all_messages(), "deferred_tool_results": decided}
            result = await events.run(agent, None, more)
        sink.result = result.output
        return result


async def _decide(sink: RunSink, agent: str, requests: DeferredToolRequests) -> DeferredToolResults:
    if requests.calls:
        names = ", ".join(call.tool_name for call in requests.calls)
        raise ValueError(
            f"the agent defers {names} to be run outside of it, which is not supported; run it in the agent (capabilities)"
        )

    async def decide(call: ToolCallPart) -> tuple[str, ToolApproved | ToolDenied]:
        answer = await sink.ask(call.tool_call_id, approval_of_tool(call.tool_name, call.args_as_dict()), agent=agent)
        return call.tool_call_id, ToolApproved() if answer else ToolDenied(reason_of(answer))

    return DeferredToolResults(approvals=dict(await gather_or_cancel(map(decide, requests.approvals))))


class _PydanticAIEvents:
    """Reports the events of a run. Each part of a response is a message; they are numbered."""

    def __init__(self, sink: RunSink, agent: str) -> None:
        self._sink = sink
        self.agent = agent
        self._message_count = 0
        self._open: MessageHeader | None = None
        self._context: RunContext[Any] | None = None
        self._counted: list[ModelMessage] = []

    async def run(self, agent: Agent[Any, Output], prompt: Any, options: dict[str, Any]) -> AgentRunResult[Output]:
        async def report(context: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
            self._context = context
            self._count_usage()
            await self._sink.report_usage()
            async for event in events:
                await self._report(event)

        try:
            result: AgentRunResult[Output] = await agent.run(prompt, event_stream_handler=report, **options)
        finally:
            self._count_usage()
        await self._sink.report_usage()
        return result

    def _count_usage(self) -> None:
        """Count the responses of the run that were not counted yet; one that broke off is among them."""
        if (run := self._context) is not None:
            mine = [one for one in run.messages if one.run_id == run.run_id]
            new = [one for one in mine if not any(one is known for known in self._counted)]
            self._counted += new
            for usage in usages_in(new):
                self._sink.count_usage(usage, agent=self.agent)

    async def _report(self, event: AgentStreamEvent) -> None:
        match event:
            case PartStartEvent(part=TextPart(content=text)):
                await self._begin("result", text)
            case PartStartEvent(part=ThinkingPart(content=text)):
                await self._begin("thinking", text)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text) | ThinkingPartDelta(content_delta=text)) if (
                text
            ):
                await self._continue(text)
            case PartEndEvent():
                await self._end()
            case ToolCallEvent(part=call):
                invocation = ToolInvocation(call.tool_call_id, call.tool_name, self.agent, call.args_as_dict())
                await self._sink.tool_started(invocation)
            case ToolResultEvent(part=back):
                failed = back.outcome != "success"
                await self._sink.tool_ended(back.tool_call_id, back.content, failed=failed)
            case _:
                pass

    async def _begin(self, kind: MessageType, text: str) -> None:
        await self._end()
        self._message_count += 1
        self._open = MessageHeader(f"{self._sink.run_id}.{self._message_count}", self.agent, kind)
        await self._continue(text)

    async def _continue(self, text: str) -> None:
        if self._open and text:
            await self._sink.write(self._open, text)

    async def _end(self) -> None:
        if self._open:
            await self._sink.end_message(self._open.message_id)
            self._open = None
