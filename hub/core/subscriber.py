"""One client's place in one channel."""

from __future__ import annotations

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
        """The client can't take more just now; `Subscriber.drained` will be called when it can."""

    def deliver(self, burst: Burst) -> None:
        """Hand these events to the client. May make it full, which it then tells each of its subscribers."""

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None) -> None:
        """What follows starts after `place`. A reason says why that is not where the client asked to go on."""

    def snapshot(self, frame: bytes) -> None:
        """The folded plan, encoded; what follows starts after it."""

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:
        """The log could not be reached in time: there is no subscription; the client may try again."""

    def ended(self, plan_id: str, code: int, reason: str) -> None:
        """There is no subscription any more."""


class Standing(Enum):
    """How a subscriber stands to its channel."""

    JOINING = auto()  # not placed yet, or waiting for its snapshot
    BEHIND = auto()  # at an offset of its own, pumped from ring or log
    LIVE = auto()  # at the head: gets every burst
    GONE = auto()


class Subscriber:
    """Moved only by its channel."""

    __slots__ = ("client", "deliver", "fetching", "joining_since", "knows_positions", "offset", "since", "standing")

    def __init__(self, client: Client, since: Since | None, now: float) -> None:
        self.client = client
        self.deliver = client.deliver
        self.since: Since = since or "now"
        self.knows_positions = since is not None
        """Who asks for a place understands snapshots and merged frames; older front ends get every single event."""
        self.standing = Standing.JOINING
        self.offset = 0
        """The last offset handed out; kept while behind (a live subscriber stands at the channel's head)."""
        self.fetching = False
        self.joining_since = now
