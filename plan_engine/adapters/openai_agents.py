"""An agent of the OpenAI Agents SDK, shown as a plan: messages, tools, handoffs, and approvals.

    result = await run_openai_agent("plan-1", agent, "How did we sell in May?")

A tool with `needs_approval=True` is put to a person; the run continues from its saved state with the answer. With a session
that outlasts the process, a run that was killed is continued after its last finished turn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from broadcasters.extras import extra

with extra("openai-agents", "this adapter"):
    from agents import (
        Agent,
        HandoffOutputItem,
        ItemHelpers,
        MessageOutputItem,
        RunHooks,
        RunItem,
        Runner,
        RunResultStreaming,
        RunState,
        StreamEvent,
        ToolApprovalItem,
        ToolCallItem,
        ToolCallOutputItem,
    )

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import MessageType
from broadcasters.usage import usage_of
from plan_engine.adapters.conversion import approval_of_tool, fields_of, reason_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.run.context import Context

__all__ = ["run_openai_agent"]

NAME: Final = "OpenAI Agents SDK"
"""Who works on the plan, for people."""


async def run_openai_agent(
    plan: str | Context,
    agent: Agent[Any],
    given: Any,
    *,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
    **options: Any,
) -> RunResultStreaming:
    """Run an agent, and report the run.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        agent: the agent.
        given: a prompt, a list of items, or a `RunState` saved earlier.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title.
        **options: passed to `Runner.run_streamed` (context, session, run_config …).

    Returns:
        The run's result.
    """
    async with reporting(plan, broadcaster, name=NAME, title=title) as sink:
        events = _OpenAIEvents(sink, agent.name)
        options["hooks"] = _Pausing(sink, options.get("hooks") or RunHooks())
        session = options.get("session")
        starts = isinstance(given, str | list)
        if sink.repeats and session is not None and starts:
            given = _rest_of(given, await session.get_items(), sink)
        while True:
            result = Runner.run_streamed(agent, given, **options)
            total = result.context_wrapper.usage
            known = _counts(total)
            try:
                async for event in result.stream_events():
                    await events.report(event)
            finally:
                if not result.is_complete:
                    result.cancel()
                events.count_rest(_counts(total) - known)
            await events.end()
            await sink.report_usage()
            if not result.interruptions:
                sink.result = result.final_output
                return result
            given = result.to_state()
            await _decide(sink, events.agent, result.interruptions, given)


def _rest_of(given: Any, saved: Sequence[Any], sink: RunSink) -> Any:
    """The input of a run that was killed: none, if its session has it already, and the turns that were finished."""
    asked: Sequence[Any] = ItemHelpers.input_to_new_input_list(given)
    begun = max((number for number, item in enumerate(saved) if _field(item, "role") == "user"), default=None)
    if begun is None or not asked or _field(saved[begun], "content") != _field(asked[-1], "content"):
        return given
    turns = saved[begun + 1 :]
    if turns and _field(turns[-1], "role") == "assistant":  # an earlier run with the same input, which has ended
        return given
    sink.continue_after({str(_field(item, "call_id")) for item in turns if _field(item, "output") is not None})
    return []


async def _decide(sink: RunSink, agent: str, items: Sequence[ToolApprovalItem], state: RunState[Any]) -> None:
    async def decide(item: ToolApprovalItem) -> None:
        name = item.tool_name or "a tool"
        question = approval_of_tool(name, _arguments(item.arguments))
        answer = await sink.ask(item.call_id or f"{sink.run_id}.{name}", question, agent=agent)
        if answer:
            state.approve(item)
        else:
            state.reject(item, rejection_message=reason_of(answer))

    await gather_or_cancel(map(decide, items))


class _Pausing(RunHooks[Any]):
    """The run's hooks. They hold it while the plan is paused: the SDK itself runs on, however slowly its events are read."""

    def __init__(self, sink: RunSink, given: RunHooks[Any]) -> None:
        self._sink, self._given = sink, given
        for name in ("on_llm_end", "on_agent_start", "on_agent_end", "on_handoff", "on_tool_end"):
            setattr(self, name, getattr(given, name))

    async def on_llm_start(self, *args: Any, **more: Any) -> None:
        await self._sink.checkpoint()
        await self._given.on_llm_start(*args, **more)

    async def on_tool_start(self, *args: Any, **more: Any) -> None:
        await self._sink.checkpoint()
        await self._given.on_tool_start(*args, **more)


class _OpenAIEvents:
    """Reports the events of a run. Messages are numbered: the SDK gives all those of chat completions the same id."""

    def __init__(self, sink: RunSink, agent: str) -> None:
        self._sink = sink
        self.agent = agent
        self._message_count = 0
        self._open: MessageHeader | None = None
        self._streamed = 0
        """The number of messages that were streamed, and follow once more as whole items."""
        self._counted = Counter[str]()

    async def report(self, event: StreamEvent) -> None:
        match event.type:
            case "agent_updated_stream_event":
                self.agent = event.new_agent.name
            case "raw_response_event":
                await self._raw(event.data)
            case "run_item_stream_event":
                await self._item(event.item)

    async def _raw(self, raw: Any) -> None:
        match raw.type:
            case "response.output_text.delta" | "response.refusal.delta":
                await self._write("result", raw.delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                await self._write("thinking", raw.delta)
            case "response.output_item.done":
                self._streamed += self._open is not None and self._open.kind == "result"
                await self.end()
            case "response.completed":
                if (usage := raw.response.usage) is not None and usage.total_tokens:
                    self._count(_counts(usage), raw.response.model)
                    await self._sink.report_usage()
            case _:
                pass

    def _count(self, counts: Counter[str], model: str | None = None) -> None:
        self._counted += counts
        self._sink.count_usage(usage_of({"model": model or None, **counts}), agent=self.agent)

    def count_rest(self, total: Counter[str]) -> None:
        """Count what a run has used beyond its events. The SDK drops those that are not read when it fails, and sends none
        of agents that are used as tools."""
        rest = total - self._counted
        if rest["input_tokens"] or rest["output_tokens"]:
            self._count(rest)
        self._counted.clear()

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
            await self._sink.tool_ended(str(_field(item.raw_item, "call_id")), item.output)
        elif isinstance(item, HandoffOutputItem):
            await self._write("action", f"Handing over to {item.target_agent.name}.")
            await self.end()

    async def _tool(self, item: ToolCallItem) -> None:
        """Tools that run at the model's provider have no output item: they have ended when they are reported."""
        raw = item.raw_item
        call_id, item_id = _field(raw, "call_id"), _field(raw, "id")
        name = str(_field(raw, "name") or _field(raw, "type") or "tool")
        call = ToolInvocation(str(call_id or item_id or name), name, self.agent, _arguments(_field(raw, "arguments")))
        await self._sink.tool_started(call)
        if call_id is None:
            await self._sink.tool_ended(call.call_id, _field(raw, "output"))

    async def _write(self, kind: MessageType, text: str) -> None:
        if self._open is None or self._open.kind != kind:
            await self.end()
            self._message_count += 1
            self._open = MessageHeader(f"{self._sink.run_id}.{self._message_count}", self.agent, kind)
        await self._sink.write(self._open, text)

    async def end(self) -> None:
        if self._open:
            await self._sink.end_message(self._open.message_id)
            self._open = None


def _field(raw: Any, name: str) -> Any:
    """A field of an item, which may be a model or a dict."""
    return fields_of(raw).get(name) if isinstance(raw, dict) else getattr(raw, name, None)


def _arguments(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


def _counts(used: Any) -> Counter[str]:
    """The counts of a response's usage, or of a run's."""
    counts = {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cached_tokens": getattr(used.input_tokens_details, "cached_tokens", None) or 0,
        "reasoning_tokens": getattr(used.output_tokens_details, "reasoning_tokens", None) or 0,
        "requests": getattr(used, "requests", 1),
    }
    return Counter(counts)
