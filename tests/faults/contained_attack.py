"""Check that an attack on the hub affects neither another client nor the hub's memory.

async with contained_attack(hub, "a frame of 1 MB", token=token):      # the other client's plan goes on meanwhile
    …
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from broadcasters.broadcaster import Broadcaster
from hub.config.limits import Limits, per_connection, per_plan
from tests.faults.raw_socket import RawSocket, dialled
from tests.servers.hub import HubServer

__all__ = ["contained_attack"]

MIB: Final = 1024 * 1024
NOISE: Final = 8 * MIB
"""Memory that the interpreter and its allocator may keep after doing anything for the first time."""
PAUSE_S: Final = 0.01
LEAST: Final = 20
"""The minimum number of events, some of them after the attack."""
_numbers = itertools.count(1)


@asynccontextmanager
async def contained_attack(
    hub: HubServer, what: str, *, token: str | None = None, connections: int = 1, plans: int = 1
) -> AsyncGenerator[None]:
    """Runs an attack by at most this many connections that watch at most this many plans, and checks its effects."""
    limits = Limits()
    bound = connections * per_connection(limits) + plans * per_plan(limits) + NOISE
    plan_id = f"bystander.{next(_numbers)}"
    async with Broadcaster(hub.log) as broadcaster, dialled(hub.ws, token=token) as bystander:
        await bystander.receive_until("connected")
        await bystander.request("subscribe_plan", plan_id=plan_id)
        before = _memory(hub.pid)
        _reset_peak_memory(hub.pid)
        over = asyncio.Event()
        publishing = asyncio.create_task(_publish(broadcaster, plan_id, over))
        receiving = asyncio.create_task(_receive(bystander))
        try:
            yield
            over.set()
            published = await publishing
            assert await receiving == published, "the bystander missed an event"
        finally:
            publishing.cancel()
            receiving.cancel()
            await asyncio.gather(publishing, receiving, return_exceptions=True)
        assert await asyncio.to_thread(lambda: hub.ready), "the hub is not ready any more"
    peak, after = _memory(hub.pid, "VmHWM"), _memory(hub.pid)
    grown = peak - before
    print(
        f"\n{what}: memory {before / MIB:.1f} MiB before, {peak / MIB:.1f} at most, {after / MIB:.1f} after"
        f" (+{grown / MIB:.1f}, allowed +{bound / MIB:.0f}); a bystander received {published} events, all in order"
    )
    assert grown <= bound


async def _publish(broadcaster: Broadcaster, plan_id: str, over: asyncio.Event) -> int:
    """Publishes until the attack is over, and a little longer; returns how many events."""
    offset = 0
    while not over.is_set() or offset < LEAST:
        offset = (await broadcaster.send_agent_message(plan_id, "Ana", "Still here.")).offset
        await asyncio.sleep(PAUSE_S)
    return (await broadcaster.send_plan_update(plan_id, status="completed")).offset


async def _receive(bystander: RawSocket) -> int:
    """Receives up to the end of the plan, checking the order; returns the last offset."""
    at = 0
    while True:
        event = await bystander.receive()
        assert event.get("offset") == at + 1, event
        at += 1
        if event["type"] == "plan_update":
            return at


def _memory(pid: int, name: str = "VmRSS") -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(kib) * 1024


def _reset_peak_memory(pid: int) -> None:
    """Makes VmHWM count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
