"""Encodes a plan as the events of LangGraph's newer protocol, which `threads.stream` reads.

A client may open a stream again without a position, receives the whole thread, and ignores the events whose ids it has.
So what adds to what it has (parts of messages, calls of tools, steps, the events of the log) has the same ids in every
stream. What replaces something or describes a state (`values`, open questions, what a run does) is sent only of the newest
plan, and only as it is: a question that was answered long ago interrupts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from broadcasters.changes import Change, Changes, InputChange, MessageChange, StepChange, ToolCallChange, difference
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty
from hub.protocols.langgraph.event_frames import EventFrames, error_frame, thread_position_of
from hub.protocols.langgraph.runs import runs_of, template_of
from hub.protocols.langgraph.state import interrupts_of, tool_messages, values_of
from hub.protocols.segments import Advance, Encoded, Ending, open_questions, waits

__all__ = ["CUSTOM", "EventEncoder", "channels_of"]

CUSTOM: Final = "plancast"
"""The name of the custom channel that has the events of the log."""
_CHANNELS: Final = frozenset({"values", "updates", "messages", "tools", "lifecycle", "input", "custom"})


def channels_of(names: Iterable[str]) -> frozenset[str]:
    """The channels of these names that have events here."""
    return frozenset("custom" if name == f"custom:{CUSTOM}" else name for name in names) & _CHANNELS


@dataclass(frozen=True, slots=True)
class EventEncoder:
    """Encodes one plan of a thread."""

    thread_id: str
    number: int
    """Of the plan in its thread."""
    channels: frozenset[str]
    earlier: bytes = b""
    """The messages of the thread's earlier plans: encoded, separated by commas."""
    epochs: tuple[tuple[int, str], ...] = ()
    """The epochs of the log that ended, and the one at the beginning of the stream, each with its last offset."""
    since: int = 0
    """The client has the events up to this sequence number."""
    live: bool = False
    """The client has got to where the plan is, and receives its state whenever that changes."""

    @property
    def after(self) -> int:
        """The offset up to which the client has all events."""
        number, offset = thread_position_of(self.since)
        return max(0, offset - 1) if number == self.number else 0

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        return b"" if plan.offset <= self.after else self._whole(plan, position)  # the log lost what follows

    def encode(self, advance: Advance) -> Iterable[Encoded]:
        plan, whole = advance.after, not advance.frames
        frames, names = self._frames(), self._names(plan, advance.epoch)
        texts: dict[int, str] = {}
        for at, changes in enumerate(advance.changes):
            moment = plan.updated_at if changes.event is None else changes.event.timestamp
            if not whole:
                data = b'{"name":"%b","payload":%b}' % (CUSTOM.encode(), advance.frames[at])
                frames.change("custom", data, names.of(changes.last), changes.last, moment)
            for change in changes.changes:
                for event in _events_of(names, change, changes.last, texts, whole=whole):
                    frames.change(*event, changes.last, moment, _node_of(change))
        if self.live and any(_shows(changes) for changes in advance.changes):
            self._add_state(frames, names, advance.before, plan)
        joined = frames.joined()
        return [Encoded(plan.offset, joined)] if joined else ()

    def arrived(self, before: Snapshot, plan: Snapshot, position: Position) -> bytes:
        """The state of a plan, for a client that has received the events up to there and had the state of `before`."""
        frames = self._frames()
        self._add_state(frames, self._names(plan, position.epoch), before, plan)
        return frames.joined()

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes:  # noqa: ARG002
        return self._whole(after, position)

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:  # noqa: ARG002
        if ending.kind == "restart":
            return None  # Python's client reconnects only after an error
        return error_frame("unknown_error", ending.message) if ending.kind == "failed" else b""

    def _frames(self) -> EventFrames:
        return EventFrames(self.number, self.channels, self.since)

    def _names(self, plan: Snapshot, epoch: str) -> _Names:
        return _Names(plan.plan_id, self.epochs, epoch)

    def _whole(self, plan: Snapshot, position: Position) -> bytes:
        """All of a plan, for a client that may have some of it."""
        frames, names, texts = self._frames(), self._names(plan, position.epoch), dict[int, str]()
        for change in difference(empty(plan.plan_id), plan):
            for event in _events_of(names, change, position.offset, texts, whole=True):
                frames.change(*event, position.offset, plan.updated_at, _node_of(change))
        if self.live:
            self._add_state(frames, names, empty(plan.plan_id), plan)
        return frames.joined()

    def _add_state(self, frames: EventFrames, names: _Names, before: Snapshot, plan: Snapshot) -> None:
        at = plan.offset, plan.updated_at
        if plan.offset and "values" in self.channels:
            frames.values(values_of(plan, self.earlier), *at)
        if self.channels & {"lifecycle", "input"}:
            known = {report.event_id for report in _reports(self.thread_id, names, before)}
            for report in _reports(self.thread_id, names, plan):
                if report.event_id not in known:
                    frames.report(*report, *at)


