"""Puts the parts of streamed messages together, in two ways.

`merge` joins neighbouring parts into one payload that stands for all of their offsets, so that a client that is far
behind has less to read. `Composer` serves front ends that show every `agent_message` as a message of its own: it
withholds the parts of a message until one of them is `final` or has an `error`, or until the plan ends, and then gives
one message with all of the text. A message that grows too long for that is sent in several pieces.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from broadcasters.event_bytes import is_type, may_append, may_name_message
from broadcasters.events import PLAN_ENDED
from hub.config.limits import WITHHELD_BYTES
from hub.core.burst import Burst

__all__ = ["Composed", "Composer", "Merged", "Ready", "compose", "merge"]

Event = dict[str, Any]


# -- merging -----------------------------------------------------------------------------------------------------------


class Merged(NamedTuple):
    """A payload that stands for the offsets `first` to `last`."""

    first: int
    last: int
    payload: bytes


def merge(first: int, payloads: Sequence[bytes]) -> list[Merged]:
    """The same events in fewer payloads. A merged part has the timestamp of the first part and the id of the last."""
    merged: list[Merged] = []
    run: list[Event] = []
    for offset, payload in enumerate(payloads, first):
        part = _plain_part(payload)
        if part is not None and run and _same_message(run[0], part):
            run.append(part)
            merged[-1] = Merged(merged[-1].first, offset, merged[-1].payload)
            continue
        _close_run(merged, run)
        run = [] if part is None else [part]
        merged.append(Merged(offset, offset, payload))
    _close_run(merged, run)
    return merged


def _plain_part(payload: bytes) -> Event | None:
    """The event, if it is a part of a streamed message and has nothing but text."""
    if not may_append(payload):
        return None
    try:
        event: Event = json.loads(payload)
        data = event["data"]
        plain = data.get("append") is True and not data.get("final") and not _MORE & data.keys()
        return event if plain and isinstance(data["message_id"], str) and isinstance(data["content"], str) else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None  # the log holds it, so its readers get it unchanged


_MORE: Final = {"error", "data", "usage"}
"""What a part may have besides text."""


def _same_message(one: Event, other: Event) -> bool:
    same = ("message_id", "agent_name", "message_type", "step_id")
    return all(one["data"].get(field) == other["data"].get(field) for field in same)


def _close_run(merged: list[Merged], run: list[Event]) -> None:
    if len(run) < 2:
        return
    content = "".join(part["data"]["content"] for part in run)
    event = run[-1] | {"data": run[0]["data"] | {"content": content}}
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    merged[-1] = Merged(merged[-1].first, merged[-1].last, payload)


# -- composing whole messages ------------------------------------------------------------------------------------------

MESSAGE_BYTES: Final = 128 * 1024
"""A message with more text than this is sent in several pieces."""
WITHHELD_MESSAGES: Final = 64
JOIN_PARTS: Final = 256
"""Parts that are kept before they are joined: a short string takes far more memory than its text."""

_LATEST: Final = ("final", "error", "data", "usage")
"""Fields that a message takes from its latest part; it takes all others from the first."""


class Ready(NamedTuple):
    """Frames to send: those of the events `first` to `offset` unchanged, or the messages that the event at `offset`
    completed. `reach` is the composer's after that event."""

    first: int
    offset: int
    reach: int
    frames: Sequence[bytes]

    def behind(self, offset: int) -> Sequence[bytes]:
        """The frames after `offset`."""
        if offset >= self.offset:
            return ()
        return self.frames[max(0, offset + 1 - self.first) :]


class _Withheld:
    """The parts of one message that were not sent yet."""

    __slots__ = ("_parts", "data", "first", "latest", "size")

    def __init__(self, first: int, event: Event) -> None:
        self.first = first
        self.latest = event
        self.data: dict[str, Any] = dict(event["data"])
        self.size = 0
        self._parts: list[str] = []
        self.add(event)

    def add(self, event: Event) -> None:
        self.latest = event
        self.data |= {name: event["data"][name] for name in _LATEST if name in event["data"]}
        text: str = event["data"]["content"]
        self.size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        self._parts.append(text)
        if len(self._parts) > JOIN_PARTS:
            self._parts = [self.text]

    @property
    def text(self) -> str:
        return "".join(self._parts)


