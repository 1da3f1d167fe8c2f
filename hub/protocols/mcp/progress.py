"""What happens in a plan, as progress: lines of JSON with an offset and a text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from broadcasters.changes import (
    ArtifactChange,
    Change,
    InputChange,
    MessageChange,
    PlanChange,
    PlanFields,
    StepChange,
    ToolCallChange,
)
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, StepState
from hub.protocols.segments import Advance, Encoded, Ending

__all__ = ["ProgressLines", "described", "progress_in"]

LONGEST = 200
"""Characters of a text; the snapshot has the rest."""


@dataclass(frozen=True)
class ProgressLines:
    """Encodes each event that has something to show as a line `[offset, text]`, and the end as `[kind, code, message]`."""

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        return _line(position.offset, _of_plan(PlanFields.of(plan)))

    def encode(self, advance: Advance) -> Iterator[Encoded]:
        shown: Encoded | None = None
        text = ""
        for changes in advance.changes:
            now = next((text for change in reversed(changes.changes) if (text := described(change))), "")
            if not now:
                continue
            if shown is not None and now != text:
                yield shown
            text, shown = now, Encoded(changes.last, _line(changes.last, now))
        if shown is not None:
            yield shown

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes:  # noqa: ARG002
        return self.opening(after, position)

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes:  # noqa: ARG002
        return _line(ending.kind, ending.code, ending.message)


def progress_in(encoded: bytes) -> Iterator[list[Any]]:
    """The lines in what a stream yields."""
    return (json.loads(line) for line in encoded.splitlines() if line.startswith(b"["))


def described(change: Change) -> str:
    """A change in a few words; empty if there is nothing to show."""
    match change:
        case PlanChange(before=before, after=plan):
            return "" if before._replace(usage=plan.usage) == plan else _of_plan(plan)
        case StepChange(before=known, after=step):
            same = known is not None and known.model_copy(update={"usage": step.usage}) == step
            return "" if same else _of_step(step)
        case MessageChange(after=message) if message.streaming:
            return f"{message.agent_name} is writing"
        case MessageChange(before=None, after=message):
            return f"{message.agent_name}: {_short(message.content)}"
        case MessageChange(after=message):  # whose content may lack the last of the text
            return f"{message.agent_name} has written"
        case ToolCallChange(after=call):
            return f"{call.agent_name}: {call.tool_name} {'called' if call.phase == 'started' else call.phase}"
        case InputChange(after=question) if question.answered_at is not None:
            return f"Answered by {question.by or 'a person'}: {_short(question.prompt)}"
        case InputChange(after=question):
            return f"Question: {_short(question.prompt)}"
        case ArtifactChange(after=artifact):
            return f"Made: {_short(artifact.name)}"


def _of_plan(plan: PlanFields) -> str:
    text = _short(": ".join(filter(None, (plan.title, plan.content or plan.status.replace("_", " ")))))
    return text + _percent(plan.progress if plan.status == "in_progress" else None)


def _of_step(step: StepState) -> str:
    text = _short(f"{step.title or step.step_id}: {step.content or step.status.replace('_', ' ')}")
    return text + _percent(step.progress if step.status == "in_progress" else None)


def _percent(progress: float | None) -> str:
    return "" if progress is None else f" ({progress:.0f} %)"


def _short(text: str) -> str:
    text = " ".join(text[: LONGEST * 2].split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _line(*fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode(errors="replace") + b"\n"
