"""What a channel may use, and when it changes its ways."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds of one channel, and its patience."""

    ring_bytes: int = 512 * 1024
    """About two thousand frames: half a minute of a plan that talks fast, for those who lag or come back."""
    ring_events: int = 2048
    burst_bytes: int = 64 * 1024
    """A subscriber that is behind gets about this much at a time, so that a thousand of them share the loop."""
    merge_after: int = 256
    """Further behind than this many events, streamed text is merged: nobody reads 256 tokens one by one."""
    snapshot_after: int = 10_000
    """Further behind than this, whoever understands positions gets a snapshot and goes on from there: it is less to
    send and less to read than the events."""
    join_patience: float = 5.0
    """A subscription that the log keeps waiting for longer is refused, to be tried again."""
    fold_patience: float = 2.0
    """A subscriber that gets streamed messages whole waits this long to be placed until it is known which are under way."""
