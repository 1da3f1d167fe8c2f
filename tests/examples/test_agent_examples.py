"""The examples for agent authors, run as programs as their docstrings describe."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from broadcasters import Broadcaster
from broadcasters.snapshot import Snapshot
from tests.plan_engine.adapters.person import Person, steps_of, words_of
from tests.servers.process import eventually, free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ("celery_worker", "fastapi_app", "flask_app", "langgraph_agent", "progress_script", "send_letters")
INSIGHT = [("Intent parsed", "completed"), ("Insight generated", "completed")]
WORDS = [("Agent", "result", "Umbrellas sell best on Mondays.")]


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'plans.db'}"


@pytest.fixture
async def broadcaster(log_url: str) -> AsyncGenerator[Broadcaster]:
    async with Broadcaster(log_url) as broadcaster:
        yield broadcaster


def environment(log_url: str, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
    return clean | {"PLANCAST_LOG": log_url, "PLANCAST_HUB": "https://plans.example"} | more


@contextmanager
def program(
    *arguments: str, output: Path, executable: str = sys.executable, **environment: str
) -> Generator[subprocess.Popen[bytes]]:
    """Runs a program, of Python unless another executable is given, until the end of the block."""
    leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with output.open("ab") as file:
        command = [*leash, executable, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def ended_plan(broadcaster: Broadcaster, plan_id: str) -> Snapshot:
    return await Person(broadcaster, plan_id).until(lambda plan: plan.ended_at)


async def answer_of(method: str, url: str, process: subprocess.Popen[bytes], output: Path, **given: Any) -> Any:
    """The app's answer to this request, once it listens."""

    def request() -> httpx.Response | None:
        assert process.poll() is None, output.read_text()
        try:
            return httpx.request(method, url, timeout=30, **given)
        except httpx.TransportError:
            return None

    response: httpx.Response = await asyncio.to_thread(eventually, f"{url} answers", request)
    assert response.status_code == 202, response.text
    return response.json()


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_is_short_and_has_a_docstring(name: str) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 45
    assert text.startswith('"""')


async def test_the_fastapi_app_starts_an_agent_and_returns_the_page_url(
    log_url: str, broadcaster: Broadcaster, tmp_path: Path
) -> None:
    port, output = free_port(), tmp_path / "output"
    arguments = ("-m", "uvicorn", "examples.fastapi_app:app", "--port", str(port))
    with program(*arguments, output=output, **environment(log_url)) as app:
        url = f"http://127.0.0.1:{port}/questions"
        answer = await answer_of("POST", url, app, output, params={"text": "How is May?"})
        plan = await ended_plan(broadcaster, answer["plan_id"])
    assert answer["page"] == f"https://plans.example/plan/{answer['plan_id']}"
    assert (plan.status, plan.title) == ("completed", "How is May?")
    assert [agent for agent, _, _ in words_of(plan)] == ["Data Analyst"]


async def test_the_flask_app_works_in_a_thread(log_url: str, broadcaster: Broadcaster, tmp_path: Path) -> None:
    port, output = free_port(), tmp_path / "output"
    arguments = ("-m", "flask", "--app", "examples/flask_app", "run", "--port", str(port))
    with program(*arguments, output=output, **environment(log_url)) as app:
        url = f"http://127.0.0.1:{port}/api/chat"
        answer = await answer_of("POST", url, app, output, json={"message": "What sells?"})
        plan = await ended_plan(broadcaster, answer["task_id"])
    assert answer["type"] == "task_started"
    assert (plan.status, plan.title) == ("completed", "What sells?")
    assert steps_of(plan) == INSIGHT
    assert words_of(plan) == WORDS


@pytest.mark.slow
async def test_the_celery_worker_publishes_its_task(log_url: str, broadcaster: Broadcaster, tmp_path: Path) -> None:
    env = environment(log_url, QUEUE_DIRECTORY=str(tmp_path / "queue"))
    command = [sys.executable, "-m", "examples.celery_worker", "What sells?"]
    queued = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=env, capture_output=True, timeout=60)
    assert queued.returncode == 0, queued.stderr.decode()
    arguments = ("-m", "celery", "-A", "examples.celery_worker", "worker", "--concurrency", "1")
    with program(*arguments, output=tmp_path / "output", **env):
        plan = await ended_plan(broadcaster, queued.stdout.decode().strip())
    assert (plan.status, plan.title) == ("completed", "What sells?")
    assert steps_of(plan) == INSIGHT
    assert words_of(plan) == WORDS


