"""An agent of the OpenAI Agents SDK, shown as a plan: what it says, tools, handoffs, and the approvals it needs.

    result = await run_openai_agent("plan-1", agent, "How did we sell in May?")

A tool with `needs_approval=True` is put to a person; the run goes on from its saved state with the answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from plan_engine.adapters.missing import missing

try:
    from agents import (
        Agent,
        HandoffOutputItem,
        ItemHelpers,
        MessageOutputItem,
        RunItem,
        Runner,
        RunResultStreaming,
        RunState,
        StreamEvent,
        ToolApprovalItem,
        ToolCallItem,
        ToolCallOutputItem,
    )
except ModuleNotFoundError as error:
    raise missing(error, "openai-agents", "agents") from None

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import MessageType
from plan_engine.adapters.outlet import Call, Line, Outlet
from plan_engine.adapters.plain import fields_of
from plan_engine.adapters.questions import approval_of_tool, reason_of
from plan_engine.adapters.telling import telling
from plan_engine.adapters.together import together
from plan_engine.run.context import Context

__all__ = ["run_openai_agent"]


async def run_openai_agent(
    plan: str | Context,
    agent: Agent[Any],
    given: Any,
    *,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> RunResultStreaming:
    """Run the agent, told as `plan`; its result. `given` is a prompt, a list of items, or a `RunState` saved earlier;
    `options` go to `Runner.run_streamed` (context, session, run_config …)."""
    async with telling(plan, broadcaster, title=title) as outlet:
        events = _Events(outlet, agent.name)
        while True:
            result = Runner.run_streamed(agent, given, **options)
            try:
                async for event in result.stream_events():
                    await events.tell(event)
            finally:
                if not result.is_complete:
                    result.cancel()
            await events.end()
            if not result.interruptions:
                outlet.result = result.final_output
                return result
            given = result.to_state()
            await _decide(outlet, events.agent, result.interruptions, given)


async def _decide(outlet: Outlet, agent: str, items: Sequence[ToolApprovalItem], state: RunState[Any]) -> None:
    async def decide(item: ToolApprovalItem) -> None:
        name = item.tool_name or "a tool"
        question = approval_of_tool(name, _arguments(item.arguments))
        answer = await outlet.ask(item.call_id or f"{outlet.run_id}.{name}", question, agent=agent)
        if answer:
            state.approve(item)
        else:
            state.reject(item, rejection_message=reason_of(answer))

    await together(map(decide, items))


class _Events:
    """Tells them. Messages are counted: the SDK gives all those of chat completions the same id."""

    def __init__(self, outlet: Outlet, agent: str) -> None:
        self._outlet = outlet
        self.agent = agent
        self._said = 0
        self._line: Line | None = None
        self._streamed = 0
        """Messages that came in pieces, and will come once more, whole."""

    async def tell(self, event: StreamEvent) -> None:
        match event.type:
            case "agent_updated_stream_event":
                self.agent = event.new_agent.name
            case "raw_response_event":
                await self._raw(event.data)
            case "run_item_stream_event":
                await self._item(event.item)

    async def _raw(self, said: Any) -> None:
        match said.type:
            case "response.output_text.delta" | "response.refusal.delta":
                await self._write("result", said.delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                await self._write("thinking", said.delta)
            case "response.output_item.done":
                self._streamed += self._line is not None and self._line.kind == "result"
                await self.end()
            case _:
                pass

    async def _item(self, item: RunItem) -> None:
        if isinstance(item, MessageOutputItem):
            if self._streamed:
                self._streamed -= 1
            elif text := ItemHelpers.text_message_output(item):
                await self._write("result", text)
                await self.end()
        elif isinstance(item, ToolCallItem):
            await self._tool(item)
        elif isinstance(item, ToolCallOutputItem):
            await self._outlet.tool_ended(str(_field(item.raw_item, "call_id")), item.output)
        elif isinstance(item, HandoffOutputItem):
            await self._write("action", f"Handing over to {item.target_agent.name}.")
            await self.end()

    async def _tool(self, item: ToolCallItem) -> None:
        """Tools that run at the model's provider have no output of their own: they are done when they are told."""
        raw = item.raw_item
        call_id, done_elsewhere = _field(raw, "call_id"), _field(raw, "id")
        name = str(_field(raw, "name") or _field(raw, "type") or "tool")
        call = Call(str(call_id or done_elsewhere or name), name, self.agent, _arguments(_field(raw, "arguments")))
        await self._outlet.tool_started(call)
        if call_id is None:
            await self._outlet.tool_ended(call.call_id, _field(raw, "output"))

    async def _write(self, kind: MessageType, text: str) -> None:
        if self._line is None or self._line.kind != kind:
            await self.end()
            self._said += 1
            self._line = Line(f"{self._outlet.run_id}.{self._said}", self.agent, kind)
        await self._outlet.write(self._line, text)

    async def end(self) -> None:
        if self._line:
            await self._outlet.end_message(self._line.message_id)
            self._line = None


def _field(raw: Any, name: str) -> Any:
    """Of an item that is a model or a plain dict."""
    return fields_of(raw).get(name) if isinstance(raw, dict) else getattr(raw, name, None)


def _arguments(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments
