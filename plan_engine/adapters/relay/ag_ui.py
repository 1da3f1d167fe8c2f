"""An agent behind an AG-UI server, shown as a plan: steps, messages, reasoning, tool calls and interrupts.

    result = await run_ag_ui("plan-1", "https://agent.example/run", "Write the report")

The plan's id is the thread's id. The protocol has no cursor: a stream that breaks off ends the plan with an error, and
another call for the plan starts a new run on the same thread.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from broadcasters.broadcaster import Broadcaster
from plan_engine.adapters.conversion import approval_of_tool, fields_of, question_of, title_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.relay.server import AgentServer, ServerFailed
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.model.interaction import InputQuestion
from plan_engine.run.context import Context

__all__ = ["run_ag_ui"]

NAME: Final = "Relay (AG-UI)"
"""Who works on the plan, for people."""
AGENT: Final = "Agent"
"""The name where the server gives none."""

Event = Mapping[str, Any]


async def run_ag_ui(
    plan: str | Context,
    url: str,
    message: str,
    *,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
) -> Any:
    """Run an agent on its server, and report the run. Interrupts are put to a person, and resumed with the answer.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        url: the URL that a client's `HttpAgent` is given.
        message: the user's message.
        fields: more for the agent, as `forwardedProps`.
        headers: such as Authorization.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title; by default the message.

    Returns:
        The result of the run, if the server gave one.

    Raises:
        ServerFailed: the server refused the run, reported that it failed, or broke off.
    """
    async with (
        reporting(plan, broadcaster, name=NAME, title=title or message) as sink,
        AgentServer(url, headers) as server,
    ):
        run = _AgUiRun(sink, server, plan if isinstance(plan, str) else plan.key, message, fields or {})
        sink.result = await run.to_the_end()
        return sink.result


class _AgUiRun:
    def __init__(
        self, sink: RunSink, server: AgentServer, thread_id: str, message: str, fields: Mapping[str, Any]
    ) -> None:
        self._sink = sink
        self._server = server
        self._thread_id = thread_id
        self._fields = fields
        self._events = _AgUiEvents(sink, [{"id": f"{sink.run_id}-user", "role": "user", "content": message}])

    async def to_the_end(self) -> Any:
        answers: Sequence[Event] = ()
        number = 0
        while True:
            number += 1
            outcome = await self._run(f"{self._sink.run_id}-{number}", answers)
            interrupts = outcome.get("interrupts", ()) if outcome.get("type") == "interrupt" else ()
            if not interrupts:
                if outcome.get("type") == "cancelled":
                    raise ServerFailed("the agent's server cancelled the run")
                return self._events.result
            answers = await gather_or_cancel(self._answer(interrupt) for interrupt in interrupts)

    async def _run(self, run_id: str, answers: Sequence[Event]) -> Event:
        """One run of the thread; returns its outcome."""
        body: dict[str, Any] = {
            "threadId": self._thread_id,
            "runId": run_id,
            "protocolVersion": "1.0",
            "state": self._events.state,
            "messages": self._events.messages,
            "tools": [],
            "context": [],
            "forwardedProps": {**self._fields},
        }
        async with self._server.run(body | ({"resume": answers} if answers else {})) as events:
            async for event in events:
                if event.get("type") == "RUN_FINISHED":
                    await self._events.close()
                    self._events.result = event.get("result", self._events.result)
                    return event.get("outcome") or {"type": "success"}
                if event.get("type") == "RUN_ERROR":
                    raise ServerFailed(str(event.get("message") or "the agent's server reported an error"))
                await self._events.report(event)
        raise ServerFailed(f"the stream of {self._server.url} ended before the run did")

    async def _answer(self, interrupt: Event) -> Event:
        interrupt_id = str(interrupt["id"])
        question = self._question(interrupt)
        answer = await self._sink.ask(interrupt_id, question, agent=AGENT, step_id=self._events.step_id)
        return {"interruptId": interrupt_id, "status": "resolved", "payload": answer.value}

    def _question(self, interrupt: Event) -> InputQuestion:
        call = self._events.calls.get(str(interrupt.get("toolCallId")))
        schema = fields_of(interrupt.get("responseSchema")) or None
        if call is not None and not interrupt.get("message"):
            return approval_of_tool(call.tool_name, call.arguments)
        asked = interrupt.get("message") or interrupt.get("metadata") or interrupt.get("reason") or "Continue?"
        return question_of(asked, schema)


class _AgUiEvents:
    """Reports the events of a run, and keeps what the server is sent again in the next one."""

    def __init__(self, sink: RunSink, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        self.state: Any = {}
        self.result: Any = None
        self.calls: dict[str, ToolInvocation] = {}
        self._sink = sink
        self._steps: dict[str, None] = {}
        self._parts: Counter[str] = Counter()
        self._headers: dict[str, MessageHeader] = {}
        self._arguments: dict[str, str] = {}
        self._names: dict[str, str] = {}

    @property
    def step_id(self) -> str | None:
        """The step that began last, of those that have not ended."""
        return next(reversed(self._steps), None)

    async def report(self, event: Event) -> None:
        match event:
            case {"type": "STEP_STARTED" | "STEP_FINISHED" as kind, "stepName": str(name)}:
                await self._step(name, ended=kind == "STEP_FINISHED")
            case {"type": "TEXT_MESSAGE_START" | "TEXT_MESSAGE_CONTENT" | "TEXT_MESSAGE_CHUNK", "messageId": str(key)}:
                await self._text(key, event)
            case {"type": "REASONING_MESSAGE_CONTENT" | "REASONING_MESSAGE_CHUNK", "messageId": str(key)}:
                header = self._header(f"{key}.thinking", event, thinking=True)
                await self._sink.write(header, str(event.get("delta", "")))
            case {"type": "TEXT_MESSAGE_END", "messageId": str(key)}:
                await self._end(key)
            case {"type": "REASONING_MESSAGE_END", "messageId": str(key)}:
                await self._end(f"{key}.thinking")
            case {"type": "TOOL_CALL_START" | "TOOL_CALL_ARGS" | "TOOL_CALL_CHUNK", "toolCallId": str(call_id)}:
                self._names.setdefault(call_id, str(event.get("toolCallName", "tool")))
                self._arguments[call_id] = self._arguments.get(call_id, "") + str(event.get("delta", ""))
            case {"type": "TOOL_CALL_END", "toolCallId": str(call_id)}:
                await self._called(call_id)
            case {"type": "TOOL_CALL_RESULT", "toolCallId": str(call_id), "content": content}:
                await self._called(call_id)
                self._keep(
                    {"id": str(event.get("messageId")), "role": "tool", "toolCallId": call_id, "content": content}
                )
                await self._sink.tool_ended(call_id, content)
            case {"type": "STATE_SNAPSHOT", "snapshot": snapshot}:
                self.state = snapshot
            case {"type": "MESSAGES_SNAPSHOT"}:
                self.messages[:] = event["messages"]
            case _:
                pass  # the plan has nothing for it

    async def close(self) -> None:
        """End what the run left open."""
        for key in [*self._headers]:
            await self._end(key)
        for name in [*self._steps]:
            await self._step(name, ended=True)

    async def _step(self, name: str, *, ended: bool) -> None:
        if ended:
            self._steps.pop(name, None)
        else:
            self._steps[name] = None
        await self._sink.step(name, "completed" if ended else "in_progress", title=title_of(name))

    async def _text(self, key: str, event: Event) -> None:
        header, delta = self._header(key, event), str(event.get("delta", ""))
        self._keep({"id": key, "role": "assistant", "content": ""})["content"] += delta
        await self._sink.write(header, delta)

    def _header(self, key: str, event: Event, *, thinking: bool = False) -> MessageHeader:
        if key not in self._headers:
            self._parts[key] += 1  # a message may go on after its end
            message_id = key if self._parts[key] == 1 else f"{key}.{self._parts[key]}"
            agent = str(event.get("name") or AGENT)
            self._headers[key] = MessageHeader(message_id, agent, "thinking" if thinking else "result", self.step_id)
        return self._headers[key]

    async def _end(self, key: str) -> None:
        if header := self._headers.pop(key, None):
            await self._sink.end_message(header.message_id)

    async def _called(self, call_id: str) -> None:
        if call_id in self.calls:
            return
        name, text = self._names.get(call_id, "tool"), self._arguments.get(call_id, "")
        try:
            arguments = json.loads(text) if text else None
        except ValueError:
            arguments = text
        call = self.calls[call_id] = ToolInvocation(call_id, name, AGENT, arguments, self.step_id)
        function = {"name": name, "arguments": text}
        self._keep({"id": f"{call_id}-call", "role": "assistant", "toolCalls": []})["toolCalls"] += [
            {"id": call_id, "type": "function", "function": function}
        ]
        await self._sink.tool_started(call)

    def _keep(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message of this id in the conversation; this one, if there is none yet."""
        known = next((one for one in self.messages if one.get("id") == message["id"]), None)
        if known is None:
            self.messages.append(message)
        return known or message