class _Names(NamedTuple):
    """Makes the ids of a plan's events. The epoch in which an event of the log was appended belongs to them: if the log was
    replaced, there are others at the same offsets."""

    plan_id: str
    epochs: tuple[tuple[int, str], ...]
    epoch: str

    def of(self, offset: int, what: str = "") -> str:
        """The id of what there is about the part, or event, at this offset."""
        name = f"{self.plan_id}:{self.place(offset)}"
        return f"{name}:{what}" if what else name

    def at(self, offset: int, kind: str, at: int) -> str:
        """The id of what an event did to the part at an offset."""
        return self.of(offset, f"{kind}@{self.place(at)}")

    def place(self, offset: int) -> str:
        """The offset and the epoch of an event."""
        return f"{offset}-{next((epoch for last, epoch in self.epochs if offset <= last), self.epoch)}"


class _Event(NamedTuple):
    method: str
    data: Mapping[str, Any]
    event_id: str


def _shows(changes: Changes) -> bool:
    """Whether more changes than a text that parts of a message add to."""
    return any(
        not isinstance(change, MessageChange) or change.closes or change.text is None for change in changes.changes
    )


def _node_of(change: Change) -> str:
    """The node of the graph that a change belongs to: a step, or the plan."""
    part = change.after
    return getattr(part, "step_id", None) or "plan"


# -- what changed


def _events_of(names: _Names, change: Change, at: int, texts: dict[int, str], *, whole: bool) -> Iterator[_Event]:
    """The events of a change. `texts` has the messages as far as the client has them; `whole` is a change between
    snapshots, some of which it may have received as events."""
    offset = getattr(change.after, "offset", 0)
    match change:
        case MessageChange():
            text = _text_after(change, texts, whole=whole)
            begin = offset if change.before is None else at
            for kind, data in _of_message(names.plan_id, change, texts.get(offset), text, whole=whole):
                if kind in ("end", "finish"):  # a snapshot does not have where it ended
                    yield _Event("messages", data, names.of(offset, f"{kind}@{_digest(text)}"))
                else:
                    yield _Event("messages", data, names.at(offset, kind, at if kind == "text" else begin))
            texts[offset] = text
        case ToolCallChange():
            for kind, data in _of_tool_call(names.plan_id, change):
                yield _Event("tools", data, names.of(offset, kind))
        case StepChange(after=step):
            values = {step.step_id: step.model_dump(mode="json", exclude_none=True, exclude={"offset"})}
            yield _Event("updates", {"node": step.step_id, "values": values}, names.at(offset, "step", at))
        case InputChange(after=question) if question.answered_at is not None:
            yield _Event("input.answered", {"interrupt_ids": [question.request_id]}, names.of(offset, "answered"))
        case _:
            pass


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=6).hexdigest()


def _text_after(change: MessageChange, texts: Mapping[int, str], *, whole: bool) -> str:
    """All of a message's text. (That in the change may lack some of it, while more of the burst follows.)"""
    if whole or change.text is None:
        return change.after.content
    before = "" if change.before is None else change.before.content
    return texts.get(change.after.offset, before) + change.text


