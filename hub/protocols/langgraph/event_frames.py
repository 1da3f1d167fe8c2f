"""Frames of LangGraph's newer protocol: events with a sequence number and an id, as server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from hub.protocols.langgraph.state import encoded

__all__ = ["EventFrames", "ThreadPosition", "error_frame", "seq_of", "thread_position_of"]

_SLOTS: Final = 512
"""Sequence numbers of one offset. They have 53 bits, so 31 are left for the offset and 13 for the plan's number."""
_OFFSETS: Final = 1 << 31
_VALUES: Final = 384
"""The slot of `values`; what an event of the log changed is before it, and the plan's state after it."""
_CROWDED: Final = frozenset({_VALUES - 1, _SLOTS - 1})
"""Slots that several frames may share. A client that has one of those receives all of them again, and knows their ids."""


class ThreadPosition(NamedTuple):
    """A position in a thread: the number of a plan, and an offset in it."""

    number: int
    offset: int


def seq_of(position: ThreadPosition, slot: int = _SLOTS - 1) -> int:
    """The sequence number of a frame; without a slot, of the last one of the offset."""
    return (position.number * _OFFSETS + position.offset) * _SLOTS + slot


def thread_position_of(seq: int) -> ThreadPosition:
    """The position of the frame with this sequence number."""
    return ThreadPosition(*divmod(seq // _SLOTS, _OFFSETS))


def error_frame(code: str, message: str) -> bytes:
    """The last frame of a stream that ends because of an error."""
    return b"event: error\ndata: %b\n\n" % encoded({"type": "error", "id": None, "error": code, "message": message})


@dataclass(slots=True)
class EventFrames:
    """Collects the frames of one plan that a client has requested and does not have."""

    number: int
    """Of the plan in its thread."""
    channels: frozenset[str]
    since: int
    """The client has the frames up to this sequence number."""
    _frames: list[bytes] = field(default_factory=list[bytes])
    _slots: dict[int, int] = field(default_factory=dict[int, int])
    _reports: int = _VALUES

    def joined(self) -> bytes:
        return b"".join(self._frames)

    def change(
        self,
        method: str,
        data: bytes | Mapping[str, Any],
        event_id: str,
        offset: int,
        moment: str | None,
        node: str | None = None,
    ) -> None:
        """Add the next of what the event at an offset changed. (Frames that are not written have a slot, too.)"""
        slot = self._slots[offset] = self._slots.get(offset, -1) + 1
        self._add(method, data, event_id, (offset, min(slot, _VALUES - 1)), moment, node)

    def values(self, data: bytes, offset: int, moment: str | None) -> None:
        """Add the values. They have no id: the last ones that a client receives are right, on any stream."""
        self._add("values", data, None, (offset, _VALUES), moment)

    def report(self, method: str, data: Mapping[str, Any], event_id: str, offset: int, moment: str | None) -> None:
        """Add the next of what is reported of the plan's state."""
        self._reports = min(self._reports + 1, _SLOTS - 1)
        self._add(method, data, event_id, (offset, self._reports), moment)

    def _add(
        self,
        method: str,
        data: bytes | Mapping[str, Any],
        event_id: str | None,
        at: tuple[int, int],
        moment: str | None,
        node: str | None = None,
    ) -> None:
        offset, slot = at
        seq = seq_of(ThreadPosition(self.number, offset), slot)
        known = seq < self.since or (seq == self.since and slot not in _CROWDED)
        if known or method.partition(".")[0] not in self.channels:
            return
        about: dict[str, Any] = {"type": "event", "method": method, "seq": seq}
        params: dict[str, Any] = {"namespace": [], "timestamp": _milliseconds(moment)}
        about |= {"event_id": event_id} if event_id else {}
        params |= {"node": node} if node else {}
        self._frames.append(
            b'event: %b\ndata: %b,"params":%b,"data":%b}}\n\n'
            % (
                method.encode(),
                encoded(about)[:-1],
                encoded(params)[:-1],
                data if isinstance(data, bytes) else encoded(data),
            )
        )


@lru_cache(maxsize=64)
def _milliseconds(moment: str | None) -> int:
    return 0 if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000)
