"""The byte layout of an encoded event, written here and read here without parsing the JSON.

An event is one line of compact JSON, its members always in this order:

    {"type":"…","id":"…","trace":"…","data":{"plan_id":"…","timestamp":"…",…}}

`trace` is optional. Frames of the hub (`hub.wire.frames`) keep this order and add members between `type` and `id`, so
all functions but `envelope_of` read frames as well. The members named above hold no escapes, and they come before
anything an agent can write, so the first match in the bytes is the event's own.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Final, NamedTuple

__all__ = [
    "Envelope",
    "encoded_event",
    "envelope_of",
    "is_type",
    "may_append",
    "may_name_message",
    "sent_at",
    "trace_of",
]

_HEAD_BYTES: Final = 1024
"""The members before an agent's content fit in this many bytes."""
_TIMESTAMP: Final = b'"timestamp":"'
_trace: Final = re.compile(rb'"trace":"(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})","data":')
_envelope: Final = re.compile(
    rb'\{"type":"([a-z_]{1,64})","id":"([!#-\[\]-~]{1,256})",(?:"trace":"([0-9a-f-]{1,128})",)?"data":\{'
)
_control: Final = re.compile(rb"[\x00-\x1f]")
"""Compact JSON has none of these unescaped; a line break would cut a frame in two."""


def encoded_event(kind: str, event_id: str, data: bytes, trace: str | None = None) -> bytes:
    """The event of this type and id; `data` is a JSON object, `trace` a `traceparent` (see `broadcasters.tracing`)."""
    if trace is not None:
        event_id = f'{event_id}","trace":"{trace}'
    return b'{"type":"%b","id":"%b","data":%b}' % (kind.encode(), event_id.encode(), data)


class Envelope(NamedTuple):
    """An event without its data."""

    type: str
    id: str
    trace: str | None


def envelope_of(payload: bytes) -> Envelope | None:
    """The envelope of these bytes; None when they don't have an event's layout. The data is not looked into."""
    found = _envelope.match(payload)
    if found is None or not payload.endswith(b"}") or _control.search(payload):
        return None
    return Envelope(found[1].decode(), found[2].decode(), found[3].decode() if found[3] else None)


def is_type(encoded: bytes, kind: str) -> bool:
    """Whether this is an event of that type."""
    return encoded.startswith(_type_prefix(kind))


@cache  # the arguments are the types of `broadcasters.events`
def _type_prefix(kind: str) -> bytes:
    return b'{"type":"%b"' % kind.encode()


def may_append(encoded: bytes) -> bool:
    """Whether the event can be a part of a streamed message. Only parsing it tells for certain; False is certain."""
    return b'"append":true' in encoded and encoded.startswith(_MESSAGE)


def may_name_message(encoded: bytes) -> bool:
    """Whether the event can be an agent message with a `message_id`. False is certain."""
    return encoded.startswith(_MESSAGE) and b'"message_id":' in encoded


_MESSAGE: Final = _type_prefix("agent_message")


def sent_at(encoded: bytes) -> float | None:
    """The event's timestamp as Unix time; None when it has none. Takes about a microsecond."""
    at = encoded.find(_TIMESTAMP, 0, _HEAD_BYTES)
    if at < 0:
        return None
    start = at + len(_TIMESTAMP)
    try:
        return datetime.fromisoformat(encoded[start : encoded.index(b'"', start, start + 40)].decode()).timestamp()
    except ValueError:
        return None


def trace_of(encoded: bytes) -> str | None:
    """The event's `traceparent`; None when it has none."""
    found = _trace.search(encoded, 0, _HEAD_BYTES)
    return None if found is None else found[1].decode()
