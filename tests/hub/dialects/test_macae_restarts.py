"""MACAE's page while its hub is killed and started again, and while one of two hubs is drained."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.hub.dialects.test_macae_served import DEADLINE_S, MacaePage
from tests.servers import RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.slow


async def until_asked(page: MacaePage, plan_id: str) -> str:
    """Approves the plan, and returns the id of the question that follows."""
    async with page.socket(plan_id) as socket:
        asked = await page.until(socket, "plan_approval_request")
        await page.approve(plan_id, asked["plan"]["id"])
        return str((await page.until(socket, "user_clarification_request"))["data"]["request_id"])


async def until_cut(page: MacaePage, socket: Any) -> int:
    """Receives until the socket closes; returns the code."""
    with pytest.raises(ConnectionClosed):
        await page.until(socket, "final_result_message")
    return int(socket.close_code or 1006)


async def reconnected(page: MacaePage, plan_id: str) -> None:
    """As the page does: opens the socket again and again, without getting the plan, until it receives the end."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                async with page.socket(plan_id) as socket:
                    await page.until(socket, "final_result_message")
                    return
            except (OSError, ConnectionClosed):
                await asyncio.sleep(0.2)


async def shows_the_log(page: MacaePage, plan_id: str) -> None:
    """What the page received by then, and what it gets when it is reloaded, are the same messages, each once."""
    final = [data["data"]["content"] for kind, data in page.frames if kind == "final_result_message"]
    found = [one["content"] for one in (await page.plan(plan_id))["messages"]]
    assert found[2:] == [*page.said(), *final]  # after the question and its answer


async def test_a_hub_is_killed_and_started_again_in_the_midst(tmp_path: Path) -> None:
    """P-MAC-7, P-MAC-9: teams, the approval and the plan survive; each message is shown once."""
    with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", engine="embedded", pace=1, lease=1) as hub:
        async with MacaePage(hub, "ada") as page:
            uploaded = await page.upload()
            plan_id = await page.start()
            request_id = await until_asked(page, plan_id)
            await page.plan(plan_id)
            async with page.socket(plan_id) as socket:
                await page.clarify(plan_id, request_id, "by Friday")
                await page.until(socket, "agent_message")
                await page.until(socket, "agent_message_streaming")  # the next agent works
                await asyncio.to_thread(hub.kill)
                await until_cut(page, socket)
            await asyncio.to_thread(hub.start)
            await reconnected(page, plan_id)
            await shows_the_log(page, plan_id)
            (team,) = await page.get("/v4/team_configs")
            assert team["team_id"] == uploaded["team_id"]
            assert [one["id"] for one in await page.get("/v4/plans")] == [plan_id]


async def test_one_of_two_hubs_is_drained(tmp_path: Path) -> None:
    """P-MAC-10: a page whose hub stops reconnects to another, which has the teams and the plan, and repeats the question."""
    settings: dict[str, Any] = {"engine": "embedded", "engine_db": f"sqlite:///{tmp_path / 'engine.db'}", "lease": 1}
    with RedisServer() as redis, HubServer(redis.url, **settings) as one, HubServer(redis.url, **settings) as other:
        async with MacaePage(one, "ada") as page, MacaePage(other, "ada") as there:
            uploaded = await page.upload()
            assert [team["team_id"] for team in await there.get("/v4/team_configs")] == [uploaded["team_id"]]
            plan_id = await page.start()
            request_id = await until_asked(page, plan_id)
            await page.plan(plan_id)
            async with page.socket(plan_id) as socket:
                await page.until(socket, "user_clarification_request")
                one.signal(signal.SIGTERM)
                assert await until_cut(page, socket) == 1012
            async with there.socket(plan_id) as socket:
                question = (await there.until(socket, "user_clarification_request"))["data"]
                assert question["request_id"] == request_id
                await there.clarify(plan_id, request_id, "by Friday")
                await there.until(socket, "final_result_message")
            await shows_the_log(there, plan_id)