class Composer:
    """Takes a plan's event frames and gives frames with whole messages. It has taken the events up to `at`."""

    def __init__(self, at: int) -> None:
        self.at = at
        self._withheld: dict[str, _Withheld] = {}
        """By message id, in the order in which the messages began."""
        self._size = 0
        self._begun: dict[str, None] = {}
        """Messages of which a piece was sent."""

    @property
    def reach(self) -> int:
        """A new composer that continues from `at` must begin after this offset to have everything that is withheld."""
        return next(iter(self._withheld.values())).first - 1 if self._withheld else self.at

    def take(self, frames: Sequence[bytes]) -> list[Ready]:
        """Take the frames of the next events; returns what can be sent now, in order."""
        if not self._withheld and not any(map(may_append, frames)):
            before, self.at = self.at, self.at + len(frames)
            return [Ready(before + 1, self.at, self.at, frames)] if frames else []
        ready: list[Ready] = []
        for frame in frames:
            self.at += 1
            if sent := self._next(frame):
                ready.append(Ready(self.at, self.at, self.reach, sent))
        return ready

    def _next(self, frame: bytes) -> list[bytes]:
        if may_name_message(frame):
            return self._message(frame)
        if self._withheld and is_type(frame, "plan_update") and (event := _event(frame)) and _ends_plan(event):
            return [*(one for message_id in list(self._withheld) for one in self._close(message_id, event)), frame]
        return [frame]

    def _message(self, frame: bytes) -> list[bytes]:
        event = _event(frame)
        message_id = event and event["data"].get("message_id")
        if not event or not isinstance(message_id, str) or not isinstance(event["data"].get("content"), str):
            return [frame]
        if event["data"].get("append") is True:
            return self._part(message_id, event)
        self._drop(message_id)  # this event replaces the message
        return [frame]

    def _part(self, message_id: str, event: Event) -> list[bytes]:
        sent = self._with_usage(message_id, event)
        message = self._withheld.get(message_id)
        before = message.size if message else 0
        if message is None:
            message = self._withheld[message_id] = _Withheld(self.at, event)
        else:
            message.add(event)
        self._size += message.size - before
        if event["data"].get("final") is True or "error" in event["data"]:
            return [*sent, *self._close(message_id, event)]
        return [*sent, *self._bound(message_id, event)]

    def _with_usage(self, message_id: str, event: Event) -> list[bytes]:
        """What must be sent before this part, since each piece has the usage of one part."""
        message = self._withheld.get(message_id)
        both = message is not None and "usage" in message.data and "usage" in event["data"]
        return self._send(message_id, event) if both else []

    def _bound(self, message_id: str, event: Event) -> list[bytes]:
        """What must be sent now to stay within the bounds of what is withheld."""
        sent = self._send(message_id, event) if self._withheld[message_id].size > MESSAGE_BYTES else []
        while self._size > WITHHELD_BYTES or len(self._withheld) > WITHHELD_MESSAGES:
            sent += self._send(next(iter(self._withheld)), event)
        return sent

    def _close(self, message_id: str, cause: Event) -> list[bytes]:
        sent = self._send(message_id, cause)
        self._begun.pop(message_id, None)
        return sent

    def _send(self, message_id: str, cause: Event) -> list[bytes]:
        """What is withheld of the message, at the position of the event that causes it to be sent."""
        message = self._drop(message_id)
        if message is None or not (message.size or "data" in message.data):
            return []
        data = message.data | {"content": message.text}
        if message_id not in self._begun:
            self._begin(message_id, data)
        event = message.latest | {"epoch": cause["epoch"], "offset": cause["offset"], "data": data}
        return [json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")]

    def _begin(self, message_id: str, data: dict[str, Any]) -> None:
        del data["append"]
        self._begun[message_id] = None
        if len(self._begun) > WITHHELD_MESSAGES:
            del self._begun[next(iter(self._begun))]

    def _drop(self, message_id: str) -> _Withheld | None:
        message = self._withheld.pop(message_id, None)
        if message is not None:
            self._size -= message.size
        return message


class Composed(NamedTuple):
    """Events with whole messages; the burst may have no frames. `composer` had taken the burst when this was made; another
    one that continues from there must begin at `reach`."""

    burst: Burst
    reach: int
    composer: Composer


def compose(events: Burst) -> Composed:
    """These events with whole messages, as far as the burst contains them."""
    composer = Composer(events.first - 1)
    frames = [frame for ready in composer.take(events.frames) for frame in ready.frames]
    return Composed(Burst(frames, events.first, events.last), composer.reach, composer)


def _event(frame: bytes) -> Event | None:
    """None for bytes that are not an event: the log holds them, so they are sent unchanged."""
    try:
        event: Event = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event.get("data"), dict) else None


def _ends_plan(event: Event) -> bool:
    return "step_id" not in event["data"] and event["data"].get("status") in PLAN_ENDED
