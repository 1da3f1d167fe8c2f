"""A plan, event by event, as lines for people."""

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
)
from hub.terminal.flow import Flow
from hub.terminal.look import Look, cells, clean
from hub.terminal.streams import Stream
from hub.terminal.words import brief, clock, joined, seconds, words

__all__ = ["PlanView"]

WHO: Final = 16
"""Columns for who is speaking."""
INDENT: Final = len("12:00:00 ") + WHO + len(" ✓ ")

SAYS: Final = {
    "thinking": ("◌", "dim"),
    "action": ("▸", ""),
    "result": ("●", "bold"),
    "clarification_needed": ("?", "ask"),
}
STANDS: Final = {
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
TOOLS: Final = {"started": ("⚒", ""), "completed": ("⚒", "good"), "error": ("✗", "bad")}


class PlanView:
    """Writes what is shown to it. On a terminal a streamed message grows, one at a time; elsewhere, and while another
    one grows, it is written when it is whole."""

    def __init__(self, out: TextIO, look: Look) -> None:
        self._out = out
        self._look = look
        self._titles: dict[str, str] = {}
        self._began: dict[str, str] = {}
        self._streams: dict[str, Stream] = {}
        self._growing: str | None = None
        self._flow: Flow | None = None

    def show(self, event: PlanEvent) -> None:
        """One more event of the plan."""
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
                where = event.url or brief(event.data)
                self._row(event, "made", ("◆", "good"), f"{event.name} ({event.mime_type}) {where}")
            case _:
                self._row(event, "plan", ("·", "dim"), event.type)
        self._out.flush()

    def note(self, text: str) -> None:
        """A word of our own, between the events."""
        self._stand()
        self._out.write(self._look.paint(self._look.plain(f"- {clean(text)}"), "dim") + "\n")
        self._out.flush()

    def finish(self) -> None:
        """Nothing follows: write what is still held back."""
        for message_id in list(self._streams):
            self._close(message_id)
        self._stand()
        self._out.flush()

    def _plan(self, event: PlanUpdate) -> None:
        mark = STANDS[event.status]
        if event.step_id is not None and event.title:
            self._titles[event.step_id] = event.title
        if event.agent_name and event.content:
            spoken = event.status == "in_progress" and event.message_type
            self._row(event, event.agent_name, SAYS[spoken] if spoken else mark, event.content, event.progress)
        elif event.step_id is not None:
            self._row(event, "step", mark, joined(self._title(event.step_id), event.content), event.progress)
        else:
            said = joined(event.title, event.content)
            self._row(event, "plan", mark, f"{words(event.status)}{': ' if said else ''}{said}", event.progress)

    def _step(self, event: StepUpdate) -> None:
        if event.title:
            self._titles[event.step_id] = event.title
        said = joined(self._title(event.step_id), event.content)
        self._row(event, event.agent_name or "step", STANDS[event.status], f"{said}{self._how(event)}", event.progress)

    def _title(self, step_id: str) -> str:
        return self._titles.get(step_id, step_id)

    def _how(self, event: StepUpdate) -> str:
        """Which attempt it is, and how long it took: what a person asks of a step."""
        if event.status in ("completed", "error", "cancelled", "skipped"):
            began = self._began.pop(event.step_id, None)
            return f" ({seconds(began, event.timestamp)})" if began else ""
        if event.status != "pending":
            self._began.setdefault(event.step_id, event.timestamp)
        if event.attempt and event.attempt > 1:
            return f" (attempt {event.attempt}{f' of {event.max_attempts}' if event.max_attempts else ''})"
        return "" if event.status == "in_progress" else f" ({words(event.status)})"

    def _tool(self, event: ToolCall) -> None:
        said = f"{event.tool_name} {brief(event.arguments)}"
        if event.phase != "started":
            said = f"{event.tool_name} → {brief(event.result) or words(event.phase)}"
        self._row(event, event.agent_name, TOOLS[event.phase], said)

    def _asked(self, event: InputRequest) -> None:
        options = " | ".join(brief(option) for option in event.options or ())
        said = f"{words(event.kind)} needed: {event.prompt}{f'  [{options}]' if options else ''}"
        self._row(event, event.agent_name or "plan", ("?", "ask"), said)

    def _message(self, event: AgentMessage) -> None:
        message_id = event.message_id
        if message_id is None or not (event.append or event.final is False):
            if message_id is not None:
                self._streams.pop(message_id, None)
            self._row(event, event.agent_name, SAYS[event.message_type], event.content)
        else:
            self._part(message_id, event)
        if event.error:
            self._row(event, event.agent_name, STANDS["error"], event.error)

    def _part(self, message_id: str, event: AgentMessage) -> None:
        stream = self._streams.setdefault(message_id, Stream(event))
        stream.take(event.content)
        if self._look.live and self._growing in (None, message_id):
            self._grow(message_id, stream)
        elif stream.too_long:
            self._whole(stream)
        if event.final or event.error:
            self._close(message_id)

    def _grow(self, message_id: str, stream: Stream) -> None:
        if self._flow is None:
            first = stream.first
            self._growing = message_id
            self._flow = self._begin(first, first.agent_name, SAYS[first.message_type])
            if stream.begun:
                self._flow.feed(self._look.plain("… "))
        self._flow.feed(self._look.plain(clean(stream.give())))

    def _whole(self, stream: Stream) -> None:
        begun = stream.begun
        text = stream.give()
        if text:
            first = stream.first
            self._row(first, first.agent_name, SAYS[first.message_type], f"… {text}" if begun else text)

    def _close(self, message_id: str) -> None:
        stream = self._streams.pop(message_id)
        if self._growing != message_id:
            self._whole(stream)
            return
        self._stand()
        waiting = next(((other, held) for other, held in self._streams.items() if held.holds), None)
        if waiting:
            self._grow(*waiting)

    def _row(self, event: PlanEvent, who: str, mark: tuple[str, str], said: str, progress: float | None = None) -> None:
        self._stand()
        self._flow = self._begin(event, who, mark)
        self._flow.feed(self._look.plain(clean(said)))
        if progress is not None:
            self._flow.feed(f"  {self._look.bar(progress)}")
        self._stand()

    def _begin(self, event: PlanEvent, who: str, mark: tuple[str, str]) -> Flow:
        """The start of a line: when, who and a mark. What is fed to the flow follows."""
        look = self._look
        sign, style = mark
        who = clean(who).replace("\n", " ")
        colour = look.agent(who) if getattr(event, "agent_name", None) else look.style("dim")
        padding = " " * max(0, WHO - cells(who))
        self._out.write(f"{look.paint(clock(event.timestamp), 'dim')} {colour}{who}{look.off}{padding} ")
        self._out.write(f"{look.style(style)}{look.plain(sign)} ")
        return Flow(self._out.write, INDENT + max(0, cells(who) - WHO), INDENT, look.width)

    def _stand(self) -> None:
        """End the line that is being written, if any."""
        if self._flow is not None:
            self._flow.end()
            self._out.write(f"{self._look.off}\n")
        self._flow = self._growing = None
