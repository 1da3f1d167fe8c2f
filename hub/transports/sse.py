"""Server-sent events: plans watched where WebSockets don't get through. The same connection, with another line.

The `id:` of an event is the place after it: `epoch:offset` for one plan; for several, the places of all of them in the
order in which the address names them, by comma. A browser that lost the line sends it back as Last-Event-ID.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Any, Final

from broadcasters.events import PLAN_ENDED
from hub.core.burst import Burst
from hub.transports.door import Door, Visitor
from hub.transports.line import Line

__all__ = ["HEADERS", "BadCursor", "places_of", "stream"]

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream"}
KEEP_ALIVE_SECONDS: Final = 15.0
RETRY_MS: Final = 2000

Since = str | dict[str, Any]


class BadCursor(ValueError):
    """A cursor that no stream of these plans ever gave."""


def places_of(plan_ids: Sequence[str], cursor: str) -> dict[str, Since]:
    """Where each plan goes on, from a cursor; a plan that had no event yet starts as the stream did."""
    parts = cursor.split(",")
    if len(parts) != len(plan_ids):
        raise BadCursor(f"a cursor of {len(parts)} places, for {len(plan_ids)} plans")
    places: dict[str, Since] = {}
    for plan_id, part in zip(plan_ids, parts, strict=True):
        epoch, colon, offset = part.partition(":")
        if not colon or not offset.isascii() or not offset.isdigit() or len(offset) > 16:
            raise BadCursor(f"{part!r:.60} is not epoch:offset")
        places[plan_id] = {"epoch": epoch, "offset": int(offset)}
    return places


async def stream(
    door: Door, visitor: Visitor, plans: dict[str, Since | None], ended: frozenset[str]
) -> AsyncGenerator[bytes]:
    """The stream of these plans, from where each is to start. `ended`: those that are over and have no more to tell.

    Raises `Refused` at the first step when the visitor can't come in. Closing the generator ends everything."""
    admission = door.admit(visitor)
    if isinstance(admission, Awaitable):
        admission = await admission
    line = Line(door.waters)
    connection = line.connection = door.connect(line, admission, "sse")
    try:
        door.begin(connection)
        for plan_id, since in plans.items():
            connection.receive(json.dumps({"type": "subscribe_plan", "plan_id": plan_id, "since": since}))
        async for chunk in _Story(list(plans), ended).told(line):
            yield chunk
    finally:
        door.leave(connection, admission)


class _Story:
    """What one client was told, so that every event can carry the places of all plans."""

    def __init__(self, plan_ids: Sequence[str], ended: frozenset[str]) -> None:
        self._places = dict.fromkeys(plan_ids, ":0")
        self._running = set(plan_ids) - ended
        self._to_end = list(ended)

    async def told(self, line: Line) -> AsyncGenerator[bytes]:
        yield b"retry: %d\n\n" % RETRY_MS
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    waiting = await line.take()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if not waiting:
                break
            yield b"".join(self._event(frame) for item in waiting for frame in _frames(item))
            for plan_id in self._to_end:
                yield b'event: end\ndata: {"plan_id":"%b"}\n\n' % plan_id.encode()
            self._to_end.clear()
            if not self._running:
                return
        code, reason = line.ending or (1000, "")
        yield b"event: close\ndata: %b\n\n" % json.dumps({"code": code, "reason": reason}).encode()

    def _event(self, frame: bytes) -> bytes:
        said = json.loads(frame)
        plan_id = said.get("plan_id")
        if "epoch" in said and plan_id in self._places and said["type"] != "input_accepted":
            self._places[plan_id] = f"{said['epoch']}:{said['offset']}"
            if _ends(said) and plan_id in self._running:
                self._running.discard(plan_id)
                self._to_end.append(plan_id)
            return b"id: %b\ndata: %b\n\n" % (",".join(self._places.values()).encode(), frame)
        return b"data: %b\n\n" % frame


def _frames(item: Burst | bytes) -> Sequence[bytes]:
    return item.frames if isinstance(item, Burst) else (item,)


def _ends(said: dict[str, Any]) -> bool:
    """Is this the plan's end, or a snapshot of a plan that has ended?"""
    data = said.get("data", {})
    if said["type"] == "snapshot":
        return data.get("ended_at") is not None
    return said["type"] == "plan_update" and "step_id" not in data and data.get("status") in PLAN_ENDED