async def test_the_graph_continues_with_a_persons_answer(
    log_url: str, broadcaster: Broadcaster, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    person = Person(broadcaster, "offer-7")
    with program("examples/langgraph_agent.py", "offer-7", output=output, **environment(log_url)) as agent:
        (asked,) = await person.is_asked()
        assert asked.prompt == "12 orders. Send the offer?"
        await person.answers(asked, "yes")
        assert await asyncio.to_thread(agent.wait, 60) == 0, output.read_text()
    assert "{'month': 'May', 'orders': 12, 'sent': True}" in output.read_text()
    plan = await person.sees()
    assert steps_of(plan) == [("Count orders", "completed"), ("Send offer", "completed")]
    assert plan.result == {"result": {"month": "May", "orders": 12, "sent": True}}


async def test_the_script_reports_through_a_callback(log_url: str, broadcaster: Broadcaster, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with program("examples/progress_script.py", "insight-7", output=output, **environment(log_url)) as script:
        assert await asyncio.to_thread(script.wait, 60) == 0, output.read_text()
    plan = await Person(broadcaster, "insight-7").sees()
    assert (plan.status, plan.result) == ("completed", {"result": {"insight": "umbrellas"}})
    assert steps_of(plan) == [("Understand the question", "completed"), ("Find the insight", "completed")]
    assert words_of(plan) == WORDS


async def test_the_letters_are_paused_killed_and_continued(
    log_url: str, broadcaster: Broadcaster, tmp_path: Path
) -> None:
    output, person = tmp_path / "output", Person(broadcaster, "letters-7")
    arguments = ("examples/send_letters.py", "letters-7")
    with program(*arguments, output=output, **environment(log_url)) as killed:
        (asked,) = await person.is_asked()
        assert asked.prompt == "Write 5 letters?"
        await person.requests("pause")
        await person.until(lambda plan: plan.data and plan.data["signal"] == "pause")
        await person.answers(asked, True)
        killed.kill()
    with program(*arguments, output=output, **environment(log_url)) as script:
        await person.requests("resume")
        assert await asyncio.to_thread(script.wait, 60) == 0, output.read_text()
    plan = await person.sees()
    assert (plan.status, len(plan.inputs), plan.usage and plan.usage.output_tokens) == ("completed", 1, 45)
    letters = [text for agent, _, text in words_of(plan) if agent == "Mailer"]
    assert [text.split(",")[0] for text in letters] == [
        f"Dear {customer}" for customer in ("Ada", "Grace", "Edsger", "Barbara", "Alan")
    ]


async def test_the_letters_are_cancelled_while_they_ask(log_url: str, broadcaster: Broadcaster, tmp_path: Path) -> None:
    output, person = tmp_path / "output", Person(broadcaster, "letters-8")
    with program("examples/send_letters.py", "letters-8", output=output, **environment(log_url)) as script:
        await person.is_asked()
        await person.requests("cancel")
        assert await asyncio.to_thread(script.wait, 60) == 0, output.read_text()
    plan = await person.sees()
    assert plan.status == "cancelled"
    assert "Mailer" not in [agent for agent, _, _ in words_of(plan)]


async def test_a_relayed_agent_in_javascript_asks_and_is_answered(
    log_url: str, broadcaster: Broadcaster, tmp_path: Path
) -> None:
    port, output, person = free_port(), tmp_path / "output", Person(broadcaster, "relay-1")
    settings = environment(log_url)
    with program("examples/relay/agent.mjs", str(port), output=output, executable="node", **settings):
        await asyncio.to_thread(eventually, "the agent listens", lambda: "listening" in output.read_text())
        arguments = ("-m", "hub", "relay", "--ag-ui", f"http://127.0.0.1:{port}", "--plan", "relay-1", "What sells?")
        with program(*arguments, output=output, **settings) as relay:
            (asked,) = await person.is_asked()
            assert asked.prompt == "Send the offer?"
            await person.answers(asked, "yes")
            assert await asyncio.to_thread(relay.wait, 60) == 0, output.read_text()
    plan = await person.sees()
    assert (plan.status, steps_of(plan)) == ("completed", [("Look", "completed"), ("Send", "completed")])
    assert [text for _, _, text in words_of(plan)] == ["Umbrellas sell best on Mondays.", "You said yes. It is done."]