def _of_message(
    plan_id: str, change: MessageChange, had: str | None, text: str, *, whole: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of a message: they add to its text, or, if it was replaced or a client may have some of it, set it. Its
    end has all of the text."""
    message = change.after
    if had is None:
        had = "" if change.before is None else change.before.content
    if change.opens and change.closes and change.before is not None and text == had:
        return  # it had ended, and something other than its text has changed
    name = f"{plan_id}:{message.offset}"
    ids = {"message_id": name, "run_id": name}  # each message has a run of its own, so that several can stream at once
    block: dict[str, Any] = {"index": 0, **ids}
    if change.opens:
        about = {"agent_name": message.agent_name, "message_type": message.message_type}
        yield "start", {"event": "message-start", "role": "ai", "id": name, **ids, "metadata": about}
        begun = {"type": "text", "text": text if whole and change.closes else ""}
        yield "block", {"event": "content-block-start", **block, "content": begun}
    if (delta := _delta(change, had, text, whole=whole)) is not None:
        yield "text", {"event": "content-block-delta", **block, "delta": delta}
    if change.closes:
        yield "end", {"event": "content-block-finish", **block, "content": {"type": "text", "text": text}}
        yield "finish", {"event": "message-finish", **ids}


def _delta(change: MessageChange, had: str, text: str, *, whole: bool) -> dict[str, Any] | None:
    if whole and change.closes:
        return None  # its beginning or its end has the text
    if whole or (change.text is None and not change.opens):
        return {"type": "block-delta", "fields": {"type": "text", "text": text}}
    added = text if change.opens else text[len(had) :]
    return {"type": "text-delta", "text": added} if added else None


def _of_tool_call(plan_id: str, change: ToolCallChange) -> Iterator[tuple[str, dict[str, Any]]]:
    call, [begun, *results] = change.after, [*tool_messages(plan_id, change.after)]
    named = {"tool_call_id": begun["id"]}
    if change.before is None:
        yield "started", {"event": "tool-started", **named, "tool_name": call.tool_name, "input": call.arguments}
    if not results or (change.before is not None and change.before.phase != "started"):
        return
    [result] = results
    if call.phase == "error":
        yield "result", {"event": "tool-error", **named, "message": result["content"]}
    else:
        yield "result", {"event": "tool-finished", **named, "output": call.result}


# -- the state


class _Report(NamedTuple):
    method: str
    data: Mapping[str, Any]
    event_id: str


def _reports(thread_id: str, names: _Names, plan: Snapshot) -> Iterator[_Report]:
    """What is to be known of a plan's state. The end of a plan, and its waiting, is that of all its runs: a client that
    began one does not know that an answer in the midst began another."""
    if plan.offset == 0:
        return
    runs = [run.run_id for run in runs_of(thread_id, [plan])]
    graph = {"graph_name": template_of(plan)}
    yield _Report("lifecycle", {"event": "running", **graph}, f"synth:{runs[-1]}:running")
    if plan.ended_at is not None:
        ended = {"event": _ENDED[plan.status], **graph}
        if plan.status == "error":
            ended["error"] = plan.content or "the plan failed"
        yield from (_Report("lifecycle", ended, f"synth:{run}:ended") for run in runs)
    elif waits(plan):
        questions = open_questions(plan)
        for question, interrupt in zip(questions, interrupts_of(plan), strict=True):
            data = {"interrupt_id": interrupt["id"], "payload": interrupt["value"], "value": interrupt["value"]}
            yield _Report("input.requested", data, names.of(question.offset, "asked"))
        latest = max(question.offset for question in questions)
        waiting = {"event": "interrupted", **graph}
        yield from (_Report("lifecycle", waiting, f"synth:{run}:interrupted@{names.place(latest)}") for run in runs)


_ENDED: Final = {"completed": "completed", "error": "failed", "cancelled": "interrupted"}
