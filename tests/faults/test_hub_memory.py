"""A hub's memory levels off, however many clients come and go, and whatever they watched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.faults.raw_socket import CLOSE, RawSocket, dial, frame
from tests.servers.hub import HubServer

pytestmark = [pytest.mark.faults, pytest.mark.slow]

AT_ONCE: Final = 800
WARM_UP: Final = 3
ROUNDS: Final = 6
BYTES_PER_CONNECTION: Final = 400
"""Allowed after the warm-up: it was 1,100 when ended connections waited for the garbage collector, and is below 60."""


async def _watching(url: str, plan_id: str) -> RawSocket:
    client = await dial(url)
    await client.ask("subscribe_plan", plan_id=plan_id)
    return client


async def _come_and_go(url: str, plan_ids: list[str]) -> None:
    """A client for each of these plans, all connected at once."""
    clients = [await _watching(url, plan_id) for plan_id in plan_ids]
    for client in clients:
        await client.send(frame(b"\x03\xe8", CLOSE))
        await client.closed()
        client.vanish()


async def _until_none(hub: HubServer, metric: str) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(hub.metric, metric):
            await asyncio.sleep(0.1)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("plans", [1, AT_ONCE], ids=["one plan", "a plan each"])
async def test_memory_does_not_grow_with_every_connection(plans: int, tmp_path: Path) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}") as hub:
        resident: list[int] = []
        for round_ in range(WARM_UP + ROUNDS):
            await _come_and_go(hub.ws, [f"plan-{round_}-{n % plans}" for n in range(AT_ONCE)])
            await _until_none(hub, "plancast_connections")
            await _until_none(hub, "plancast_channels")
            resident.append(hub.memory)
        slope = (resident[-1] - resident[WARM_UP - 1]) / (ROUNDS * AT_ONCE)
        print(f"\n{slope:.0f} bytes a connection; MiB after each round: {[one >> 20 for one in resident]}")
        assert slope < BYTES_PER_CONNECTION
