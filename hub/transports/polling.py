"""Long polls: a subscriber for as long as one answer takes.

A poll only waits; what it answers with is either the burst that woke it, when that follows right behind its place, or
read from the log once more by whoever asked. So nothing depends on what happened to the channel meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from broadcasters.errors import LogUnavailable
from broadcasters.position import Position
from hub.core.burst import Burst
from hub.core.registry import Registry

__all__ = ["Word", "wait_for_word"]

Word = Sequence[bytes] | Literal["look", "deleted"] | None
"""Frames that follow the place; or that the log is to be looked at; or that the plan is gone; or nothing came."""


async def wait_for_word(
    registry: Registry, plan_id: str, place: Position, seconds: float, leaving: asyncio.Event
) -> Word:
    """The first word of something behind `place`, as soon as there is any; None when none came in time, or `leaving`.

    Whoever calls has let the client read the plan, and counts it. `NoRoom` or `LogUnavailable` when the plan can't be
    followed.
    """
    poll = _Poll(place.offset)
    channel, subscriber = registry.join(poll, plan_id, place)
    gone = asyncio.ensure_future(leaving.wait())
    came = asyncio.ensure_future(poll.came.wait())
    try:
        channel.start(subscriber)
        await asyncio.wait({gone, came}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        channel.leave(subscriber)
        registry.left(channel)
        gone.cancel()
        came.cancel()
    if poll.refusal is not None:
        raise LogUnavailable(poll.refusal)
    return poll.word


class _Poll:
    """A client that wants to be woken."""

    def __init__(self, offset: int) -> None:
        self.full = False
        self.came = asyncio.Event()
        self.word: Word = None
        self.refusal: str | None = None
        self._offset = offset

    def deliver(self, burst: Burst) -> None:
        plain = burst.first == self._offset + 1 and burst.last - self._offset == len(burst.frames)
        self._wake(burst.frames if plain else "look")

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None) -> None:  # noqa: ARG002
        if reason is not None or place.offset != self._offset:
            self._wake("look")

    def snapshot(self, frame: bytes) -> None:  # noqa: ARG002
        self._wake("look")

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:  # noqa: ARG002
        self.refusal = message
        self._wake(None)

    def ended(self, plan_id: str, code: int, reason: str) -> None:  # noqa: ARG002
        self._wake("deleted")

    def _wake(self, word: Word) -> None:
        if not self.came.is_set():
            self.word = word
            self.full = True
            self.came.set()
