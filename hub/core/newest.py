"""The newest events of a plan, encoded once for everybody: those to hand out next, and a ring of those before."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from broadcasters.position import Position
from hub.config.limits import ChannelLimits
from hub.core.burst import Burst, Ring
from hub.wire.frames import event_frame, event_prefix

__all__ = ["Newest"]


class Newest:
    """Frames up to the head that a channel knows of."""

    def __init__(self, plan_id: str, policy: ChannelLimits) -> None:
        self._plan_id = plan_id
        self._policy = policy
        self.stand_at(Position("", 0))

    def stand_at(self, head: Position) -> None:
        """Begin there, with nothing at hand that came before."""
        self.handed = head.offset
        """The last offset that was handed out."""
        self.fresh: list[bytes] = []
        """The frames that come next: in the ring, not handed out yet."""
        self.ring = Ring(head.offset, self._policy.ring_bytes, self._policy.ring_events)
        self._prefix = event_prefix(self._plan_id, head.epoch)
        self._last = Burst((), 0, 0)

    def take(self, payloads: Sequence[bytes]) -> bool:
        """Encode what comes next. True: nothing waited to be handed out before."""
        prefix, first = self._prefix, self.handed + len(self.fresh) + 1
        frames = [event_frame(prefix, offset, payload) for offset, payload in enumerate(payloads, first)]
        self.ring.extend(frames)
        waited = bool(self.fresh)
        self.fresh += frames
        return not waited

    def hand_out(self) -> Burst | None:
        """What waits to be handed out, if anything does; it waits no more."""
        if not self.fresh:
            return None
        burst = Burst(self.fresh, self.handed + 1, self.handed + len(self.fresh))
        self.fresh, self.handed = [], burst.last
        return burst

    def after(self, offset: int) -> Burst | None:
        """Some of what was handed out after `offset`; None when it fell out of the ring."""
        if self._last.first != offset + 1:
            if (burst := self._burst(offset, self._policy.burst_bytes)) is None:
                return None
            self._last = burst
        return self._last

    def all_after(self, offset: int) -> Burst | None:
        """The same, all of it. It may have no frames."""
        return self._burst(offset, sys.maxsize)

    def _burst(self, offset: int, max_bytes: int) -> Burst | None:
        frames = self.ring.after(offset, self.handed, max_bytes)
        return None if frames is None else Burst(frames, offset + 1, offset + len(frames))
