"""A subscriber: one client's position in one channel."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Literal, Protocol

from broadcasters.position import Position
from hub.core.burst import Burst

__all__ = ["Client", "Since", "Standing", "Subscriber"]

Since = Literal["now", "start", "snapshot", "events"] | Position
"""Where a subscription starts: at the head, at the beginning, with a snapshot, or after a position. `events`: at the
beginning, and with every event that the log still has as a frame of its own."""


class Client(Protocol):
    """What a channel calls on a client. None of these blocks or raises."""

    @property
    def full(self) -> bool:
        """Whether the client can't take more now; it calls `Channel.pump` when it can."""
        ...

    def deliver(self, burst: Burst) -> None:
        """Hand these events to the client. If that makes it full, it calls `Channel.filled` for each of its subscribers."""

    def placed(self, plan_id: str, position: Position, head: int, reason: str | None) -> None:
        """The events that follow start after `position`. A reason says why that is not the position the client requested."""

    def snapshot(self, frame: bytes) -> None:
        """Hand over a snapshot's frame; the events that follow start after it."""

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:
        """The client can't be served now and has no subscription; it may retry."""

    def ended(self, plan_id: str, code: int, reason: str) -> None:
        """The subscription was ended."""


class Standing(Enum):
    """State of a subscriber in its channel."""

    JOINING = auto()  # not placed yet, or waiting for the log to be placed again
    BEHIND = auto()  # at its own offset, pumped from ring or log
    LIVE = auto()  # at the head, gets every burst
    GONE = auto()


class Subscriber:
    """One client's position in one channel. Only the channel changes it."""

    __slots__ = (
        "abridges",
        "client",
        "deliver",
        "joining_since",
        "knows_positions",
        "needs_snapshot",
        "offset",
        "reach",
        "reason",
        "since",
        "standing",
        "work",
    )

    def __init__(self, client: Client, since: Since | None, now: float) -> None:
        self.client = client
        self.deliver = client.deliver
        self.since: Since = since or "now"
        self.knows_positions = since is not None
        """A client that requests a position understands snapshots, merged frames and parts of messages. An older front
        end gets every event, but streamed messages whole."""
        self.abridges = self.knows_positions and since != "events"
        """If it is far behind, it gets text merged, or a snapshot."""
        self.standing = Standing.JOINING
        self.offset = 0
        """The last offset handed out. Maintained only while behind; a live subscriber is at the channel's head."""
        self.reach = 0
        """For whole messages: everything withheld at `offset` came after this offset. Maintained only while behind."""
        self.needs_snapshot = False
        """It can't continue from its offset, and gets a snapshot as soon as its client takes one."""
        self.reason: str | None = None
        """Why it needs that snapshot; None if it requested one."""
        self.work: asyncio.Task[None] | None = None
        """The task that reads for it."""
        self.joining_since = now

    def void_work(self) -> None:
        """Cancel the task that reads for it: it has moved or left."""
        if self.work is not None:
            self.work.cancel()
            self.work = None
