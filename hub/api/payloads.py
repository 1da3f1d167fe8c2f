"""Events that come as they are to be stored: are they what an event must be, for everybody who will read them?

Frames are cut from these bytes without looking inside, and sent to every client of the plan. So what stands around an
event's data must be exactly what `PlanEvent.payload` writes: nobody may smuggle another offset, another plan's id or a
frame of the hub's own into somebody's stream.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, cast

from pydantic_core import from_json, to_json

from broadcasters.errors import InvalidEvent
from broadcasters.events import EVENTS, MAX_EVENT_BYTES, PlanEvent, build
from hub.core.principal import refuse_reserved

__all__ = ["event_of"]

_head: Final = re.compile(
    rb'\{"type":"([a-z_]{1,64})","id":"([!#-\[\]-~]{1,256})",(?:"trace":"([0-9a-f-]{1,128})",)?"data":\{'
)
_control: Final = re.compile(rb"[\x00-\x1f]")
"""None of these is left raw in compact JSON; a line break would cut a frame in two."""


def event_of(plan_id: str, payload: bytes) -> PlanEvent:
    """The event of this payload, or an `InvalidEvent` that says what is wrong with it."""
    if len(payload) > MAX_EVENT_BYTES:
        raise InvalidEvent("event", f"{len(payload):,} bytes; at most {MAX_EVENT_BYTES:,} fit")
    head = _head.match(payload)
    if head is None or not payload.endswith(b"}") or _control.search(payload):
        raise InvalidEvent("event", 'compact JSON that begins with {"type":…,"id":…,"data":{ is needed')
    said = _parsed(payload)
    kind, event_id = head[1].decode(), head[2].decode()
    around = {"type": kind, "id": event_id} | ({"trace": head[3].decode()} if head[3] else {})
    data: Any = said.pop("data", None)
    if said != around or not isinstance(data, dict):
        raise InvalidEvent("event", "there is more around its data than type and id")
    cls = EVENTS.get(kind)
    if cls is None:
        raise InvalidEvent("type", f"{kind!r} is none that this hub knows: {', '.join(EVENTS)}")
    fields = cast("dict[str, Any]", data)
    if fields.get("plan_id") != plan_id:
        raise InvalidEvent("plan_id", "the event is of another plan than the one it is sent to")
    event = build(cls, fields)
    refuse_reserved(event)
    return event


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        said: Any = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidEvent("event", f"not JSON: {error}") from None
    if to_json(said) != payload:  # written by another library, or with a key twice, of which the last was read
        json.loads(payload, object_pairs_hook=_each_key_once)
    return cast("dict[str, Any]", said)


def _each_key_once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidEvent(key[:128], "this key stands twice in one object")
        seen.add(key)
