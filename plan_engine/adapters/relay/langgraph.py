"""A graph behind a LangGraph server, shown as a plan: nodes are steps, models' outputs messages, interrupts questions.

    values = await run_langgraph_server("plan-1", "http://localhost:2024", "Write the report", assistant="agent")

The run is on a new thread. A connection that breaks off is joined again where it was, if the server supports that. When the
plan is cancelled, so is the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import httpx

from broadcasters.extras import extra

with extra("langgraph", "this adapter"):
    from langgraph_sdk import get_client
    from langgraph_sdk.client import LangGraphClient
    from langgraph_sdk.schema import StreamPart

from broadcasters.broadcaster import Broadcaster
from plan_engine.adapters.conversion import as_text, fields_of, plain_object, question_of, title_of
from plan_engine.adapters.plan_sink import reporting
from plan_engine.adapters.relay.server import ServerFailed
from plan_engine.adapters.sink import MessageHeader, RunSink, ToolInvocation, gather_or_cancel
from plan_engine.run.context import Context

__all__ = ["run_langgraph_server"]

NAME: Final = "Relay (LangGraph)"
"""Who works on the plan, for people."""
MODES: Final = ["messages-tuple", "tasks", "values"]
CANCEL_S: Final = 5.0
"""How long the server may take to cancel a run."""
GRAPH: Final = "Graph"
"""The agent's name where the server doesn't say which node acted."""

Fields = Mapping[str, Any]


async def run_langgraph_server(
    plan: str | Context,
    url: str,
    message: str,
    *,
    assistant: str = "agent",
    fields: Fields | None = None,
    headers: Mapping[str, str] | None = None,
    broadcaster: Broadcaster | None = None,
    title: str | None = None,
) -> Any:
    """Run a graph on its server, and report the run. Interrupts are put to a person, and resumed with the answer.

    Args:
        plan: the id of the plan to report as, or the context of an engine's step.
        url: the server's URL.
        message: the user's message, the first of the graph's `messages`.
        assistant: the name of the graph, or an assistant's id.
        fields: more for the graph's input.
        headers: such as Authorization or X-Api-Key.
        broadcaster: sends the events of a plan; by default one for PLANCAST_LOG, opened for the run.
        title: the plan's title; by default the message.

    Returns:
        The values the graph ended with.

    Raises:
        ServerFailed: the server refused the run, reported that it failed, or could not be reached again.
    """
    async with (
        reporting(plan, broadcaster, name=NAME, title=title or message) as sink,
        get_client(url=url, api_key=None, headers={**(headers or {})}) as client,
    ):
        run = _ServerRun(sink, client, assistant)
        given = {"messages": [{"role": "user", "content": message}], **(fields or {})}
        try:
            values = await run.to_the_end(given)
        except httpx.HTTPError as error:
            raise ServerFailed(f"{url}: {str(error) or type(error).__name__}") from None
        sink.result = {name: value for name, value in fields_of(values).items() if name != "messages"} or None
        return values


class _ServerRun:
    def __init__(self, sink: RunSink, client: LangGraphClient, assistant: str) -> None:
        self._sink = sink
        self._client = client
        self._assistant = assistant
        self._values: Any = None
        self._headers: dict[str, MessageHeader] = {}
        self._called: set[str] = set()

    async def to_the_end(self, given: Fields) -> Any:
        thread_id = (await self._client.threads.create())["thread_id"]
        request: dict[str, Any] = {"input": given}
        while True:
            await self._run(thread_id, request)
            state = await self._client.threads.get_state(thread_id)
            interrupts = [one for task in state["tasks"] for one in task.get("interrupts") or ()]
            if not interrupts:
                return self._values
            answers = await gather_or_cancel(self._answer(fields_of(one)) for one in interrupts)
            request = {"command": {"resume": dict(answers)}}

    async def _run(self, thread_id: str, request: Fields) -> None:
        created: list[str] = []

        def note(run: Fields) -> None:
            created.append(str(run["run_id"]))

        runs: Any = self._client.runs  # its overloads allow no list of modes that is a variable
        options = {"stream_mode": MODES, "stream_resumable": True, "on_run_created": note, **request}
        try:
            await self._report(runs.stream(thread_id, self._assistant, **options))
        except asyncio.CancelledError:
            for run_id in created:
                await self._cancel(thread_id, run_id)
            raise

    async def _cancel(self, thread_id: str, run_id: str) -> None:
        """Cancels the run on the server, which goes on when a client leaves. A server that can't be reached is ignored."""
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await self._client.runs.cancel(thread_id, run_id)

    async def _report(self, stream: AsyncIterator[StreamPart]) -> None:
        async for part in stream:
            data: Any = part.data  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            match part.event.partition("|")[0]:  # what follows is the namespace of a subgraph
                case "messages":
                    await self._message(*data)
                case "tasks":
                    await self._task(data)
                case "values":
                    self._values = data
                case "error":
                    raise ServerFailed(f"{data.get('error', 'error')}: {data.get('message', '')}")
                case _:
                    pass
        for header in [*self._headers.values()]:
            await self._sink.end_message(header.message_id)

    async def _answer(self, interrupt: Fields) -> tuple[str, Any]:
        interrupt_id = str(interrupt.get("id") or interrupt.get("interrupt_id"))
        answer = await self._sink.ask(interrupt_id, question_of(interrupt.get("value")), agent=GRAPH)
        return interrupt_id, answer.value

    async def _task(self, task: Fields) -> None:
        name = str(task.get("name", GRAPH))
        step_id, title = f"{name}:{task.get('id')}", title_of(name)
        if (problem := task.get("error")) is not None:
            await self._sink.step(step_id, "error", title=title, content=as_text(problem))
        elif "result" not in task:
            await self._sink.step(step_id, "in_progress", title=title)
        elif not task.get("interrupts"):
            result = {key: value for key, value in fields_of(task["result"]).items() if key != "messages"}
            await self._sink.step(step_id, "completed", title=title, data=plain_object(result or None))

    async def _message(self, message: Fields, metadata: Fields) -> None:
        kind = str(message.get("type", "")).removesuffix("MessageChunk").lower()
        if kind == "tool":
            failed = message.get("status") == "error"
            await self._sink.tool_ended(str(message.get("tool_call_id")), message.get("content"), failed=failed)
        elif kind == "ai":
            await self._output(message, title_of(str(metadata.get("langgraph_node") or GRAPH)))

    async def _output(self, message: Fields, agent: str) -> None:
        """A piece of a model's output: text is added, and a tool call counts once it is whole."""
        message_id = str(message.get("id"))
        header = self._headers.setdefault(message_id, MessageHeader(message_id, agent))
        if text := _text_of(message.get("content")):
            await self._sink.write(header, text)
        for call in cast("Sequence[Fields]", message.get("tool_calls") or ()):
            call_id, whole = str(call.get("id")), message.get("type") == "ai" or message.get("chunk_position") == "last"
            if whole and call.get("name") and call_id not in self._called:
                self._called.add(call_id)
                await self._sink.tool_started(ToolInvocation(call_id, str(call["name"]), agent, call.get("args")))


def _text_of(content: Any) -> str:
    """The text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    blocks = [fields_of(block) for block in content] if isinstance(content, list) else []  # pyright: ignore[reportUnknownVariableType]
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
