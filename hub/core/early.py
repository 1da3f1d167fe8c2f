"""What the tail tells while it can't be taken: before a channel stands, and while it reads what it missed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Arrival", "Early"]


class Arrival(NamedTuple):
    """The log says that these were appended at `first`, `first + 1` ..."""

    epoch: str
    first: int
    payloads: Sequence[bytes]


class Early:
    """Arrivals to be taken later, in order. Bounded: the oldest go, and show as a hole; the newest always stays."""

    __slots__ = ("_arrivals", "_max_bytes", "size")

    def __init__(self, max_bytes: int) -> None:
        self._arrivals: deque[Arrival] = deque()
        self._max_bytes = max_bytes
        self.size = 0

    def __len__(self) -> int:
        return len(self._arrivals)

    def keep(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        self.size += _size(arrival)
        while self.size > self._max_bytes and len(self._arrivals) > 1:
            self.take()

    def take(self) -> Arrival:
        """The oldest."""
        arrival = self._arrivals.popleft()
        self.size -= _size(arrival)
        return arrival


def _size(arrival: Arrival) -> int:
    return sum(map(len, arrival.payloads))
