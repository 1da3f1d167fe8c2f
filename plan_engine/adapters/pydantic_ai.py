"""A Pydantic AI agent, shown as a plan: what the model says and thinks, the tools it uses, approvals it needs.

    result = await run_pydantic_ai("plan-1", agent, "How did we sell in May?")

A tool with `requires_approval=True` is put to a person, if `DeferredToolRequests` is among the agent's output types.
"""

from __future__ import annotations

from typing import Any, TypeVar

from plan_engine.adapters.missing import missing

try:
    from pydantic_ai import Agent, AgentRunResult, AgentRunResultEvent, DeferredToolRequests, DeferredToolResults
    from pydantic_ai.messages import (
        AgentStreamEvent,
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
except ModuleNotFoundError as error:
    raise missing(error, "pydantic-ai", "pydantic_ai") from None

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import MessageType
from plan_engine.adapters.outlet import Call, Line, Outlet
from plan_engine.adapters.questions import approval_of_tool, reason_of
from plan_engine.adapters.telling import telling
from plan_engine.adapters.together import together
from plan_engine.run.context import Context

__all__ = ["run_pydantic_ai"]

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
    """Run the agent, told as `plan`; its result. `options` go to `agent.run_stream_events` (deps, message_history …).

    A run has no checkpoints: called again after a crash, it begins anew, in the same plan."""
    async with telling(plan, broadcaster, title=title) as outlet:
        events = _Events(outlet, agent.name or "Agent")
        result = await events.run(agent, prompt, options)
        while isinstance(result.output, DeferredToolRequests):
            decided = await _decide(outlet, events.agent, result.output)
            more = {**options, "message_history": result.all_messages(), "deferred_tool_results": decided}
            result = await events.run(agent, None, more)
        outlet.result = result.output
        return result


async def _decide(outlet: Outlet, agent: str, requests: DeferredToolRequests) -> DeferredToolResults:
    if requests.calls:
        names = ", ".join(call.tool_name for call in requests.calls)
        raise ValueError(f"{names} is to be run elsewhere, and nobody here can; handle it in the agent (capabilities)")

    async def decide(call: ToolCallPart) -> tuple[str, ToolApproved | ToolDenied]:
        answer = await outlet.ask(call.tool_call_id, approval_of_tool(call.tool_name, call.args_as_dict()), agent=agent)
        return call.tool_call_id, ToolApproved() if answer else ToolDenied(reason_of(answer))

    return DeferredToolResults(approvals=dict(await together(map(decide, requests.approvals))))


class _Events:
    """Tells them. The parts of a response are counted; each of them is a message."""

    def __init__(self, outlet: Outlet, agent: str) -> None:
        self._outlet = outlet
        self.agent = agent
        self._said = 0
        self._line: Line | None = None

    async def run(self, agent: Agent[Any, Output], prompt: Any, options: dict[str, Any]) -> AgentRunResult[Output]:
        async with agent.run_stream_events(prompt, **options) as events:
            async for event in events:
                if isinstance(event, AgentRunResultEvent):
                    return event.result
                await self._tell(event)
        raise RuntimeError("the agent's run ended without a result; that is a fault of pydantic_ai, not of the agent")

    async def _tell(self, event: AgentStreamEvent) -> None:
        match event:
            case PartStartEvent(part=TextPart(content=text)):
                await self._begin("result", text)
            case PartStartEvent(part=ThinkingPart(content=text)):
                await self._begin("thinking", text)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text) | ThinkingPartDelta(content_delta=text)) if (
                text
            ):
                await self._go_on(text)
            case PartEndEvent():
                await self._end()
            case ToolCallEvent(part=call):
                told = Call(call.tool_call_id, call.tool_name, self.agent, call.args_as_dict())
                await self._outlet.tool_started(told)
            case ToolResultEvent(part=back):
                failed = back.outcome != "success"
                await self._outlet.tool_ended(back.tool_call_id, back.content, failed=failed)
            case _:
                pass

    async def _begin(self, kind: MessageType, text: str) -> None:
        await self._end()
        self._said += 1
        self._line = Line(f"{self._outlet.run_id}.{self._said}", self.agent, kind)
        await self._go_on(text)

    async def _go_on(self, text: str) -> None:
        if self._line and text:
            await self._outlet.write(self._line, text)

    async def _end(self) -> None:
        if self._line:
            await self._outlet.end_message(self._line.message_id)
            self._line = None
