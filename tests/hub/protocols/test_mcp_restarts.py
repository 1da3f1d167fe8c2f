"""MCP clients while hubs are stopped, killed and started again (P-MCP-8, P-MCP-9)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from mcp import MCPError

from tests.hub.hubs import Said, say
from tests.hub.protocols.mcp_clients import Form, connect, fields
from tests.hub.protocols.test_mcp_client import Progress, ask, both_eras
from tests.servers import RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.slow
PLAN = "plan-1"


@both_eras
async def test_a_hub_is_restarted_in_the_midst(tmp_path: Path, era: str) -> None:
    """A call ends with what the client needs to continue, and the next one, to the successor, does."""
    with HubServer(f"sqlite:///{tmp_path}/plans.db") as hub:
        async with httpx.AsyncClient(base_url=hub.url) as http, connect(hub.url, era, nobody) as client:
            await say(http, PLAN, Said.update(title="T", status="in_progress"))
            progress = Progress()
            watching = asyncio.ensure_future(
                client.call_tool("watch_plan", {"plan_id": PLAN}, progress_callback=progress)
            )
            await progress.until("in progress")
            hub.signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                stopped = fields(await watching)
            assert (stopped["restarting"], stopped["ended"], stopped["offset"]) == (True, False, 1)
            await asyncio.to_thread(hub.wait)
            await asyncio.to_thread(hub.start)
            await say(http, PLAN, Said.message("Back"), Said.update(status="completed"))
            ended = fields(await client.call_tool("watch_plan", {"plan_id": PLAN, "after": stopped["offset"]}))
            assert (ended["status"], ended["last_message"]) == ("completed", "Back")


async def nobody(_: Form) -> Mapping[str, str] | None:
    raise AssertionError("there is no question")


@both_eras
async def test_a_hub_is_killed_in_the_midst(tmp_path: Path, era: str) -> None:
    with HubServer(f"sqlite:///{tmp_path}/plans.db") as hub:
        async with httpx.AsyncClient(base_url=hub.url) as http, connect(hub.url, era, nobody) as client:
            await say(http, PLAN, Said.update(title="T", status="in_progress"))
            progress = Progress()
            watching = asyncio.ensure_future(
                client.call_tool("watch_plan", {"plan_id": PLAN}, progress_callback=progress)
            )
            await progress.until("in progress")
            await asyncio.to_thread(hub.kill)
            with pytest.raises(MCPError):
                async with asyncio.timeout(60):
                    await watching
            await asyncio.to_thread(hub.start)
            await say(http, PLAN, Said.update(status="completed"))
            assert fields(await client.call_tool("watch_plan", {"plan_id": PLAN}))["status"] == "completed"


@both_eras
async def test_two_hubs_on_redis_of_which_one_is_drained(era: str) -> None:
    """A question is asked by one hub and answered through the other, by a second client; then the first is drained."""
    with RedisServer() as redis, HubServer(redis.url) as first, HubServer(redis.url) as second:
        async with (
            httpx.AsyncClient(base_url=second.url) as http,
            connect(first.url, era) as one,
            connect(second.url, era) as other,
        ):
            await ask(http, PLAN)
            call = {"plan_id": PLAN}
            waiting = [fields(await client.call_tool("watch_plan", call)) for client in (one, other)]
            assert [len(each["questions"]) for each in waiting] == [1, 1]
            given = await other.call_tool("answer_question", {**call, "answer": "yes"})
            assert fields(given)["taken"]
            late = await one.call_tool("answer_question", {**call, "answer": "no", "request_id": "q"})
            assert not fields(late)["taken"]
            call["after"] = waiting[0]["offset"]
            watching = [asyncio.ensure_future(client.call_tool("watch_plan", call)) for client in (one, other)]
            first.signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert fields(await watching[0])["restarting"]
            await say(http, PLAN, Said.update(status="completed"))
            async with asyncio.timeout(60):
                assert fields(await watching[1])["status"] == "completed"
