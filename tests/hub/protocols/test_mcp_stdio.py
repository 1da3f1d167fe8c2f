"""`plancast mcp`, started by the stock client as desktop hosts start it, in both eras (P-MCP-10)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters

from hub.cli import main
from tests.faults.credentials import AUDIENCE, SECRET, token
from tests.hub.hubs import Said, say
from tests.hub.protocols.mcp_clients import ERAS, Form, Person, fields, person, text
from tests.hub.protocols.test_mcp_client import Progress, answers_of, ask, both_eras
from tests.servers.hub import HubServer

PLANCAST = str(Path(sys.executable).with_name("plancast"))


@asynccontextmanager
async def start(url: str, era: str, who: Person | None = None, **environment: str) -> AsyncGenerator[Client]:
    """A client whose server is the command."""
    command = StdioServerParameters(command=PLANCAST, args=["mcp", url], env=environment)
    callback = None if who is None else person(who)
    mode = "legacy" if era == "legacy" else "auto"
    async with Client(command, mode=mode, elicitation_callback=callback) as client:
        assert client.protocol_version == ERAS[era]
        yield client


@both_eras
async def test_a_plan_is_followed_over_a_question_to_its_end(
    server: HubServer, client: httpx.AsyncClient, plan_id: str, era: str
) -> None:
    await ask(client, plan_id)
    progress = Progress()

    async def agrees(form: Form) -> Mapping[str, str]:
        assert form[0] == "May I?"
        return {"answer": "yes"}

    async with start(server.url, era, agrees) as host:
        assert "watch_plan" in {tool.name for tool in (await host.list_tools()).tools}
        call = {"plan_id": plan_id}
        watching = asyncio.ensure_future(host.call_tool("watch_plan", call, progress_callback=progress))
        async with asyncio.timeout(60):
            while await answers_of(client, plan_id) == [None]:
                await asyncio.sleep(0.02)
        await say(client, plan_id, Said.update(status="completed"))
        async with asyncio.timeout(60):
            assert fields(await watching)["status"] == "completed"
        assert progress.offsets == sorted(set(progress.offsets))
        assert await answers_of(client, plan_id) == ["yes"]
        assert len((await host.read_resource(f"plancast://plans/{plan_id}")).contents) == 1
        assert (await host.list_resource_templates()).resource_templates[0].uri_template == "plancast://plans/{plan_id}"
        assert (await host.list_resources()).resources
        with pytest.raises(MCPError, match="there is no plan 'nowhere'"):
            await host.read_resource("plancast://plans/nowhere")


async def test_a_question_is_answered_elsewhere_while_its_form_is_open(
    server: HubServer, client: httpx.AsyncClient, plan_id: str
) -> None:
    await ask(client, plan_id)
    shown = asyncio.Event()

    async def hesitates(_: Form) -> None:
        shown.set()
        await asyncio.Event().wait()

    async with start(server.url, "legacy", hesitates) as host:
        watching = asyncio.ensure_future(host.call_tool("watch_plan", {"plan_id": plan_id}))
        async with asyncio.timeout(60):
            await shown.wait()
            assert (await client.post(f"/api/plans/{plan_id}/inputs/q", json={"answer": 1})).status_code == 200
            await say(client, plan_id, Said.update(status="completed"))
            assert fields(await watching)["status"] == "completed"


@pytest.mark.slow
async def test_the_hub_is_restarted_and_the_token_renewed(tmp_path: Path) -> None:
    """The host's connection lasts; while there is no hub, its calls fail with the reason."""
    written = tmp_path / "token"
    written.write_text(token({"mine": ["read"]}))
    with HubServer(f"sqlite:///{tmp_path}/plans.db", auth_secret=SECRET, auth_audience=AUDIENCE) as hub:
        async with (
            httpx.AsyncClient(base_url=hub.url, headers={"X-Api-Key": token()}) as http,
            start(hub.url, "modern", None, PLANCAST_TOKEN=f"@{written}") as host,
        ):
            await say(http, "mine", Said.update(title="T", status="in_progress"))
            await say(http, "other", Said.update(title="T", status="in_progress"))
            assert (await host.list_tools()).tools
            assert "no right to read" in text(await host.call_tool("watch_plan", {"plan_id": "other"}))
            progress = Progress()
            watching = asyncio.ensure_future(
                host.call_tool("watch_plan", {"plan_id": "mine"}, progress_callback=progress)
            )
            await progress.until("in progress")
            await asyncio.to_thread(hub.kill)
            async with asyncio.timeout(60):
                assert "was lost" in text(await watching)
            refused = await host.call_tool("watch_plan", {"plan_id": "mine"})
            assert (refused.is_error, "can't be reached" in text(refused)) == (True, True)
            await asyncio.to_thread(hub.start)
            written.write_text(token({"other": ["read"]}))
            assert "no right to read" in text(await host.call_tool("watch_plan", {"plan_id": "mine"}))
            assert (
                fields(await host.call_tool("watch_plan", {"plan_id": "other", "wait": 0}))["status"] == "in_progress"
            )
            written.write_text("wrong")
            with pytest.raises(MCPError, match="token"):
                await host.call_tool("watch_plan", {"plan_id": "other"})


def test_what_is_no_hub_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["mcp", "sqlite:///plans.db"]) == 1
    assert "expected the URL of a hub" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["mcp"]) == 1
    assert (
        capsys.readouterr().err
        == "plancast: serving MCP requires the extra 'mcp': pip install 'plancast[mcp]' (mcp is missing)\n"
    )
