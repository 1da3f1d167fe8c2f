"""P6: what a connection costs that says nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.rig import Hub, Sink, record, table

__all__ = ["main"]

CLIENTS: Final = 6000


def _each(frames: list[str], clients: int) -> float:
    """Bytes of the hub's memory per connection."""
    with tempfile.TemporaryDirectory() as directory, Hub(f"sqlite:///{Path(directory) / 'plans.db'}") as hub:
        warm = Sink(hub.port, 200, 1, frames, seconds=0.5)
        warm.ready()
        warm.result()
        time.sleep(1.5)  # the warm-up's connections are gone when the hub has looked after them
        before = hub.memory
        sink = Sink(hub.port, clients, 1, frames, seconds=4)
        sink.ready()
        time.sleep(1)
        used = (hub.memory - before) / clients
        sink.result()
        return used


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    clients = CLIENTS if full else CLIENTS // 3
    subscribe = '{"type":"subscribe_plan","plan_id":"idle"}'
    rows: list[dict[str, Any]] = [
        {
            "": f"P6 {clients:,} idle connections, subscribed",
            "KiB each": _each([subscribe], clients) / 1024,
            "target": 8.0,
        },
    ]
    table("Idle connections (native transport, memory of the process)", rows)
    record("idle", rows)


if __name__ == "__main__":
    main()
