"""CPU cost of delivering a plan's events to many clients of each protocol, beside the native socket.

Protocols are measured in turns in one run, because load on a shared machine varies; each result is the median of its
rounds. A client of a protocol reads its HTTP response to the end, which comes when the plan ends.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bench.fan_out import delivered
from bench.publishers import paced
from bench.rig import Hub, record, redis, table
from broadcasters import Broadcaster

__all__ = ["PROTOCOLS", "Request", "main"]

CLIENTS: Final = 200
RATE: Final = 100.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request that follows a plan from where it is."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: str = ""

    def at(self, port: int, plan_id: str) -> Request:
        """The request for a plan that has begun."""
        path = self.path.replace("PLAN", plan_id)
        if "RUN" in path:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path.partition('/RUN')[0]}") as response:
                path = path.replace("RUN", json.load(response)[0]["run_id"])
        return replace(self, path=path)

    def encode(self, plan_id: str) -> bytes:
        content = b"" if self.body is None else json.dumps(self.body).replace("PLAN", plan_id).encode()
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self.headers}"
        kind = "" if self.body is None else f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        return f"{head}{kind}Connection: close\r\n\r\n".encode() + content


_RUN: Final = {"threadId": "PLAN", "runId": "r1", "messages": [], "tools": [], "context": [], "state": {}}
PROTOCOLS: Final[Mapping[str, Request]] = {
    "server-sent events": Request("GET", "/api/plans/PLAN/stream?since=start"),
    "AI SDK": Request("GET", "/ai-sdk/bench/PLAN/stream"),
    "AG-UI": Request("POST", "/ag-ui/agent/bench/connect", _RUN),
    "LangGraph": Request(
        "GET",
        "/langgraph/threads/PLAN/runs/RUN/stream?stream_mode=values&stream_mode=messages-tuple",
        headers="Last-Event-ID: -1\r\n",
    ),
    "Durable Streams": Request("GET", "/streams/PLAN?offset=-1&live=sse"),
}


async def _follow(port: int, request: bytes, begun: asyncio.Semaphore) -> int:
    """Read the response to its end; returns how many bytes it had."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(request)
    first = await reader.readuntil(b"\r\n\r\n")
    if not first.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the hub answered {first.splitlines()[0].decode()}")
    begun.release()
    size = 0
    while piece := await reader.read(2**18):
        size += len(piece)
    writer.close()
    return size


async def _measured(hub: Hub, log: str, plan_id: str, request: Request, events: int) -> float:
    """CPU seconds of the hub while all clients follow the plan to its end."""
    async with Broadcaster(log) as broadcaster:
        await broadcaster.send_plan_update(plan_id, title="Bench")
        begun, follow = asyncio.Semaphore(0), request.at(hub.port, plan_id).encode(plan_id)
        clients = [asyncio.create_task(_follow(hub.port, follow, begun)) for _ in range(CLIENTS)]
        for _ in clients:
            waiting = asyncio.ensure_future(begun.acquire())
            await asyncio.wait({waiting, *clients}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await asyncio.gather(*clients)
        await asyncio.sleep(0.5)
        before = hub.cpu
        await paced(log, [plan_id], events, RATE)
        await broadcaster.send_plan_update(plan_id, content="Done.", status="completed")
        sizes = await asyncio.gather(*clients)
    if min(sizes) < events * 62:
        raise RuntimeError(f"a client received only {min(sizes):,} bytes")
    return hub.cpu - before


def _cost(log: str, plan_id: str, request: Request, events: int) -> float:
    """CPU microseconds of the hub per delivery."""
    with Hub(log) as hub:
        return asyncio.run(_measured(hub, log, plan_id, request, events)) / (events * CLIENTS) * 1e6


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    events, rounds = (1000, 5) if full else (300, 3)
    costs: dict[str, list[float]] = {}
    with redis() as server:
        log = f"redis://127.0.0.1:{server.port}"
        for turn in range(rounds):
            native, _ = delivered(log, f"native-{turn}", events, paced(log, [f"native-{turn}"], events, RATE), CLIENTS)
            costs.setdefault("native socket", []).append(native)
            for number, (name, request) in enumerate(PROTOCOLS.items()):
                costs.setdefault(name, []).append(_cost(log, f"plan-{number}-{turn}", request, events))
    least = statistics.median(costs["native socket"])
    rows = [
        {"": name, "µs CPU per delivery": cost, "x native": cost / least}
        for name, cost in ((name, statistics.median(each)) for name, each in costs.items())
    ]
    table(f"{CLIENTS} followers of one plan, {RATE:g} events/s (target: at most 3 x native)", rows)
    record("protocols", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
