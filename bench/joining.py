"""P7 and P9: cost and time of joining a plan, for many reconnecting clients and for one new client. Through Redis."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any, Final

from websockets.sync.client import connect

from bench.rig import Hub, Sink, record, redis, table
from broadcasters import Broadcaster
from broadcasters.events import AgentMessage, PlanEvent, StepUpdate, ToolCall, build
from tests.servers.process import RedisServer

__all__ = ["main"]

MISSED: Final = 100
EVENTS: Final = 10_000
MESSAGES: Final = 20
TOKENS: Final = 400
CALLS: Final = 50
THOUGHTS: Final = 100
STEPS: Final = 30


def _message(plan_id: str, content: str, **more: Any) -> PlanEvent:
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "Agent", "content": content, **more})


async def _publish(log: str, stories: dict[str, list[PlanEvent]]) -> None:
    async with Broadcaster(log) as broadcaster:
        for plan_id, story in stories.items():
            await broadcaster.send_all(plan_id, story)


def _commands(server: RedisServer) -> int:
    return int(server.info("stats")["total_commands_processed"])


def _reconnect_all(server: RedisServer, clients: int, plans: int) -> dict[str, Any]:
    """All clients connect at once and receive the events they missed."""
    stories = {f"back-{plans}-{n}": [_message(f"back-{plans}-{n}", "x" * 62)] * MISSED for n in range(plans)}
    asyncio.run(_publish(server.url, stories))
    with Hub(server.url) as hub:
        cpu, commands, began = hub.cpu, _commands(server), time.perf_counter()
        frame = f'{{"type":"subscribe_plan","plan_id":"back-{plans}-%d","since":"start"}}'
        sink = Sink(hub.port, clients, MISSED, [frame], plans=plans)
        sink.ready()
        sink.result()
        return {
            "": f"P7 {clients:,} clients, {plans} plan{'s' if plans > 1 else ''}, {MISSED} events each",
            "hub's CPU s": hub.cpu - cpu,
            "seconds": time.perf_counter() - began,
            "Redis commands": _commands(server) - commands,
            "target s": 3.0,
        }


def _story(plan_id: str) -> list[PlanEvent]:
    """10,000 events: 8,000 tokens of streamed messages, and a mix of other events."""
    fields = {"plan_id": plan_id, "agent_name": "Agent"}
    tokens = [
        build(
            AgentMessage,
            fields | {"content": "text", "message_id": f"m-{n}", "append": True, "final": at == TOKENS - 1},
        )
        for n in range(MESSAGES)
        for at in range(TOKENS)
    ]
    calls = [
        build(ToolCall, fields | {"call_id": f"c-{n}", "tool_name": "search", "phase": phase})
        for n in range(CALLS)
        for phase in ("started", "completed")
    ]
    thoughts = [_message(plan_id, f"thought {n}") for n in range(THOUGHTS)]
    rest = EVENTS - len(tokens) - len(calls) - len(thoughts)
    steps = [
        build(
            StepUpdate,
            {"plan_id": plan_id, "step_id": f"s-{n % STEPS}", "status": "in_progress", "progress": n * 99 / rest},
        )
        for n in range(rest)
    ]
    return [*tokens, *calls, *thoughts, *steps]


def _joined(url: str, plan_id: str) -> tuple[float, int]:
    """Milliseconds from subscribing to the complete snapshot, and bytes received."""
    with connect(url, max_size=None) as socket:
        socket.recv()
        began = time.perf_counter()
        socket.send(json.dumps({"type": "subscribe_plan", "plan_id": plan_id, "since": "snapshot"}))
        size = 0
        while True:
            frame = socket.recv(10)
            size += len(frame)
            if json.loads(frame)["type"] == "snapshot":
                return (time.perf_counter() - began) * 1000, size


def _latecomer(server: RedisServer, joins: int) -> dict[str, Any]:
    asyncio.run(_publish(server.url, {"long": _story("long")}))
    with Hub(server.url) as hub:
        url = f"ws://127.0.0.1:{hub.port}/ws/streaming"
        (first, size), *others = [_joined(url, "long") for _ in range(joins)]
    return {
        "": f"P9 joining a plan of {EVENTS:,} events, {MESSAGES * TOKENS:,} of them tokens",
        "first ms": first,
        "others' median ms": statistics.median(took for took, _ in others),
        "KiB": size / 1024,
        "target ms": 20.0,
        "target KiB": 64.0,
    }


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    with redis() as server:
        reconnects = [_reconnect_all(server, 5_000, plans) for plans in (1, 50)]
        late = _latecomer(server, 100 if full else 20)
    table("All clients reconnect at once", reconnects)
    table("Joining a long plan", [late])
    record("joining", [*reconnects, late])


if __name__ == "__main__":
    main(full="--full" in sys.argv)
