"""The tutorial works: every command and program of docs/tutorial.md, in its order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.documents import Reader, Terminal, blocks, environment
from tests.servers.process import eventually, free_port

DOCUMENT = "tutorial.md"


def _takes_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def second_terminal(command: str, folder: Path, port: int) -> Generator[subprocess.Popen[bytes]]:
    """Runs a server until the end of the block, and ends it with Ctrl-C."""
    env = environment(folder, PLANCAST_PORT=str(port))
    line = ["bash", "-c", f"exec {command}"]
    # A job in the background, such as these tests may be, ignores Ctrl-C, and so would its children.
    server = subprocess.Popen(line, cwd=folder, env=env, stdout=subprocess.DEVNULL, preexec_fn=_takes_ctrl_c)
    try:
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def snapshot(port: int) -> dict[str, Any] | None:
    """The plan as the hub has it; None if the hub does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/plans/offer-1")
    except httpx.TransportError:
        return None
    return answer.json() if answer.is_success else None


def lines(text: str) -> list[str]:
    """What `plancast tail` printed, without times and durations."""
    return [re.sub(r"^[\d:]+ | \(\d+\.\d s\)|(?<=says )\w+", "", line).rstrip() for line in text.splitlines()]


def frames(text: str) -> list[dict[str, Any]]:
    """The frames of a stream of server-sent events, as an EventSource delivers them."""
    return [json.loads(data) for data in re.findall(r"^data: (.*)$", text, re.MULTILINE)]


def test_the_tutorial_works_to_its_end(tmp_path: Path) -> None:
    told, agent = Reader(DOCUMENT), tmp_path / "agent.py"
    assert "pip install 'plancast[all]'" in told.next("sh")  # this checkout's environment instead
    with Terminal(tmp_path) as terminal:
        agent.write_text(told.next("python"))
        publish, shown = told.next("sh"), told.next("text")
        assert lines(terminal.run(publish)) == lines(shown)

        serve = told.next("sh").strip()
        with second_terminal(serve, tmp_path, terminal.port):
            agent.write_text(told.next("python"))
            terminal.run(told.next("sh"))
            eventually("waiting", lambda: (plan := snapshot(terminal.port)) and plan["status"] == "waiting")
            terminal.run(told.next("sh"))
            assert "yes" in terminal.run(told.next("sh"))
            assert lines(terminal.run(told.next("sh")))[-10:] == lines(told.next("text"))
            page = told.next("html")
            address = re.findall(r'EventSource\("(.*?)"\)', page)[0].replace(":8000", f":{terminal.port}")
            streamed = frames(httpx.get(address, timeout=30).text)
    types = [frame["type"] for frame in streamed if "data" in frame]
    assert (len(types), types[0], types[-1]) == (10, "plan_update", "plan_update")
    assert told.next("sh") == "python -m http.server 8001\n"
    assert not told


def code(language: str) -> str:
    """The first block in this language."""
    return next(block.text for block in blocks(DOCUMENT) if block.language == language)


@pytest.mark.slow
def test_a_new_hub_has_the_plan_and_the_page_of_the_tutorial_shows_it(tmp_path: Path) -> None:
    """In Chromium, from a server of its own, as the tutorial says."""
    hub_port, page_port = free_port(), free_port()
    env = environment(tmp_path)
    publish = ["bash", "-c", "python agent.py && plancast publish offer-1 --status completed"]
    (tmp_path / "agent.py").write_text(code("python"))
    subprocess.run(publish, cwd=tmp_path, env=env, check=True, stdout=subprocess.DEVNULL)
    (tmp_path / "page.html").write_text(code("html").replace(":8000", f":{hub_port}"))
    with second_terminal("plancast serve", tmp_path, hub_port):
        before = eventually("the hub answers", lambda: snapshot(hub_port))
    server = f"python -m http.server {page_port}"
    with second_terminal("plancast serve", tmp_path, hub_port), second_terminal(server, tmp_path, page_port):
        assert eventually("the hub is back", lambda: snapshot(hub_port)) == before
        address = f"http://127.0.0.1:{page_port}/page.html"
        eventually("the page lists the plan's events", lambda: "1,204 customers" in shown_by_chromium(address))


def shown_by_chromium(address: str) -> str:
    """The elements of a page, after five seconds of its own time."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [
        os.environ.get("CHROMIUM", "/usr/bin/chromium"),
        *flags,
        "--virtual-time-budget=5000",
        "--dump-dom",
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
