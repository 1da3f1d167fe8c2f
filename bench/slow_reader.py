"""P10: what one client that never reads costs the others and the hub."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import ExitStack
from typing import Final

from bench.rig import Hub, Sink, record, redis, table
from bench.talk import paced

__all__ = ["main"]

CLIENTS: Final = 499
RATE: Final = 100.0
SIZE: Final = 1024
"""So that the kernel's buffers are full after a second or so."""
SUBSCRIBE: Final = '{"type":"subscribe_plan","plan_id":"slow"}'


def _never_reads(port: int) -> socket.socket:
    """A client that subscribes, and is never heard of again."""
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(
        b"GET /ws/streaming HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    line.recv(4096)
    text = SUBSCRIBE.encode()
    line.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)  # masked with zeros
    return line


def _round(log: str, events: int, *, slow: bool) -> tuple[float, float]:
    """The readers' p99 in milliseconds, and how many MiB the hub grew."""
    with Hub(log) as hub, ExitStack() as stack:
        if slow:
            stack.enter_context(_never_reads(hub.port))
        sink = Sink(hub.port, CLIENTS, events, [SUBSCRIBE])
        sink.ready()
        before = hub.memory
        asyncio.run(paced(log, ["slow"], events, RATE, SIZE))
        return float(sink.result()["p99_ms"]), (hub.memory - before) / 1024 / 1024


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    events, rounds = (2000, 5) if full else (500, 3)
    with redis() as server:
        measured = [
            (_round(server.url, events, slow=False), _round(server.url, events, slow=True)) for _ in range(rounds)
        ]
    best = [min(one[which] for one in measured) for which in (0, 1)]
    rows = [
        {"": name, "the others' p99 ms": p99, "hub grew MiB": grew}
        for name, (p99, grew) in zip(("nobody is slow", "one never reads"), best, strict=True)
    ]
    table(f"P10 {CLIENTS} readers, {RATE:g} events of 1 KiB a second (at most 10 % and 2 MiB more)", rows)
    record("slow_reader", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
