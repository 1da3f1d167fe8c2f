"""`plancast worker` with a port for probes and metrics."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.supervision import Part
from hub.cli import main
from hub.commands.worker import _serve_probes
from hub.process.listening import address_of, probe_listener
from hub.telemetry import probe
from plan_engine import Context, Engine, Plan, Step, template
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.plans import quick

ROOT = Path(__file__).parents[3]


async def look(ctx: Context) -> Any:
    await ctx.say("Ten percent.", usage={"model": "m", "input_tokens": 7, "cost": "0.25"})
    return await ctx.ask("Who?")


@template("usage", title="Usage")
def usage(_: Any) -> Plan:
    return Plan("Usage", [Step("a", "A", look)])


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncGenerator[EngineHarness]:
    async with EngineHarness(tmp_path) as harness:
        yield harness


async def test_a_worker_serves_the_metrics_of_the_plans_it_runs(harness: EngineHarness) -> None:
    words = ["--templates", __name__, "--log", harness.log_url, "--engine-db", harness.db, "--probe-port", "0"]
    command = [str(Path(sys.executable).with_name("plancast")), "worker", *words]
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(60):
            while not (line := await worker.stdout.readline()).startswith(b"probes and metrics: "):
                assert line, "the worker has ended"
        url = line.decode().split()[3].removesuffix("/readyz,")
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/readyz")).json() == {"status": "ready"}
            async with harness.engine(usage, work=False) as office:
                await office.start("usage", {}, "p")
                await harness.until_asked("p")
            async with asyncio.timeout(60):
                while 'plancast_engine_plans{state="waiting"} 1.0' not in (text := (await client.get("/metrics")).text):
                    await asyncio.sleep(0.01)
        assert 'plancast_model_input_tokens_total{model="m"} 7.0' in text
        assert 'plancast_model_cost_total{currency="USD",model="m"} 0.25' in text
        assert "plancast_channels" not in text
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 60) == 0
    finally:
        with suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()


@pytest.fixture
async def working(harness: EngineHarness) -> AsyncGenerator[tuple[Engine, httpx.AsyncClient]]:
    """An engine at work, and a client of its probes."""
    async with harness.engine(quick) as engine, AsyncExitStack() as stack:
        bound = stack.enter_context(probe_listener("127.0.0.1", 0))
        await _serve_probes(stack, bound, engine, harness.log)
        yield engine, await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{address_of(bound)}"))


async def test_a_worker_is_not_ready_while_it_can_not_work(
    working: tuple[Engine, httpx.AsyncClient], harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = working
    monkeypatch.setattr(probe, "FRESH", 0.0)

    async def problem() -> str:
        response = await client.get("/readyz")
        assert response.status_code == (503 if "problem" in response.json() else 200)
        return str(response.json().get("problem", "none"))

    async def away(*_: Any) -> Any:
        raise LogUnavailable("away")

    assert await problem() == "none"
    with monkeypatch.context() as broken:
        broken.setattr(harness.log, "append", away)
        assert await problem() == "the log did not accept a probe event: away"
    with monkeypatch.context() as broken:
        broken.setitem(engine._supervisor.parts, "engine: takeover", Part(1, "ValueError: x"))
        assert await problem() == "failing and being retried: engine: takeover"
    with monkeypatch.context() as broken:
        broken.setattr(Engine, "leased", False)
        assert "the engine's database can't be reached" in await problem()
        assert "plancast_engine_leased 0.0" in (await client.get("/metrics")).text
        assert (await client.get("/livez")).status_code == 200
    assert await problem() == "none"


@pytest.fixture
def settings_of_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_LOG", f"sqlite:///{tmp_path / 'plans.db'}")
    monkeypatch.setenv("PLANCAST_ENGINE_DB", f"sqlite:///{tmp_path / 'engine.db'}")


@pytest.mark.usefixtures("settings_of_no_worker")
def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["worker", "--templates", "tests.plan_engine.plans", "--probe-port", str(port)]) == 1
    hint = "choose another port with --probe-port or PLANCAST_PROBE_PORT"
    said = f"plancast: can't listen on 127.0.0.1:{port}: Address already in use ({hint})\n"
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.usefixtures("settings_of_no_worker")
def test_without_the_extra_of_hubs_the_package_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "hub.process.probes", raising=False)
    assert main(["worker", "--templates", "tests.plan_engine.plans", "--probe-port", "0"]) == 1
    problem = "serving probes and metrics requires the extra 'hub': pip install 'plancast[hub]' (uvicorn is missing)"
    assert capsys.readouterr().err.endswith(f"plancast: {problem}\n")
