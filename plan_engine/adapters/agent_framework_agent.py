"""An agent of Microsoft Agent Framework, shown as a plan: its words, its tools, and the approvals it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_framework import Agent, AgentResponse, AgentResponseUpdate, AgentSession, Content, Message

from broadcasters.broadcaster import Broadcaster
from plan_engine.adapters.outlet import Call, Line, Outlet
from plan_engine.adapters.questions import approval_of_tool
from plan_engine.adapters.telling import telling
from plan_engine.adapters.together import together
from plan_engine.run.context import Context

__all__ = ["Updates", "decide", "run_agent"]


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
    """Run the agent, told as `plan`; its last response. `options` go to `agent.run`. Tools with
    `approval_mode="always_require"` are put to a person."""
    async with telling(plan, broadcaster, title=title) as outlet:
        session = session or agent.create_session()
        while True:
            updates = Updates(outlet, agent.name or "Agent")
            stream = agent.run(messages, stream=True, session=session, **options)
            async for update in stream:
                await updates.tell(update)
            await updates.end()
            response = await stream.get_final_response()
            if not response.user_input_requests:
                outlet.result = response.text
                return response
            asked = response.user_input_requests
            answers = await together(decide(outlet, updates.agent, request) for request in asked)
            messages = Message(role="user", contents=[*answers])


async def decide(outlet: Outlet, agent: str, request: Content, step_id: str | None = None) -> Content:
    """What a person says to a tool that needs an approval."""
    call = request.function_call
    if call is None:
        raise ValueError(f"the agent asks for a {request.type}, which nobody can give it here")
    question = approval_of_tool(str(call.name), call.parse_arguments())
    answer = await outlet.ask(str(request.id), question, agent=agent, step_id=step_id)
    return request.to_function_approval_response(bool(answer))


class Updates:
    """Tells an agent's updates. One message is open at a time; the framework's id of it comes behind the run's."""

    def __init__(self, outlet: Outlet, agent: str, step_id: str | None = None) -> None:
        self._outlet = outlet
        self.agent = agent
        self._step_id = step_id
        self._open: Line | None = None
        self._call: tuple[str, Content] | None = None
        """A call whose arguments are still being written, and who writes them."""

    async def tell(self, update: AgentResponseUpdate) -> None:
        agent = update.author_name or self.agent
        for content in update.contents:
            match content.type:
                case "text" | "text_reasoning" if content.text:
                    thinks = content.type == "text_reasoning"
                    name = f"{self._outlet.run_id}.{update.message_id or 'message'}{'.thinking' if thinks else ''}"
                    await self._write(
                        Line(name, agent, "thinking" if thinks else "result", self._step_id), content.text
                    )
                case "function_call":
                    await self._called(content, agent)
                case "function_result":
                    await self.end()
                    failed = content.exception is not None
                    result = content.exception if failed else content.result
                    await self._outlet.tool_ended(str(content.call_id), result, failed=failed)
                case _:
                    pass

    async def _called(self, part: Content, agent: str) -> None:
        """More of the call that is being written, or the beginning of another one."""
        if self._call and part.call_id in (self._call[1].call_id, "", None):
            part = self._call[1] + part
        else:
            await self.end()
        self._call = agent, part
        if _is_whole(part.arguments):
            await self._tell_call()

    async def _tell_call(self) -> None:
        if self._call:
            (agent, call), self._call = self._call, None
            told = str(call.call_id), str(call.name), agent, call.parse_arguments(), self._step_id
            await self._outlet.tool_started(Call(*told))

    async def _write(self, line: Line, text: str) -> None:
        if self._call or (self._open and self._open != line):
            await self.end()
        self._open = line
        await self._outlet.write(line, text)

    async def end(self) -> None:
        if self._open:
            await self._outlet.end_message(self._open.message_id)
            self._open = None
        await self._tell_call()


def _is_whole(arguments: Any) -> bool:
    """Models write them bit by bit, as JSON; no beginning of an object is one."""
    try:
        return isinstance(json.loads(arguments) if isinstance(arguments, str) else arguments, Mapping)
    except ValueError:
        return False
