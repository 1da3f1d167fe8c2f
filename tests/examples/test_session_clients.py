"""The terminal clients of exhibitions, data queries and plan streaming, and that of MCP, against a real hub."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.hub import HubServer

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(f"sqlite:///{tmp_path_factory.mktemp('examples')}/plans.db", engine="embedded") as hub:
        yield hub


async def _run(name: str, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100
    )
    return done.returncode, done.stdout


async def test_an_exhibition_in_the_terminal(hub: HubServer) -> None:
    code, output = await _run("exhibition_client.py", "Water and light", "--url", hub.url)
    assert code == 0, output
    for text in ("Connected to session", " 25 %", " 55 %", " 90 %", "100 %  The proposal is at /api/proposals/"):
        assert text in output
    assert "Claude Monet" in output
    assert output.splitlines()[-1].startswith("5 artists, ")


async def test_questions_in_the_terminal_and_their_history(hub: HubServer) -> None:
    arguments = ("sales by region", "top 3 products")
    code, output = await _run("data_query_client.py", *arguments, "--user", "ada", "--session", "s1", "--url", hub.url)
    assert code == 0, output
    for text in ("✓ Received pong", "🚀 Started: Planning Task...", "⏳ Progress [30%]: Fetching Data..."):
        assert text in output
    assert output.count("✅ Completed: Complete!") == 2
    assert "Oak desk" in output
    code, output = await _run("data_query_client.py", "--history", "--user", "ada", "--url", hub.url)
    assert code == 0, output
    assert output.startswith("📁 s1, 4 messages: sales by region")


async def test_a_business_request_in_the_terminal(hub: HubServer) -> None:
    arguments = ("Sales by region are uneven", "--answer", "yes", "--url", hub.url)
    code, output = await _run("plan_streaming_client.py", *arguments)
    assert code == 0, output
    for text in ("Started plan", "Data Analyst", "Business Advisor", "attempt 2 of 3", "↳ yes (", "■ completed"):
        assert text in output
    plan_id = output.splitlines()[0].split()[-1]
    code, output = await _run("plan_streaming_client.py", "--watch", plan_id, "--url", hub.url)
    assert code == 0, output


@pytest.mark.parametrize("name", ["exhibition_client.py", "data_query_client.py", "plan_streaming_client.py"])
async def test_an_unreachable_server_is_named(name: str) -> None:
    code, output = await _run(name, "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "request to http://127.0.0.1:9 failed" in output
    assert "Traceback" not in output


async def test_the_mcp_client_of_the_document_asks_its_question_in_the_terminal(hub: HubServer, tmp_path: Path) -> None:
    document = (ROOT / "docs/clients/mcp.md").read_text()
    (client,) = re.findall(r"^```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert client == (EXAMPLES / "mcp/client.py").read_text()
    (tmp_path / "client.py").write_text(client.replace("http://127.0.0.1:8000", hub.url))
    command = [sys.executable, "-W", "error", str(tmp_path / "client.py"), "Sales by region are uneven"]
    done = await asyncio.to_thread(
        subprocess.run, command, input="yes\n", capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Shall we go ahead with this proposal? " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("completed {'approved': True")
    offsets = [int(offset) for offset in re.findall(r"^ *(\d+)  ", done.stdout, re.MULTILINE)]
    assert offsets == sorted(set(offsets))
