"""What a LangGraph stream says (its `version="v2"` parts), told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langgraph.types import Interrupt, StreamPart
from pydantic import BaseModel

from plan_engine.adapters.outlet import Call, Line, Outlet
from plan_engine.adapters.plain import as_text, fields_of, title_of
from plan_engine.adapters.questions import text_of

__all__ = ["Parts", "Task", "result_of"]

NOBODY: Final = "Graph"
Namespace = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A node at work. The same task taken up again has the same id."""

    step_id: str | None
    title: str


class Parts:
    """Tells them, one after the other; those of subgraphs, too: their nodes are steps like others."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._tasks: dict[str, Task] = {}
        self._running: dict[Namespace, dict[str, Task]] = {}
        self._asked_by: dict[str, Task] = {}
        self._lines: dict[str, Line] = {}
        self._open: dict[str | None, list[str]] = {}
        self._said: Counter[str] = Counter()

    async def tell(self, part: StreamPart[Any, Any]) -> None:
        if part["type"] == "tasks":
            await self._task(part["ns"], cast("Mapping[str, Any]", part["data"]))
        elif part["type"] == "messages":
            await self._message(*part["data"])
        elif part["type"] == "custom":
            await self._custom(part["ns"], part["data"])

    def asker(self, interrupt_id: str) -> Task:
        """Which node asked."""
        return self._asked_by.get(interrupt_id, Task(None, NOBODY))

    # ---- nodes

    async def _task(self, namespace: Namespace, said: Mapping[str, Any]) -> None:
        task_id, name = str(said["id"]), str(said["name"])
        running = self._running.setdefault(namespace, {})
        if "result" in said or "error" in said:
            running.pop(task_id, None)
            if said.get("error") is None and not said.get("interrupts"):
                await self._left((*namespace, f"{name}:{task_id}"))
            await self._ended(self._tasks.get(task_id, Task(None, title_of(name))), said)
            return
        self._said[task_id] = 0  # a node that asked is run again from its beginning, and says the same again
        task = self._tasks[task_id] = running[task_id] = Task(f"{name}:{task_id}", title_of(name))
        await self._outlet.step(f"{name}:{task_id}", "in_progress", title=task.title)

    async def _ended(self, task: Task, said: Mapping[str, Any]) -> None:
        for message_id in self._open.pop(task.step_id, ()):  # a model may have failed in the middle of it
            await self._outlet.end_message(message_id)
        for asked in said.get("interrupts") or ():
            interrupt_id = asked.id if isinstance(asked, Interrupt) else asked["id"]
            self._asked_by.setdefault(interrupt_id, task)  # the innermost node tells it first
        if said.get("interrupts") or task.step_id is None:
            return
        if (error := said.get("error")) is not None:
            await self._outlet.step(task.step_id, "error", title=task.title, content=as_text(error))
            return
        result = said.get("result")
        for message in _messages_in(result):
            await self._tools(task, message)
        await self._outlet.step(task.step_id, "completed", title=task.title, data=_without_messages(result))

    async def _left(self, subgraph: Namespace) -> None:
        """A node that hands over to one outside of its subgraph is done, and nothing says so but the subgraph's end."""
        for namespace in [one for one in self._running if one[: len(subgraph)] == subgraph]:
            for task in self._running.pop(namespace).values():
                await self._ended(task, {})

    async def _tools(self, task: Task, message: BaseMessage) -> None:
        if isinstance(message, ToolMessage):
            failed = message.status == "error"
            await self._outlet.tool_ended(message.tool_call_id, message.content, failed=failed)
        elif isinstance(message, AIMessage):
            for call in message.tool_calls:
                call_id = call["id"] or f"{message.id}.{call['name']}"
                await self._outlet.tool_started(Call(call_id, call["name"], task.title, call["args"], task.step_id))

    # ---- what models say

    async def _message(self, message: BaseMessage, about: Mapping[str, Any]) -> None:
        if not isinstance(message, AIMessage):
            return
        known = str(message.id)
        whole = not isinstance(message, AIMessageChunk)
        if whole and known in self._lines:
            return
        line = self._line(known, about)
        if thought := _reasoning_of(message):
            await self._outlet.write(Line(f"{line.message_id}.thinking", line.agent, "thinking", line.step_id), thought)
        if text := str(message.text):
            await self._outlet.end_message(f"{line.message_id}.thinking")
            await self._outlet.write(line, text)
        if not isinstance(message, AIMessageChunk) or message.chunk_position == "last":
            await self._outlet.end_message(f"{line.message_id}.thinking")
            await self._outlet.end_message(line.message_id)

    def _line(self, message_id: str, about: Mapping[str, Any]) -> Line:
        """The n-th message of a task has the same id when the task is taken up again."""
        if message_id not in self._lines:
            task_id = str(about.get("langgraph_checkpoint_ns", "")).rpartition(":")[2]
            task = self._tasks.get(task_id, Task(None, title_of(str(about.get("langgraph_node") or NOBODY))))
            self._said[task_id] += 1
            line = self._lines[message_id] = Line(self._message_id(task_id), task.title, "result", task.step_id)
            self._open.setdefault(task.step_id, []).extend((f"{line.message_id}.thinking", line.message_id))
        return self._lines[message_id]

    def _message_id(self, task_id: str) -> str:
        return f"{task_id or self._outlet.run_id}.{self._said[task_id]}"

    # ---- what nodes write to the stream

    async def _custom(self, namespace: Namespace, said: Any) -> None:
        """The stream doesn't say which node wrote: when just one is at work there, it was that one."""
        running = [*self._running.get(namespace, {}).items()]
        task_id, task = running[0] if len(running) == 1 else ("", Task(None, NOBODY))
        percent = fields_of(said).get("progress")
        if isinstance(percent, int | float) and not isinstance(percent, bool):
            await self._outlet.progress(percent, text_of(said), step_id=task.step_id)
            return
        self._said[task_id] += 1
        line = Line(self._message_id(task_id), task.title, "action", task.step_id)
        await self._outlet.say(line, text_of(said) or as_text(said))


def result_of(values: Any) -> Any:
    """What a graph ends with, for people: its state without the conversation, or the last word of that."""
    if (state := _without_messages(values)) is not None:
        return state
    said = [str(message.text) for message in _messages_in(values) if isinstance(message, AIMessage)]
    return said[-1] if said else None


def _messages_in(state: Any) -> Iterator[BaseMessage]:
    if isinstance(state, BaseMessage):
        yield state
    elif isinstance(state, list | tuple):
        yield from (one for one in cast("list[Any]", state) if isinstance(one, BaseMessage))
    elif (fields := _fields(state)) is not None:
        for one in fields.values():
            if _fields(one) is None or isinstance(one, BaseMessage):
                yield from _messages_in(one)


def _without_messages(state: Any) -> Any:
    if (fields := _fields(state)) is None:
        return None if any(_messages_in(state)) else state
    return {name: value for name, value in fields.items() if not _is_talk(value)} or None


def _is_talk(value: Any) -> bool:
    """Messages, or a list that says nothing."""
    return (isinstance(value, list) and not value) or any(_messages_in(value))


def _fields(state: Any) -> Mapping[str, Any] | None:
    """A graph's state may be a dict, a pydantic model or a dataclass."""
    if isinstance(state, Mapping):
        return cast("Mapping[str, Any]", state)
    if isinstance(state, BaseModel) or is_dataclass(state):
        return vars(state)
    return None


def _reasoning_of(message: AIMessage) -> str:
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content_blocks if block["type"] == "reasoning"]
    return "".join(str(block.get("reasoning", "")) for block in blocks)
