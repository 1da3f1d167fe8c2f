"""One client's place in one channel."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Literal, Protocol

from broadcasters.position import Position
from hub.core.burst import Burst

__all__ = ["Client", "Since", "Standing", "Subscriber"]

Since = Literal["now", "start", "snapshot"] | Position
"""Where a subscription starts: at the head, at the beginning, at the folded plan, or after a place."""


class Client(Protocol):
    """What a channel needs of a client. None of these blocks or raises."""

    @property
    def full(self) -> bool:
        """The client can't take more just now; `Channel.pump` will be called when it can."""
        ...

    def deliver(self, burst: Burst) -> None:
        """Hand these events to the client. May make it full, which it then tells each of its subscribers."""

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None) -> None:
        """What follows starts after `place`. A reason says why that is not where the client asked to go on."""

    def snapshot(self, frame: bytes) -> None:
        """The folded plan, encoded; what follows starts after it."""

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:
        """It can't be served just now: there is no subscription (any more); the client may try again."""

    def ended(self, plan_id: str, code: int, reason: str) -> None:
        """There is no subscription any more."""


class Standing(Enum):
    """How a subscriber stands to its channel."""

    JOINING = auto()  # not placed yet, or waiting for the log's answer to be placed anew
    BEHIND = auto()  # at an offset of its own, pumped from ring or log
    LIVE = auto()  # at the head: gets every burst
    GONE = auto()


class Subscriber:
    """Moved only by its channel."""

    __slots__ = (
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
        """A client that asks for a place understands snapshots, merged frames and parts of messages. An older front end
        gets every event, but streamed messages whole."""
        self.standing = Standing.JOINING
        self.offset = 0
        """The last offset handed out; kept while behind (a live subscriber stands at the channel's head)."""
        self.reach = 0
        """For whole messages: all that is withheld at `offset` came after this one (kept while behind)."""
        self.needs_snapshot = False
        """It can't go on from its offset: as soon as its client takes one, it gets a snapshot."""
        self.reason: str | None = None
        """Why it needs that snapshot, if it did not ask for it."""
        self.work: asyncio.Task[None] | None = None
        """What is being read for it; void when it is moved or leaves meanwhile."""
        self.joining_since = now

    def void_work(self) -> None:
        """What is being read for it is for a place where it no longer stands."""
        if self.work is not None:
            self.work.cancel()
            self.work = None
