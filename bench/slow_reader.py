"""P10: effect of one client that never reads on the other clients and on the hub."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import ExitStack
from typing import Final

from bench.publishers import paced
from bench.rig import Hub, Sink, record, redis, table

__all__ = ["main"]

CLIENTS: Final = 499
RATE: Final = 100.0
SIZE: Final = 1024
"""Large enough to fill the kernel's buffers within about a second."""
SUBSCRIBE: Final = '{"type":"subscribe_plan","plan_id":"slow"}'


def _never_reads(port: int) -> socket.socket:
    """A client that subscribes and then neither reads nor writes."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"GET /ws/streaming HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    client.recv(4096)
    text = SUBSCRIBE.encode()
    client.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)  # masked with zeros
    return client


def _round(log: str, events: int, *, slow: bool) -> tuple[float, float]:
    """p99 of the readers in milliseconds, and growth of the hub in MiB."""
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
        for name, (p99, grew) in zip(("no slow reader", "one never reads"), best, strict=True)
    ]
    table(f"P10 {CLIENTS} readers, {RATE:g} events of 1 KiB a second (at most 10 % and 2 MiB more)", rows)
    record("slow_reader", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
