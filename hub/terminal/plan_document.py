"""A plan as a Markdown document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from broadcasters.events import STEP_ENDED
from broadcasters.snapshot import ArtifactState, InputState, MessageState, Snapshot, StepState, ToolCallState
from hub.terminal.text import seconds, words

__all__ = ["markdown"]

Spoken = MessageState | ToolCallState | InputState | ArtifactState
BOXES: Final = {"completed": "x", "skipped": "-", "error": "!", "cancelled": "!"}


def markdown(plan: Snapshot) -> str:
    """The plan's state and steps, then its messages, questions and artifacts, in order."""
    sections = [_head(plan), _steps(plan), _record(plan), _omitted(plan)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(plan: Snapshot) -> str:
    facts = [f"`{plan.plan_id}`", words(plan.status)]
    if plan.owner:
        facts.append(f"of {_inline(plan.owner)}")
    facts += [f"#{_inline(label)}" for label in plan.labels]
    if plan.created_at:
        facts.append(_time(plan.created_at))
    if plan.created_at and plan.ended_at:
        facts.append(f"took {seconds(plan.created_at, plan.ended_at)}")
    facts += _usage(plan)
    parts = [f"# {_inline(plan.title or plan.plan_id)}", " · ".join(facts)]
    if plan.content:
        parts.append(plan.content)
    if plan.result is not None:
        parts.append(f"Result:\n\n{_json(plan.result)}")
    return "\n\n".join(parts)


def _usage(plan: Snapshot) -> Iterator[str]:
    if plan.usage is None:
        return
    tokens = (plan.usage.input_tokens or 0) + (plan.usage.output_tokens or 0)
    if tokens:
        yield f"{tokens:,} tokens"
    yield from (f"{cost:f} {_inline(currency)}" for currency, cost in (plan.usage.costs or {}).items())


def _steps(plan: Snapshot) -> str:
    lines = [_step(step) for step in plan.steps]
    return "\n".join(["## Steps", "", *lines]) if lines else ""


def _step(step: StepState) -> str:
    notes = [words(step.status)] if step.status != "completed" else []
    if step.agent_name:
        notes.append(_inline(step.agent_name))
    if step.attempt > 1:
        notes.append(f"attempt {step.attempt}")
    if step.progress is not None and step.status not in STEP_ENDED:
        notes.append(f"{step.progress:.0f} %")
    if step.started_at and step.ended_at:
        notes.append(seconds(step.started_at, step.ended_at))
    content = f": {_inline(step.content)}" if step.content else ""
    title = _inline(step.title or step.step_id)
    noted = f" ({', '.join(notes)})" if notes else ""
    return f"- [{BOXES.get(step.status, ' ')}] {title}{content}{noted}"


def _record(plan: Snapshot) -> str:
    parts: list[Spoken] = [*plan.messages, *plan.tool_calls, *plan.inputs, *plan.artifacts]
    parts.sort(key=lambda part: part.offset)
    written = ["\n\n".join(_part(part)) for part in parts]
    return "\n\n".join(["## Record", *written]) if written else ""


def _part(part: Spoken) -> Iterator[str]:
    match part:
        case MessageState():
            kind = f", {words(part.message_type)}" if part.message_type != "result" else ""
            yield f"### {_inline(part.agent_name)}{kind} · {_time(part.at)}"
            yield part.content or "(nothing)"
            if part.error:
                yield f"Error: {part.error}"
        case ToolCallState():
            yield f"### {_inline(part.agent_name)} used {_inline(part.tool_name)} · {_time(part.started_at)}"
            yield from _value("Arguments", part.arguments)
            yield from _value("Error" if part.phase == "error" else "Result", part.result)
        case InputState():
            yield f"### {_inline(part.agent_name or 'The plan')} asked · {_time(part.at)}"
            yield part.prompt
            if part.answered_at is not None:
                yield f"{_inline(part.by or 'Someone')} answered, {_time(part.answered_at)}:"
                yield part.answer if isinstance(part.answer, str) else _json(part.answer)
            else:
                yield "Not answered yet."
        case ArtifactState():
            yield f"### {_inline(part.name)} ({part.mime_type}) · {_time(part.at)}"
            if part.url:
                yield f"<{part.url}>"
            yield from _value("", part.data)


def _value(label: str, value: Any) -> Iterator[str]:
    if value is not None:
        yield (f"{label}:\n\n" if label else "") + _json(value)


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{'' if isinstance(value, str) else 'json'}\n{text}\n{fence}"


def _omitted(plan: Snapshot) -> str:
    counts = [f"{number} {words(name)}" for name, number in plan.omitted if number]
    return (
        f"Left out, since the plan is large: {', '.join(counts)}. The export as JSON lines has all events."
        if counts
        else ""
    )


def _inline(text: str) -> str:
    """The text on one line, with Markdown's signs escaped."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def _time(timestamp: str) -> str:
    return f"{datetime.fromisoformat(timestamp):%Y-%m-%d %H:%M:%S} UTC"
