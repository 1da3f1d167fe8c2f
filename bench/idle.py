"""P6: memory of an idle connection."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.rig import Hub, Sink, record, table

__all__ = ["main"]

CLIENTS: Final = 6000


def _each(frames: list[str], clients: int, *, mounted: bool) -> float:
    """Memory of the hub in bytes per connection."""
    with tempfile.TemporaryDirectory() as directory:
        log = f"sqlite:///{Path(directory) / 'plans.db'}"
        with Hub(log, mounted=mounted) as hub:
            return _memory(hub, frames, clients) / clients


def _memory(hub: Hub, frames: list[str], clients: int) -> float:
    warm = Sink(hub.port, 200, 1, frames, seconds=0.5)
    warm.ready()
    warm.result()
    time.sleep(1.5)  # until the hub has cleaned up the warm-up connections
    before = hub.memory
    sink = Sink(hub.port, clients, 1, frames, seconds=4)
    sink.ready()
    time.sleep(1)
    used = hub.memory - before
    sink.result()
    return used


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    clients = CLIENTS if full else CLIENTS // 3
    subscribe = '{"type":"subscribe_plan","plan_id":"idle"}'
    rows: list[dict[str, Any]] = [
        {
            "": f"P6 {clients:,} idle connections, subscribed, {name}",
            "KiB each": _each([subscribe], clients, mounted=mounted) / 1024,
            "target": target,
        }
        for name, mounted, target in (("native", False, 8.0), ("ASGI, under stock uvicorn", True, 24.0))
    ]
    table("Idle connections, memory of the process", rows)
    record("idle", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
