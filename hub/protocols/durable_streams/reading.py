"""Reads a plan's log in chunks of frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broadcasters.event_bytes import is_type
from broadcasters.events import PLAN_ENDED
from broadcasters.log.contract import Head, Page
from broadcasters.position import Position
from hub.api.problems import Problem
from hub.node import Hub
from hub.protocols.durable_streams.offsets import BEGIN, offset_text, position_at
from hub.transports.polling import PollResult, wait_for_events
from hub.transports.sse import EndedPlans
from hub.wire.codes import ErrorCode
from hub.wire.frames import event_frame, event_prefix, position_of, snapshot_frame

__all__ = ["Chunk", "LogReader"]

CHUNK_EVENTS: Final = 500
CHUNK_BYTES: Final = 1024 * 1024
TRIES: Final = 8
LOOK_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames that follow a position, and the position after them."""

    frames: Sequence[bytes]
    position: Position
    at_head: bool
    closed: bool = False
    """The plan has ended here."""

    @property
    def next_offset(self) -> str:
        return offset_text(self.position)

    @property
    def items(self) -> bytes:
        """The frames as a JSON array."""
        return b"[%b]" % b",".join(self.frames)


class LogReader:
    """Reads the log of one plan, which the caller may read."""

    def __init__(self, hub: Hub, ended: EndedPlans, plan_id: str) -> None:
        self._hub = hub
        self._ended = ended
        self._plan_id = plan_id

    async def tail(self) -> Chunk:
        """The end of the log, without frames. Raises `Problem` if there is no such plan."""
        head = await self._hub.log.head(self._plan_id)
        self._require(head)
        return await self._chunk((), position_at(head.lineage, head.offset), head)

    async def after(self, position: Position, *, was_open: bool = False) -> Chunk:
        """What follows the position, possibly nothing. Raises `Problem` if the log does not continue it.

        `was_open`: the plan had not ended at the position."""
        page = await self._hub.log.read(self._plan_id, position.offset, CHUNK_EVENTS, CHUNK_BYTES)
        self._require(page.head)
        reason = page.head.continuity(position)
        if reason != "ok":
            detail = f"the log does not continue this offset ({reason}); begin again with offset=-1"
            raise Problem(ErrorCode.CONTINUITY_LOST, detail, reason=reason)
        return await self._page(page, (), was_open)

    async def beginning(self) -> Chunk:
        """The first events; if they were trimmed, a snapshot in their place."""
        for _ in range(TRIES):
            page = await self._hub.log.read(self._plan_id, 0, CHUNK_EVENTS, CHUNK_BYTES)
            self._require(page.head)
            if page.head.continuity(BEGIN) == "ok":
                return await self._page(page, ())
            if (chunk := await self._from_checkpoint()) is not None:
                return chunk
        raise Problem(ErrorCode.UNAVAILABLE, "the plan's log changes too fast to be read; try again")

    async def wait(self, position: Position, seconds: float) -> Chunk | None:
        """What follows the position at the head as soon as something does; None: nothing did, or the hub is leaving."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0 and not self._hub.leaving.is_set():
            result = await wait_for_events(self._hub.registry, self._plan_id, position, left, self._hub.leaving)
            if result is None:
                break
            if result == "deleted":
                raise Problem(ErrorCode.PLAN_DELETED, "the plan was deleted")
            chunk = _live(result, position) or await self.after(position, was_open=True)
            if chunk.frames or chunk.closed:
                return chunk
            await asyncio.sleep(LOOK_AGAIN_S)
        return None

    def _require(self, head: Head) -> None:
        if head.offset == 0:
            raise Problem("no_such_plan", "there is no such plan; its first event creates it", status=404)

    async def _from_checkpoint(self) -> Chunk | None:
        """The newest checkpoint and what follows it; None if the log was trimmed meanwhile."""
        kept = await self._hub.log.checkpoint(self._plan_id)
        if kept is None:
            return None
        page = await self._hub.log.read(self._plan_id, kept.position.offset, CHUNK_EVENTS, CHUNK_BYTES)
        if page.head.continuity(kept.position) != "ok":
            return None
        position = position_at(page.head.lineage, kept.position.offset)
        return await self._page(page, [snapshot_frame(self._plan_id, position, kept.snapshot)])

    async def _page(self, page: Page, before: Sequence[bytes], was_open: bool = False) -> Chunk:
        lineage = page.head.lineage
        frames = [*before]
        for offset, payload in enumerate(page.payloads, page.first):
            prefix = event_prefix(self._plan_id, position_at(lineage, offset).epoch)
            frames.append(event_frame(prefix, offset, payload))
        position = position_at(lineage, page.first + len(page.payloads) - 1)
        return await self._chunk(frames, position, page.head, was_open)

    async def _chunk(self, frames: Sequence[bytes], position: Position, head: Head, was_open: bool = False) -> Chunk:
        at_head = position.offset >= head.offset
        ends = _ends(frames, was_open) if at_head else False
        closed = await self._ended.ended(self._plan_id, head.offset) if ends is None else ends
        return Chunk(frames, position, at_head, closed)


def _live(result: PollResult, position: Position) -> Chunk | None:
    """The events that a wait received, if they are as the log has them: all of the position's own epoch."""
    if result is None or isinstance(result, str):
        return None
    _, at, offset = position_of(result[-1])
    if at.decode().partition(":")[0] != position.epoch:
        return None
    return Chunk(result, Position(position.epoch, offset), at_head=True, closed=bool(_ends(result, was_open=True)))


def _ends(frames: Sequence[bytes], was_open: bool) -> bool | None:
    """Whether the plan has ended after these frames; None if they don't show it. Saves folding the plan for each of them."""
    for frame in reversed(frames):
        if is_type(frame, "plan_update") and (data := json.loads(frame)["data"]).get("step_id") is None:
            return data["status"] in PLAN_ENDED
    return False if was_open else None
