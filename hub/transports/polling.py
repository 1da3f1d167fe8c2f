"""Long polls: a subscriber for the duration of one response.

A poll only waits. Its result is the burst that ended the wait, if that burst directly follows the poll's position;
otherwise the caller reads the log. So the result does not depend on what happened in the channel meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from broadcasters.errors import LogUnavailable
from broadcasters.position import Position
from hub.core.burst import Burst
from hub.core.registry import Registry

__all__ = ["PollResult", "wait_for_events"]

PollResult = Sequence[bytes] | Literal["read", "deleted"] | None
"""Frames that follow the position; `read`: the caller must read the log; `deleted`: the plan was; None: no event came."""


async def wait_for_events(
    registry: Registry, plan_id: str, position: Position, seconds: float, leaving: asyncio.Event
) -> PollResult:
    """Waits for events after `position`, at most for these seconds and until `leaving` is set.

    The caller must have checked the right to read the plan, and count the client. Raises `NoRoom` or `LogUnavailable`
    if the plan can't be followed.
    """
    poll = _Poll(position.offset)
    channel, subscriber = registry.join(poll, plan_id, position)
    left = asyncio.ensure_future(leaving.wait())
    done = asyncio.ensure_future(poll.done.wait())
    try:
        channel.start(subscriber)
        await asyncio.wait({left, done}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        channel.leave(subscriber)
        registry.left(channel)
        left.cancel()
        done.cancel()
    if poll.refusal is not None:
        raise LogUnavailable(poll.refusal)
    return poll.result


class _Poll:
    """A client that takes one burst."""

    def __init__(self, offset: int) -> None:
        self.full = False
        self.done = asyncio.Event()
        self.result: PollResult = None
        self.refusal: str | None = None
        self._offset = offset

    def deliver(self, burst: Burst) -> None:
        follows = burst.first == self._offset + 1 and burst.last - self._offset == len(burst.frames)
        self._finish(burst.frames if follows else "read")

    def placed(self, plan_id: str, position: Position, head: int, reason: str | None) -> None:  # noqa: ARG002
        if reason is not None or position.offset != self._offset:
            self._finish("read")

    def snapshot(self, frame: bytes) -> None:  # noqa: ARG002
        self._finish("read")

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:  # noqa: ARG002
        self.refusal = message
        self._finish(None)

    def ended(self, plan_id: str, code: int, reason: str) -> None:  # noqa: ARG002
        self._finish("deleted")

    def _finish(self, result: PollResult) -> None:
        if not self.done.is_set():
            self.result = result
            self.full = True
            self.done.set()
