"""Events that come as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, BinaryIO, Final

from broadcasters.errors import InvalidEvent
from broadcasters.events import EVENTS, MAX_EVENT_BYTES, PlanEvent, build
from hub.access.principal import refuse_reserved

__all__ = ["read_events"]

CHUNK: Final = 256 * 1024
LONGEST: Final = 2 * MAX_EVENT_BYTES


def read_events(plan_id: str, source: BinaryIO) -> Iterator[list[PlanEvent]]:
    """The events as they come, together those that came together, all of them said of `plan_id`.

    A line that is none raises `InvalidEvent` with its number, once the events before it were taken."""
    number = 0
    for lines in _lines(source):
        events: list[PlanEvent] = []
        try:
            for line in lines:
                number += 1
                if line.strip():
                    events.append(_event(plan_id, line))
        except InvalidEvent as error:
            if events:
                yield events
            raise InvalidEvent(f"line {number}, {error.field}", error.problem) from None
        if events:
            yield events


def _lines(source: BinaryIO) -> Iterator[list[bytes]]:
    """Whole lines, as soon as they are there."""
    rest = b""
    while chunk := source.read1(CHUNK) if isinstance(source, BufferedReader) else source.read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST:
            lines.append(rest)
        yield lines
    if rest:
        yield [rest]


def _event(plan_id: str, line: bytes) -> PlanEvent:
    try:
        said: Any = json.loads(line) if len(line) <= LONGEST else None
        cls = EVENTS[said["type"]]
        fields = {**said["data"], "plan_id": plan_id}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidEvent("event", "not a JSON object of type and data, as plancast tail --json prints them") from None
    event = build(cls, fields)
    refuse_reserved(event)
    return event
