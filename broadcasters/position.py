"""A position in a plan's log, and whether the log still continues it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Continuity", "Lineage", "Position"]

Continuity = Literal["ok", "epoch", "forked", "ahead", "trimmed"]
"""Whether a reader at a position can go on with the next event (`ok`), or why not."""


class Position(NamedTuple):
    """The position after `offset` events of a plan, the last of which was appended in `epoch`.

    `Position("", 0)` is the position before the first event of any plan, whether the plan exists or not.
    """

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The epochs of a plan's log: the current one, and those before it as `(epoch, last offset)`, oldest first.

    An epoch ends when the log's server is replaced or restarted: the events that survived keep their offsets, and the
    new epoch counts on from there. As with Kafka's leader epochs, a reader that received no more than survived
    continues.
    """

    epoch: str = ""
    ended: tuple[tuple[str, int], ...] = ()

    def continuity(self, position: Position, head: int, floor: int) -> Continuity:
        """Whether a reader at `position` can go on with the next event, in a log that has those in (floor, head]."""
        if position.offset == 0:
            return "trimmed" if floor > 0 else "ok"
        if position.epoch == self.epoch:
            if position.offset > head:
                return "ahead"
        else:
            end = next((end for epoch, end in self.ended if epoch == position.epoch), None)
            if end is None:
                return "epoch"
            if position.offset > end:
                return "forked"
        return "trimmed" if position.offset < floor else "ok"

    def contains(self, epoch: str) -> bool:
        return epoch == self.epoch or any(epoch == old for old, _ in self.ended)
