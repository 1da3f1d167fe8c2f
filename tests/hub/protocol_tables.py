"""The tables of docs/PROTOCOL.md, generated from the code. `python -m tests.hub.protocol_tables` writes them into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from broadcasters.events import EVENTS, PlanEvent
from broadcasters.usage import Usage
from hub.config.limits import SessionLimits
from hub.core.session_states import ALLOWED, PHASES, PLANS, Phase, PlanState, Reaction, Transition, Trigger
from hub.wire.codes import CLOSE_CODES, ERROR_CODES, SUBSCRIPTION_CODES, Code, reconnectable
from hub.wire.schemas import frame_schemas

__all__ = ["DOCUMENT", "TABLES", "with_tables"]

DOCUMENT: Final = Path(__file__).parents[2] / "docs/PROTOCOL.md"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]).replace("|  |", "| |")


def codes(some: Mapping[Any, Code], *, again: Callable[[int], bool] | None = None) -> str:
    rows = []
    for code, about in some.items():
        name = f"`{code.value}`" if again is None else f"{code.value} {code.name.lower().replace('_', ' ')}"
        rows.append([name, about.meaning, about.fault, about.todo])
        if again is not None:
            rows[-1].append("yes" if again(code) else "no")
    head = ["code", "meaning", "who can fix it", "what the client does"]
    return table(head + (["again"] if again else []), rows)


def plan_states() -> str:
    rows = []
    for trigger in Trigger:
        moves = [PLANS[state, trigger] for state in PlanState]
        cells = [
            f"{state}" if reaction is Reaction.NOTHING else f"**{state}**: {reaction}" for state, reaction in moves
        ]
        rows.append([f"`{trigger}`" if "_" in trigger else trigger.value, *cells])
    return table(["", *PlanState], rows)


def phases() -> str:
    living = [phase for phase in Phase if phase is not Phase.CLOSED]
    rows = [
        [transition.value, *(f"**{PHASES[at, transition]}**" if (at, transition) in PHASES else "" for at in living)]
        for transition in Transition
    ]
    said = [", ".join(sorted(ALLOWED[at])) if len(ALLOWED[at]) < 6 else "anything" for at in living]
    return table(["", *living], [*rows, ["the client may send", *said]])


LIMITS: Final = {
    "frame_bytes": "bytes of a frame (C-LIM-1)",
    "frame_fragments": "fragments of a frame (C-LIM-1)",
    "subscriptions": "subscriptions per connection (C-LIM-2)",
    "pending_requests": "unanswered inputs and signals (C-LIM-3)",
    "frames_per_second": "frames per second, sustained (C-LIM-4)",
    "frames_burst": "burst of frames (C-LIM-4)",
    "bytes_per_second": "bytes per second, sustained (C-LIM-4)",
    "bytes_burst": "burst of bytes (C-LIM-4)",
    "unauthenticated_seconds": "seconds to present a valid token (C-AUT-7)",
    "unauthenticated_bytes": "bytes before a token is accepted (C-LIM-5)",
    "idle_seconds": "seconds without subscription and frame (C-LIM-6)",
    "bad_frames": "consecutive invalid frames (C-BAD-6)",
}


def limits() -> str:
    said = SessionLimits()
    return table(["limit", ""], [[LIMITS[at.name], number(getattr(said, at.name))] for at in fields(said)])


def number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def events() -> str:
    own = [_part(name, f"event.{name}", cls) for name, cls in EVENTS.items()]
    return "\n\n".join([*own, _part("usage", "event.agent_message", Usage)])


def _part(name: str, frame: str, cls: type[PlanEvent | Usage]) -> str:
    properties = frame_schemas()[frame]["$defs"][cls.__name__]["properties"]
    rows = [_field(field.alias or at, field, properties[field.alias or at]) for at, field in cls.model_fields.items()]
    about = str(cls.__doc__).partition("\n")[0]
    return f"### `{name}`\n\n{about}\n\n{table(['field', '', 'default'], rows)}"


def _field(name: str, field: FieldInfo, schema: dict[str, Any]) -> list[str]:
    default = "required" if field.default is PydanticUndefined and field.default_factory is None else ""
    if field.default_factory is not None:
        default = "now"
    elif field.default not in (None, PydanticUndefined):
        default = f"`{field.default}`"
    return [f"`{name}`", _kind(schema), default]


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return f"object, as in `{schema['$ref'].removeprefix('#/$defs/').lower()}`"
    kind: str = schema.get("type", "anything")
    if kind == "array":
        return f"array of {_kind(schema['items'])}, at most {schema['maxItems']}"
    lows = [number(schema[key]) for key in ("minimum", "minLength") if key in schema]
    highs = [number(schema[key]) for key in ("maximum", "maxLength") if key in schema]
    unit = " characters" if kind == "string" else ""
    if highs:
        return f"{kind}, {lows[0]} to {highs[0]}{unit}" if lows else f"{kind}, up to {highs[0]}{unit}"
    return kind


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "events": events,
    "limits": limits,
    "close-codes": lambda: codes(CLOSE_CODES, again=reconnectable),
    "subscription-codes": lambda: codes(SUBSCRIPTION_CODES, again=lambda code: code >= 2500),
    "error-codes": lambda: codes(ERROR_CODES),
    "plan-states": plan_states,
    "phases": phases,
}


def with_tables(text: str) -> str:
    """The document with its tables up to date."""
    for name, made in TABLES.items():
        mark = f"<!-- table: {name} -->"
        before, found, rest = text.partition(mark)
        _, ended, after = rest.partition("<!-- end -->")
        assert found, f"docs/PROTOCOL.md has no marker for the table {name}"
        text = f"{before}{mark}\n{made()}\n{ended}{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
