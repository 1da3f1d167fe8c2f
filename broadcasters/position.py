"""A place in a plan's log, and what has become of it since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Continuity", "Lineage", "Position"]

Continuity = Literal["ok", "epoch", "forked", "ahead", "trimmed"]
"""What stands between a position and the head: nothing (`ok`), or why the story can't simply go on."""


class Position(NamedTuple):
    """`offset` events of the plan have been seen, the last of them while `epoch` was current.

    `Position("", 0)` is the place before the first event of any plan, begun or not.
    """

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The epochs a plan's log went through, oldest first: `(epoch, offset it ended at)`, and the current one.

    An epoch ends when the log's server was replaced or restarted: what had survived until then stays, under the
    same offsets, and the new epoch counts on from there. As with Kafka's leader epochs, a reader who saw no more
    than survived just continues.
    """

    epoch: str = ""
    ended: tuple[tuple[str, int], ...] = ()

    def continuity(self, place: Position, head: int, floor: int) -> Continuity:
        """May a reader at `place` go on with the event at `place.offset + 1`, in a log that holds (floor, head]?"""
        if place.offset == 0:
            return "trimmed" if floor > 0 else "ok"
        if place.epoch == self.epoch:
            if place.offset > head:
                return "ahead"
        else:
            end = next((end for epoch, end in self.ended if epoch == place.epoch), None)
            if end is None:
                return "epoch"
            if place.offset > end:
                return "forked"
        return "trimmed" if place.offset < floor else "ok"

    def contains(self, epoch: str) -> bool:
        return epoch == self.epoch or any(epoch == old for old, _ in self.ended)
