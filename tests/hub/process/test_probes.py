"""Probes and metrics of a process that serves nothing else."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx

from hub.engine_port import EngineStatistics
from hub.process.listening import address_of, probe_listener
from hub.process.probes import serving_probes
from hub.telemetry.metrics import Metrics


async def test_probes_and_metrics_are_served_and_signals_stay_with_the_caller() -> None:
    problems: list[str | None] = [None, "the log does not respond"]

    async def problem() -> str | None:
        return problems.pop(0)

    signalled = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signalled.set)
    try:
        metrics = Metrics(None, engine=lambda: EngineStatistics(plans={"running": 3}, leased=True))
        with probe_listener("127.0.0.1", 0) as bound:
            url = f"http://{address_of(bound)}"
            async with serving_probes(bound, metrics, problem), httpx.AsyncClient(base_url=url) as client:
                live = await client.get("/livez")
                assert (live.status_code, live.json()) == (200, {"status": "ok"})
                ready = await client.get("/readyz")
                assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
                unready = await client.get("/readyz")
                body = {"status": "not ready", "problem": "the log does not respond"}
                assert (unready.status_code, unready.json()) == (503, body)
                scrape = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
                assert scrape.headers["content-type"].startswith("application/openmetrics-text")
                assert 'plancast_engine_plans{state="running"} 3.0' in scrape.text
                assert (await client.get("/api/plans")).status_code == 404
                assert (await client.post("/livez")).status_code == 405
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.wait_for(signalled.wait(), 30)
                assert (await client.get("/livez")).status_code == 200
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
