"""Somebody who only watches a plan while others misbehave: nothing of it may reach them, nor the hub's memory.

async with unharmed(hub, "a frame of 1 MB", token=token) as attack:      # the bystander's plan goes on all the while
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

__all__ = ["unharmed"]

MIB: Final = 1024 * 1024
NOISE: Final = 8 * MIB
"""What the interpreter and its allocator may keep of anything done for the first time."""
PAUSE_S: Final = 0.01
LEAST: Final = 20
"""So many events at least, some of them after all is over."""
_numbers = itertools.count(1)


@asynccontextmanager
async def unharmed(
    hub: HubServer, what: str, *, token: str | None = None, connections: int = 1, plans: int = 1
) -> AsyncGenerator[None]:
    """Within, anything may be done to the hub, by at most so many connections that watch at most so many plans."""
    limits = Limits()
    bound = connections * per_connection(limits) + plans * per_plan(limits) + NOISE
    plan_id = f"bystander.{next(_numbers)}"
    async with Broadcaster(hub.log) as broadcaster, dialled(hub.ws, token=token) as bystander:
        await bystander.receive_until("connected")
        await bystander.request("subscribe_plan", plan_id=plan_id)
        before = _memory(hub.pid)
        _forget_the_peak(hub.pid)
        over = asyncio.Event()
        talking = asyncio.create_task(_talk(broadcaster, plan_id, over))
        watching = asyncio.create_task(_watch(bystander))
        try:
            yield
            over.set()
            said = await talking
            assert await watching == said, "the bystander missed something"
        finally:
            talking.cancel()
            watching.cancel()
            await asyncio.gather(talking, watching, return_exceptions=True)
        assert await asyncio.to_thread(lambda: hub.ready), "the hub is not ready any more"
    peak, after = _memory(hub.pid, "VmHWM"), _memory(hub.pid)
    grown = peak - before
    print(
        f"\n{what}: memory {before / MIB:.1f} MiB before, {peak / MIB:.1f} at most, {after / MIB:.1f} after"
        f" (+{grown / MIB:.1f}, allowed +{bound / MIB:.0f}); a bystander heard {said} events, all in order"
    )
    assert grown <= bound


async def _talk(broadcaster: Broadcaster, plan_id: str, over: asyncio.Event) -> int:
    """Until it is over, and a little longer; how many events that were."""
    said = 0
    while not over.is_set() or said < LEAST:
        said = (await broadcaster.send_agent_message(plan_id, "Ana", "Still here.")).offset
        await asyncio.sleep(PAUSE_S)
    return (await broadcaster.send_plan_update(plan_id, status="completed")).offset


async def _watch(bystander: RawSocket) -> int:
    """Up to the end of the plan; its offset."""
    at = 0
    while True:
        said = await bystander.receive()
        assert said.get("offset") == at + 1, said
        at += 1
        if said["type"] == "plan_update":
            return at


def _memory(pid: int, name: str = "VmRSS") -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(kib) * 1024


def _forget_the_peak(pid: int) -> None:
    """The most that it ever used counts from now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
