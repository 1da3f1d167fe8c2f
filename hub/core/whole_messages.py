"""Fan-out to subscribers that know no positions: they get every event, but each streamed message as one whole event."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from hub.config.limits import ChannelLimits
from hub.core.burst import Burst
from hub.core.composer import Composer, Ready
from hub.core.subscriber import Subscriber

__all__ = ["WholeMessages"]

_NOTHING: Final = Burst((), 0, 0)


class WholeMessages:
    """A channel's subscribers that know no positions, and the frames for them. Composes only while there are any."""

    def __init__(self, limits: ChannelLimits) -> None:
        self.members: set[Subscriber] = set()
        self.live: dict[Subscriber, Callable[[Burst], None]] = {}
        self.composer: Composer | None = None
        """Has taken everything that the channel handed out. None: it is unknown which messages are unfinished there."""
        self._limits = limits
        self._ring: list[Ready] = []
        """The newest frames: everything that became ready after the offset `_floor`."""
        self._floor = 0
        self._count = self._size = 0
        self._last: tuple[int, Burst, int] = (-1, _NOTHING, 0)

    def begin(self, composer: Composer) -> None:
        """Continue with this composer, which has taken everything that was handed out."""
        self.composer = composer
        self.forget()

    def begin_at(self, composer: Composer, following: Burst | None) -> None:
        """Continue with this composer if there is none yet and `following` holds the newest events right after it."""
        if self.composer is None and following is not None and composer.at == following.first - 1:
            self.begin(composer)
            self.take(following)

    def forget(self) -> None:
        """Drop the frames that became ready before."""
        self._ring, self._count, self._size = [], 0, 0
        self._floor = self.composer.at if self.composer else 0
        self._last = (-1, _NOTHING, 0)

    def lose(self) -> None:
        """Drop the composer as well: the lineage changed, or there are no members."""
        for subscriber in list(self.live):
            self.stop(subscriber)
        self.composer = None
        self.forget()

    def go_live(self, subscriber: Subscriber, head: int) -> bool:
        """Make the subscriber live if it is at the head and it is known what is withheld there; returns whether it is."""
        if self.composer is None and subscriber.reach == subscriber.offset == head:
            self.begin(Composer(head))  # nothing is withheld
        if self.composer is None or subscriber.offset != head:
            return False
        self.live[subscriber] = subscriber.deliver
        return True

    def leave(self, subscriber: Subscriber) -> None:
        self.live.pop(subscriber, None)
        self.members.discard(subscriber)
        if not self.members and self.composer is not None:
            self.lose()

    def stop(self, subscriber: Subscriber) -> None:
        """Make the subscriber no longer live. Does nothing when it wasn't."""
        if self.live.pop(subscriber, None) is not None and self.composer is not None:
            subscriber.reach = self.composer.reach

    def take(self, burst: Burst) -> Burst | None:
        """Take the next events; returns what the live subscribers get, if anything."""
        if self.composer is None:
            return None
        ready = self.composer.take(burst.frames)
        self._keep(ready)
        if len(ready) == 1 and ready[0].frames is burst.frames:
            return burst
        frames = [frame for one in ready for frame in one.frames]
        return Burst(frames, burst.first, burst.last) if frames else None

    def after(self, offset: int) -> tuple[Burst, int] | None:
        """The frames after `offset`, possibly none, and the reach after them; None when the ring has dropped some."""
        if self.composer is None or offset < self._floor:
            return None
        if self._last[0] != offset:
            self._last = (offset, *self._passage(self.composer, offset))
        return self._last[1:]

    def _passage(self, composer: Composer, after: int) -> tuple[Burst, int]:
        frames, size, at, reach = list[bytes](), 0, after, after
        max_bytes = self._limits.burst_bytes
        for ready in self._ring[bisect_right(self._ring, after, key=lambda ready: ready.offset) :]:
            if size >= max_bytes:
                return Burst(frames, after + 1, at), reach
            following = ready.behind(after)
            fitting = _fitting(following, max_bytes - size) if ready.first < ready.offset else following
            frames += fitting
            size += sum(map(len, fitting))
            if len(fitting) < len(following):  # these are unchanged events, so nothing is withheld
                at = ready.offset - len(following) + len(fitting)
                return Burst(frames, after + 1, at), at
            at, reach = ready.offset, ready.reach
        return Burst(frames, after + 1, composer.at), composer.reach

    def _keep(self, ready: Sequence[Ready]) -> None:
        self._ring += ready
        self._count += sum(len(one.frames) for one in ready)
        self._size += sum(_size(one) for one in ready)
        self._last = (-1, _NOTHING, 0)
        if self._size > self._limits.ring_bytes or self._count > self._limits.ring_events:
            self._shrink()

    def _shrink(self) -> None:
        # Drops a quarter more than necessary, so that a full ring is not cut again for every event.
        drop = 0
        while self._size > self._limits.ring_bytes * 3 // 4 or self._count > self._limits.ring_events * 3 // 4:
            self._size -= _size(self._ring[drop])
            self._count -= len(self._ring[drop].frames)
            drop += 1
        self._floor = self._ring[drop - 1].offset
        del self._ring[:drop]


def _fitting(frames: Sequence[bytes], max_bytes: int) -> Sequence[bytes]:
    """The first frames of about so many bytes, and at least one."""
    size = 0
    for count, frame in enumerate(frames, 1):
        size += len(frame)
        if size >= max_bytes:
            return frames[:count]
    return frames


def _size(ready: Ready) -> int:
    return sum(map(len, ready.frames))
