"""An agent behind a server of the AI SDK's UI message stream, shown as a plan: text, reasoning, tool calls and approvals.

    await run_ai_sdk("plan-1", "https://agent.example/api/chat", "Write the report")

The plan's id is the chat's id. The protocol has no cursor: a stream that breaks off ends the plan with an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broadcasters.broadcaster import Broadcaster
from plan_engine.adapters.conversion import approval_of_tool, reason_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.relay.server import AgentServer, ServerFailed
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.run.context import Context

__all__ = ["run_ai_sdk"]

NAME: Final = "Relay (AI SDK)"
"""Who works on the plan, for people."""
AGENT: Final = "Agent"
"""The protocol does not name agents."""

Chunk = Mapping[str, Any]
Part = dict[str, Any]


async def run_ai_sdk(
    plan: str | Context,
    url: str,
    message: str,
    *,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
) -> Any:
    """Run an agent on its server, and report the run. Approvals of tools are put to a person.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        url: the URL that a chat's transport is given (`api`).
        message: the user's message.
        fields: more for the request's body.
        headers: such as Authorization.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title; by default the message.

    Returns:
        The text of the agent's last message.

    Raises:
        ServerFailed: the server refused the run, reported that it failed, or broke off.
    """
    async with (
        reporting(plan, broadcaster, name=NAME, title=title or message) as sink,
        AgentServer(url, headers) as server,
    ):
        run = _AiSdkRun(sink, server, plan if isinstance(plan, str) else plan.key, message, fields or {})
        sink.result = await run.to_the_end()
        return sink.result


class _AiSdkRun:
    def __init__(
        self, sink: RunSink, server: AgentServer, chat_id: str, message: str, fields: Mapping[str, Any]
    ) -> None:
        self._sink = sink
        self._server = server
        self._body = {**fields, "id": chat_id, "trigger": "submit-message"}
        self._user: Part = _message(f"{sink.run_id}-user", "user", [{"type": "text", "text": message}])
        self._answer = _Answer(sink)

    async def to_the_end(self) -> str | None:
        messages = [self._user]
        while True:
            await self._stream(messages)
            if not (waiting := self._answer.waiting()):
                return self._answer.text()
            await gather_or_cancel(self._approve(part) for part in waiting)
            messages = [self._user, self._answer.message()]

    async def _stream(self, messages: list[Part]) -> None:
        body = {**self._body, "messages": messages, "messageId": messages[-1]["id"]}
        async with self._server.run(body) as chunks:
            async for chunk in chunks:
                match chunk:
                    case {"type": "finish"}:
                        await self._answer.close()
                        return
                    case {"type": "error", "errorText": problem}:
                        raise ServerFailed(str(problem))
                    case {"type": "abort"}:
                        raise ServerFailed("the agent's server aborted the run")
                    case _:
                        await self._answer.report(chunk)
        raise ServerFailed(f"the stream of {self._server.url} ended before the message did")

    async def _approve(self, part: Part) -> None:
        question = approval_of_tool(part["toolName"], part.get("input"))
        answer = await self._sink.ask(part["approval"]["id"], question, agent=AGENT)
        approval = {"id": part["approval"]["id"], "approved": bool(answer)}
        part["approval"] = approval if answer else {**approval, "reason": reason_of(answer)}
        part["state"] = "approval-responded"


class _Answer:
    """The assistant's message, as the server streams it: reported, and kept for the server's next request."""

    def __init__(self, sink: RunSink) -> None:
        self._sink = sink
        self._id = f"{sink.run_id}-answer"
        self._parts: list[Part] = []
        self._texts: dict[str, tuple[MessageHeader, Part]] = {}
        self._tools: dict[str, Part] = {}

    def message(self) -> Part:
        return _message(self._id, "assistant", self._parts)

    def text(self) -> str | None:
        """The last text of the message."""
        return next((part["text"] for part in reversed(self._parts) if part["type"] == "text"), None)

    def waiting(self) -> list[Part]:
        """The tool calls that a person must approve."""
        return [part for part in self._tools.values() if part["state"] == "approval-requested"]

    async def report(self, chunk: Chunk) -> None:
        match chunk:
            case {"type": "start", "messageId": str(message_id)}:
                self._id = message_id
            case {"type": "text-start" | "reasoning-start" as kind, "id": str(key)}:
                self._begin(key, "thinking" if kind == "reasoning-start" else "result")
            case {"type": "text-delta" | "reasoning-delta", "id": str(key), "delta": str(delta)} if key in self._texts:
                header, part = self._texts[key]
                part["text"] += delta
                await self._sink.write(header, delta)
            case {"type": "text-end" | "reasoning-end", "id": str(key)}:
                await self._end(key)
            case {"type": "tool-input-available" | "tool-input-error", "toolCallId": str(), "toolName": str()}:
                await self._tool_started(chunk)
            case {"toolCallId": str(call_id)} if call_id in self._tools:
                await self._tool_changed(self._tools[call_id], chunk)
            case _:
                pass  # the plan has nothing for it

    async def close(self) -> None:
        """End what the stream left open."""
        for key in [*self._texts]:
            await self._end(key)

    def _begin(self, key: str, kind: Any) -> None:
        part: Part = {"type": "reasoning" if kind == "thinking" else "text", "text": "", "state": "done"}
        self._parts.append(part)
        self._texts[key] = MessageHeader(f"{self._sink.run_id}.{len(self._parts)}", AGENT, kind), part

    async def _end(self, key: str) -> None:
        if open_text := self._texts.pop(key, None):
            await self._sink.end_message(open_text[0].message_id)

    async def _tool_started(self, chunk: Chunk) -> None:
        call_id, name = chunk["toolCallId"], chunk["toolName"]
        kind = {"type": "dynamic-tool"} if chunk.get("dynamic") else {"type": f"tool-{name}"}
        part = self._tools[call_id] = {
            **kind,
            "toolName": name,
            "toolCallId": call_id,
            "state": "input-available",
            "input": chunk.get("input"),
        }
        self._parts.append(part)
        await self._sink.tool_started(ToolInvocation(call_id, name, AGENT, chunk.get("input")))
        if chunk["type"] == "tool-input-error":
            await self._tool_ended(part, "output-error", errorText=str(chunk.get("errorText", "")))

    async def _tool_changed(self, part: Part, chunk: Chunk) -> None:
        match chunk["type"]:
            case "tool-approval-request":
                part |= {"state": "approval-requested", "approval": {"id": str(chunk["approvalId"])}}
            case "tool-output-available" if not chunk.get("preliminary"):
                await self._tool_ended(part, "output-available", output=chunk.get("output"))
            case "tool-output-error":
                await self._tool_ended(part, "output-error", errorText=str(chunk.get("errorText", "")))
            case "tool-output-denied":
                await self._tool_ended(part, "output-denied")
            case _:
                pass

    async def _tool_ended(self, part: Part, state: str, **fields: Any) -> None:
        part |= {"state": state, **fields}
        result = fields.get("errorText") or fields.get("output") or ("denied" if state == "output-denied" else None)
        await self._sink.tool_ended(part["toolCallId"], result, failed=state != "output-available")


def _message(message_id: str, role: str, parts: list[Part]) -> Part:
    return {"id": message_id, "role": role, "parts": parts}
