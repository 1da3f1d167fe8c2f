"""A plan's events as lines for people to read."""

from __future__ import annotations

from typing import Final, TextIO

from broadcasters.events import (
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
    WorkerUpdate,
)
from hub.terminal.cells import cells, cut
from hub.terminal.look import Look, clean
from hub.terminal.text import WrappedText, brief, clock, joined, seconds, words

__all__ = ["PlanView"]

WHO: Final = 16
"""Columns for the agent's name."""
INDENT: Final = len("12:00:00 ") + WHO + len(" ✓ ")

ARTIFACT: Final = 100
"""Columns for the beginning of an artifact."""
HELD_CHARS: Final = 64 * 1024
"""A streamed message that is held back is written in parts of this size."""

MESSAGE_MARKS: Final = {
    "thinking": ("◌", "dim"),
    "action": ("▸", ""),
    "result": ("●", "bold"),
    "clarification_needed": ("?", "ask"),
}
STATUS_MARKS: Final = {
    "pending": ("○", "dim"),
    "in_progress": ("▶", ""),
    "waiting": ("‖", "ask"),
    "retrying": ("↻", "ask"),
    "completed": ("✓", "good"),
    "error": ("✗", "bad"),
    "skipped": ("-", "dim"),
    "cancelled": ("■", "bad"),
    "stalled": ("!", "bad"),
}
TOOL_MARKS: Final = {"started": ("⚒", ""), "completed": ("⚒", "good"), "error": ("✗", "bad")}


class _HeldMessage:
    """An unfinished streamed message with the text that has not been written yet."""

    def __init__(self, first: AgentMessage) -> None:
        self.first = first
        self.started = False
        self.pending = 0
        """Characters not written yet."""
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        self._parts.append(text)
        self.pending += len(text)

    def take(self) -> str:
        """The text not written yet; the caller writes it now."""
        text = "".join(self._parts)
        self._parts.clear()
        self.pending = 0
        self.started = self.started or bool(text)
        return text


