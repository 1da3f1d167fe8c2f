"""`plancast relay`: an agent behind a server as a plan, from a command line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from broadcasters import Broadcaster
from broadcasters.checkpointing import snapshot_of
from tests.plan_engine.adapters.relay.agents import ScriptedAgent, serving


async def relay(log: str, *arguments: str, token: str = "") -> tuple[int, str, str]:
    """Runs the command; returns its exit code and what it printed."""
    environment = {**os.environ, "PLANCAST_LOG": log, "PLANCAST_RELAY_TOKEN": token}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hub", "relay", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_agent_of_the_ai_sdk(tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path}/plans.db"
    chunks = [
        {"type": "text-start", "id": "1"},
        {"type": "text-delta", "id": "1", "delta": "Hello."},
        {"type": "finish"},
    ]
    async with serving(ScriptedAgent(chunks)) as agent:
        code, out, _ = await relay(
            log, "--ai-sdk", agent.url, "--plan", "p", "--title", "Greet", "--header", "X-Team: a", "Hi", token="secret"
        )
    assert (code, out) == (0, "p\n")
    assert (agent.headers[0]["authorization"], agent.headers[0]["x-team"]) == ("Bearer secret", "a")
    async with Broadcaster(log) as broadcaster, broadcaster.reading() as plans:
        plan, _ = await snapshot_of(plans, "p")
    assert (plan.status, plan.title, [one.content for one in plan.messages]) == ("completed", "Greet", ["Hello."])


async def test_a_run_that_fails(tmp_path: Path) -> None:
    async with serving(ScriptedAgent((503, "busy"))) as agent:
        code, out, err = await relay(f"sqlite:///{tmp_path}/plans.db", "--ag-ui", agent.url, "Hi")
    assert code == 1
    assert out.startswith("plan-")
    assert err.strip() == f"plancast: {agent.url} answered 503: busy"


async def test_a_header_that_is_none(tmp_path: Path) -> None:
    code, _, err = await relay(f"sqlite:///{tmp_path}/plans.db", "--ag-ui", "http://x", "--header", "secret", "Hi")
    assert code == 2
    assert "NAME:VALUE" in err
