"""Encodes a plan as the stream of a LangGraph run: server-sent events in the modes that the client requested.

The `id` of a message is a position, and a client that has it has all that leads there. What one event becomes is sent in
the order `custom`, `updates`, `messages`, and only the last of it has that id. A client that is cut before resumes at the
position before, with `.1` if it has the `custom`; once it has some of several `messages`, at the new position with `.0`.
So it misses nothing, and receives no text and no event twice, except that after `.0` messages are sent afresh. `values`
begin every stream.

A client joins chunks that have the same message id. A message of which it may have another beginning is therefore first
removed (as `RemoveMessage` does), or, if it began in an earlier run, sent in `values` only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from broadcasters.changes import Changes, MessageChange, StepChange, ToolCallChange
from broadcasters.events import WorkerUpdate
from broadcasters.position import Position
from broadcasters.snapshot import MessageState, Snapshot
from hub.protocols.langgraph.state import encoded, interrupts_of, text_message, tool_messages, usage_fields, values_of
from hub.protocols.segments import Advance, Encoded, Ending

__all__ = ["MODES", "Cursor", "RunEncoder", "cursor_in", "event_id", "modes_of"]

MODES: Final = frozenset({"values", "updates", "messages", "custom"})
"""The modes that have a stream here."""


def modes_of(names: Collection[str]) -> frozenset[str]:
    """The modes of these names; both `messages` and `messages-tuple` are messages in parts. Others are left out."""
    return frozenset(name.removesuffix("-tuple") for name in names) & MODES


def event_id(position: Position) -> str:
    """The id of the last message of a position."""
    return f"{position.offset}-{position.epoch}"


class Cursor(NamedTuple):
    """Where a client resumes: after a position, and after the `custom` message of the events up to `customs`."""

    position: Position
    customs: int
    afresh: bool = False
    """It has some of the messages of the position, so all are sent again."""


def cursor_in(text: str) -> Cursor | None:
    """The cursor in the id of a message; None for any other text."""
    found = _id.fullmatch(text)
    if found is None:
        return None
    offset = int(found[1])
    return Cursor(Position(found[3] or "", offset), offset + (found[2] == ".1"), found[2] == ".0")


_id: Final = re.compile(r"([0-9]{1,15})(\.[01])?(?:-([A-Za-z0-9]{0,64}))?")


class _Message(NamedTuple):
    """A message of the stream. With an id, a client that has it has everything up to there."""

    event: str
    data: bytes
    offset: int | None = None
    suffix: bytes = b""
    """What the id says besides the offset; see `Cursor`."""

    def written(self, epoch: str) -> bytes:
        id_line = b"" if self.offset is None else b"id: %d%b-%b\n" % (self.offset, self.suffix, epoch.encode())
        return b"event: %b\n%bdata: %b\n\n" % (self.event.encode(), id_line, self.data)


@dataclass(frozen=True, slots=True)
class RunEncoder:
    """Encodes one run of a thread."""

    run_id: str
    thread_id: str
    begin: int
    """The position in the plan at which the run begins."""
    modes: frozenset[str]
    earlier: bytes = b""
    """The messages of the thread's earlier plans: encoded, separated by commas."""
    afresh: bool = False
    """The client may have another beginning of each message."""
    customs: int = 0
    """The client has the `custom` messages of the events up to here."""

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        metadata = {"run_id": self.run_id, "thread_id": self.thread_id, "attempt": 1}
        messages = [_Message("metadata", encoded(metadata))]
        if self.afresh and "messages" in self.modes:
            new = [message for message in plan.messages if self._is_new(message)]
            messages += self._again(plan.plan_id, new, plan.offset)
            for call in plan.tool_calls:  # the client may have a result of an earlier call
                known = call.model_copy(update={"phase": "completed"})
                messages += self._tool_call(plan.plan_id, ToolCallChange(known, call), plan.offset, again=True)
        suffix = b".1" if self.customs > plan.offset else b""
        messages += [message._replace(suffix=suffix) for message in self._values(plan, plan.offset)]
        return _joined(messages, position.epoch)

    def encode(self, advance: Advance) -> Iterable[Encoded]:
        messages: list[_Message] = []
        for at, changes in enumerate(advance.changes):
            shown = not isinstance(changes.event, WorkerUpdate)
            if shown and advance.frames and "custom" in self.modes and changes.last > self.customs:
                messages.append(_Message("custom", advance.frames[at], changes.last))
            messages += sorted(self._of(advance.after.plan_id, changes), key=lambda message: message.event != "updates")
        if any(self._shows(changes) for changes in advance.changes):
            messages += self._values(advance.after, advance.changes[-1].last)
        joined = _joined(messages, advance.epoch, {one.last for one in advance.changes if one.first == one.last})
        return [Encoded(advance.after.offset, joined)] if joined else ()

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes:
        known = {message.offset: message for message in before.messages}
        changed = [message for message in after.messages if known.get(message.offset) != message]
        lost = known.keys() - {message.offset for message in after.messages}
        messages = [
            *(self._removed(after.plan_id, offset, after.offset) for offset in sorted(lost)),
            *self._again(after.plan_id, changed, after.offset),
        ]
        messages = messages if "messages" in self.modes else []
        return _joined([*messages, *self._values(after, after.offset)], position.epoch)

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:
        if ending.kind == "restart":
            return None  # after a clean end a client requests the run's status, and the run may have ended meanwhile
        messages: list[_Message] = []
        if ending.kind == "failed":
            messages = [_Message("error", encoded({"error": ending.code, "message": ending.message}))]
        elif interrupts := interrupts_of(plan):
            interrupted = encoded({"__interrupt__": interrupts})
            messages = [_Message(mode, interrupted) for mode in ("updates", "values") if mode in self.modes]
        elif plan.status == "error":
            message = plan.content or "the plan failed"
            messages = [_Message("error", encoded({"error": "PlanError", "message": message}))]
        return b"".join(message.written(position.epoch) for message in messages)

    # -- parts

    def _of(self, plan_id: str, changes: Changes) -> Iterator[_Message]:
        for change in changes.changes:
            if isinstance(change, StepChange) and "updates" in self.modes:
                step = change.after.model_dump(mode="json", exclude_none=True, exclude={"offset"})
                yield _Message("updates", encoded({change.after.step_id: step}), changes.last)
            elif "messages" not in self.modes:
                continue
            elif isinstance(change, MessageChange) and self._is_new(change.after):
                yield from self._text(plan_id, change, changes.last)
            elif isinstance(change, ToolCallChange):
                yield from self._tool_call(plan_id, change, changes.last)

    def _text(self, plan_id: str, change: MessageChange, last: int) -> Iterator[_Message]:
        before, after, text = change.before, change.after, change.text
        if text is None or (before is not None and before.offset != after.offset):
            yield from self._again(plan_id, [after], last)
        elif before is None:
            yield self._chunk(text_message(plan_id, after.model_copy(update={"content": text})), after, last)
        elif text or before.usage != after.usage:
            more = usage_fields(after.usage, before.usage)
            chunk = {"id": f"{plan_id}:{after.offset}", "type": "ai", "content": text, **more}
            yield self._chunk(chunk, after, last)

    def _tool_call(self, plan_id: str, change: ToolCallChange, last: int, *, again: bool = False) -> Iterator[_Message]:
        known = {} if change.before is None else {one["id"]: one for one in tool_messages(plan_id, change.before)}
        for message in tool_messages(plan_id, change.after):
            old = known.pop(message["id"], None)
            if old is not None and (again or old != message):
                yield self._removed(plan_id, message["id"], last)
            if again or old != message:
                yield self._chunk(message, change.after, last)
        for gone in known:  # the call began again
            yield self._removed(plan_id, gone, last)

    def _again(self, plan_id: str, messages: Iterable[MessageState], last: int) -> Iterator[_Message]:
        for message in messages:
            yield self._removed(plan_id, message.offset, last)
            yield self._chunk(text_message(plan_id, message), message, last)

    def _removed(self, plan_id: str, message: int | str, last: int) -> _Message:
        name = message if isinstance(message, str) else f"{plan_id}:{message}"
        removal = {"type": "remove", "id": name, "content": ""}
        return _Message("messages", encoded([removal, {"run_id": self.run_id}]), last)

    def _chunk(self, message: dict[str, Any], part: Any, last: int | None) -> _Message:
        kind = "ToolMessageChunk" if message["type"] == "tool" else "AIMessageChunk"
        metadata = {"run_id": self.run_id, "langgraph_node": part.step_id or "plan", "agent_name": part.agent_name}
        return _Message("messages", encoded([{**message, "type": kind}, metadata]), last)

    def _values(self, plan: Snapshot, offset: int) -> Sequence[_Message]:
        return [_Message("values", values_of(plan, self.earlier), offset)] if "values" in self.modes else []

    # -- what values are sent for

    def _is_new(self, message: MessageState) -> bool:
        """Whether it began in this run, so that its parts are all sent as chunks."""
        return message.offset > self.begin

    def _shows(self, changes: Changes) -> bool:
        """Whether the values change in more than a text that chunks add to."""
        return any(
            not isinstance(change, MessageChange)
            or change.closes
            or change.text is None
            or not self._is_new(change.after)
            for change in changes.changes
        )


def _joined(messages: Sequence[_Message], epoch: str, single: Collection[int] = ()) -> bytes:
    """Writes messages of which each has the offset that it leads to. `single`: the offsets that are those of one event."""
    last = {message.offset: at for at, message in enumerate(messages) if message.event != "values"}
    marked = (_marked(message, last.get(message.offset, at) == at, single) for at, message in enumerate(messages))
    return b"".join(message.written(epoch) for message in marked)


def _marked(message: _Message, last: bool, single: Collection[int]) -> _Message:
    """The message with the id at which a client resumes that has it: none, if that is the one before."""
    if last or message.offset is None:
        return message
    if message.event == "custom" and message.offset in single:
        return message._replace(offset=message.offset - 1, suffix=b".1")
    if message.event == "messages":
        return message._replace(suffix=b".0")
    return message._replace(offset=None)