class PlanView:
    """Writes events to an output stream.

    On a terminal, a streamed message is written as it arrives, one message at a time. In a file, or while another message
    is being written, it is held back until it is complete."""

    def __init__(self, out: TextIO, look: Look) -> None:
        self._out = out
        self._look = look
        self._titles: dict[str, str] = {}
        self._began: dict[str, str] = {}
        self._held: dict[str, _HeldMessage] = {}
        self._growing: str | None = None
        self._line: WrappedText | None = None

    def show(self, event: PlanEvent) -> None:
        """Write the plan's next event."""
        match event:
            case AgentMessage():
                self._message(event)
            case StepUpdate():
                self._step(event)
            case PlanUpdate():
                self._plan(event)
            case ToolCall():
                self._tool(event)
            case InputRequest():
                self._asked(event)
            case InputResponse():
                by = f", says {event.by}" if event.by else ""
                self._row(event, "answer", ("↳", "ask"), f"{brief(event.answer)}{by}")
            case Artifact():
                where = event.url or cut(" ".join(brief(event.data).split()), ARTIFACT)
                self._row(event, "made", ("◆", "good"), f"{event.name} ({event.mime_type}) {where}")
            case WorkerUpdate():
                pass
            case _:
                self._row(event, "plan", ("·", "dim"), event.type)
        self._out.flush()

    def note(self, text: str) -> None:
        """Write a remark of the program between the events."""
        self._end_line()
        self._out.write(self._look.paint(self._look.plain(f"- {clean(text)}"), "dim") + "\n")
        self._out.flush()

    def finish(self) -> None:
        """Write what is still held back; no events follow."""
        for message_id in list(self._held):
            self._close(message_id)
        self._end_line()
        self._out.flush()

    def _plan(self, event: PlanUpdate) -> None:
        mark = STATUS_MARKS[event.status]
        if event.step_id is not None and event.title:
            self._titles[event.step_id] = event.title
        if event.agent_name and event.content:
            spoken = event.status == "in_progress" and event.message_type
            self._row(event, event.agent_name, MESSAGE_MARKS[spoken] if spoken else mark, event.content, event.progress)
        elif event.step_id is not None:
            self._row(event, "step", mark, joined(self._title(event.step_id), event.content), event.progress)
        else:
            text = joined(event.title, event.content)
            self._row(event, "plan", mark, f"{words(event.status)}{': ' if text else ''}{text}", event.progress)

    def _step(self, event: StepUpdate) -> None:
        if event.title:
            self._titles[event.step_id] = event.title
        text = joined(self._title(event.step_id), event.content)
        self._row(
            event, event.agent_name or "step", STATUS_MARKS[event.status], f"{text}{self._how(event)}", event.progress
        )

    def _title(self, step_id: str) -> str:
        return self._titles.get(step_id, step_id)

    def _how(self, event: StepUpdate) -> str:
        """The attempt's number, or how long the step took."""
        if event.status in ("completed", "error", "cancelled", "skipped"):
            began = self._began.pop(event.step_id, None)
            return f" ({seconds(began, event.timestamp)})" if began else ""
        if event.status != "pending":
            self._began.setdefault(event.step_id, event.timestamp)
        if event.attempt and event.attempt > 1:
            return f" (attempt {event.attempt}{f' of {event.max_attempts}' if event.max_attempts else ''})"
        return "" if event.status == "in_progress" else f" ({words(event.status)})"

    def _tool(self, event: ToolCall) -> None:
        text = f"{event.tool_name} {brief(event.arguments)}"
        if event.phase != "started":
            text = f"{event.tool_name} → {brief(event.result) or words(event.phase)}"
        self._row(event, event.agent_name, TOOL_MARKS[event.phase], text)

    def _asked(self, event: InputRequest) -> None:
        options = " | ".join(brief(option) for option in event.options or ())
        text = f"{words(event.kind)} needed: {event.prompt}{f'  [{options}]' if options else ''}"
        self._row(event, event.agent_name or "plan", ("?", "ask"), text)

    def _message(self, event: AgentMessage) -> None:
        message_id = event.message_id
        if message_id is None or not (event.append or event.final is False):
            if message_id is not None:
                self._held.pop(message_id, None)
            self._row(event, event.agent_name, MESSAGE_MARKS[event.message_type], event.content)
        else:
            self._part(message_id, event)
        if event.error:
            self._row(event, event.agent_name, STATUS_MARKS["error"], event.error)

    def _part(self, message_id: str, event: AgentMessage) -> None:
        held = self._held.setdefault(message_id, _HeldMessage(event))
        held.add(event.content)
        if self._look.live and self._growing in (None, message_id):
            self._grow(message_id, held)
        elif held.pending > HELD_CHARS:
            self._write_held(held)
        if event.final or event.error:
            self._close(message_id)

    def _grow(self, message_id: str, held: _HeldMessage) -> None:
        if self._line is None:
            first = held.first
            self._growing = message_id
            self._line = self._begin(first, first.agent_name, MESSAGE_MARKS[first.message_type])
            if held.started:
                self._line.feed(self._look.plain("… "))
        self._line.feed(self._look.plain(clean(held.take())))

    def _write_held(self, held: _HeldMessage) -> None:
        started = held.started
        text = held.take()
        if text:
            first = held.first
            self._row(first, first.agent_name, MESSAGE_MARKS[first.message_type], f"… {text}" if started else text)

    def _close(self, message_id: str) -> None:
        held = self._held.pop(message_id)
        if self._growing != message_id:
            self._write_held(held)
            return
        self._end_line()
        waiting = next(((other, message) for other, message in self._held.items() if message.pending), None)
        if waiting:
            self._grow(*waiting)

    def _row(self, event: PlanEvent, who: str, mark: tuple[str, str], text: str, progress: float | None = None) -> None:
        self._end_line()
        self._line = self._begin(event, who, mark)
        self._line.feed(self._look.plain(clean(text)))
        if progress is not None:
            self._line.feed(f"  {self._look.bar(progress)}")
        self._end_line()

    def _begin(self, event: PlanEvent, who: str, mark: tuple[str, str]) -> WrappedText:
        """Start a line with time, name and mark; the caller feeds the text that follows."""
        look = self._look
        sign, style = mark
        who = clean(who).replace("\n", " ")
        colour = look.agent(who) if getattr(event, "agent_name", None) else look.style("dim")
        padding = " " * max(0, WHO - cells(who))
        self._out.write(f"{look.paint(clock(event.timestamp), 'dim')} {colour}{who}{look.off}{padding} ")
        self._out.write(f"{look.style(style)}{look.plain(sign)} ")
        return WrappedText(self._out.write, INDENT + max(0, cells(who) - WHO), INDENT, look.width)

    def _end_line(self) -> None:
        """End the line being written, if any."""
        if self._line is not None:
            self._line.end()
            self._out.write(f"{self._look.off}\n")
        self._line = self._growing = None
