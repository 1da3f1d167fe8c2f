"""The programs and commands in docs/how-to work, and the messages it quotes are those of the code."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from broadcasters import Broadcaster, blocking
from tests.docs.documents import DOCS, Reader, Terminal, blocks, environment
from tests.plan_engine.adapters.person import Person
from tests.servers import RedisServer
from tests.servers.process import free_port
from tests.test_house import MODULES

ROOT: Final = DOCS.parent
HOW_TO: Final = sorted(path.name for path in (DOCS / "how-to").glob("*.md"))
RUN: Final = {
    "answer-a-question.md": "sh sh tsx python",
    "celery.md": "sh python sh",
    "fastapi.md": "sh python sh",
    "flask.md": "sh python sh",
    "langgraph.md": "sh python sh",
    "managed-redis.md": "sh python",
    "test-your-page.md": "sh python",
    "troubleshooting.md": "sh",
}
"""The blocks that the tests below run."""
RETRYING: Final = " --silent --retry 60 --retry-delay 1 --retry-connrefused"
"""Options of curl for a server that was started just before."""


def test_every_block_is_run_by_a_test() -> None:
    found = {name: sorted(block.language for block in blocks(f"how-to/{name}")) for name in HOW_TO}
    assert {name: languages for name, languages in found.items() if languages} == {
        name: sorted(languages.split()) for name, languages in RUN.items()
    }


# --- frameworks: the programs are those of examples/, which tests/examples runs


@pytest.mark.parametrize(
    ("document", "example"),
    [
        ("fastapi.md", "fastapi_app"),
        ("flask.md", "flask_app"),
        ("celery.md", "celery_worker"),
        ("langgraph.md", "langgraph_agent"),
    ],
)
def test_a_program_is_that_of_the_example(document: str, example: str) -> None:
    (program,) = (block.text for block in blocks(f"how-to/{document}") if block.language == "python")
    text = (ROOT / "examples" / f"{example}.py").read_text().replace('"examples.celery_worker"', '"tasks"')
    assert text.endswith(f'"""\n\n{program}')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "file", "printed"),
    [
        ("fastapi.md", "app.py", '"page":"http'),
        ("flask.md", "app.py", '"type":"task_started"'),
        ("celery.md", "tasks.py", "Umbrellas sell best on Mondays."),
        ("langgraph.md", "graph.py", "completed"),
    ],
)
def test_the_commands_start_it_beside_a_hub(document: str, file: str, printed: str, tmp_path: Path) -> None:
    told = Reader(f"how-to/{document}")
    assert told.next("sh").startswith("pip install ")
    (tmp_path / file).write_text(told.next("python"))
    ports = {"8000", "8001", "8002"}
    with Terminal(tmp_path, QUEUE_DIRECTORY=str(tmp_path / "queue")) as terminal:
        others = {port: str(free_port()) for port in ports} | {"8000": str(terminal.port)}
        commands = re.sub(r"\b800[012]\b", lambda port: others[port[0]], told.next("sh"))
        assert commands.startswith(("plancast serve &\n", "celery "))
        lines = commands.splitlines()
        if "curl" in lines[-1]:
            lines[-1] += RETRYING
        assert printed in terminal.run("\n".join(lines)).replace('": ', '":')


# --- questions


@contextmanager
def program(text: str, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", text], cwd=folder, env=environment(folder))
    try:
        yield process
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
async def test_an_agents_questions_are_answered_in_the_terminal_and_over_http(tmp_path: Path) -> None:
    told = Reader("how-to/answer-a-question.md")
    agent, in_terminal, over_http = told.next("python"), told.next("sh"), told.next("sh")
    async with Broadcaster(f"sqlite:///{tmp_path}/.plancast/plans.db") as broadcaster:
        person = Person(broadcaster, "trip-1")

        async def is_asked(request_id: str) -> None:
            await person.until(lambda plan: any(each.request_id == request_id for each in plan.inputs))

        with program(agent, tmp_path) as running, Terminal(tmp_path) as terminal:
            for question, command in zip(("city", "days"), in_terminal.splitlines(), strict=True):
                await is_asked(question)
                await asyncio.to_thread(terminal.run, command)
            await is_asked("book")
            request = over_http.replace(":8000", f":{terminal.port}").strip() + RETRYING
            await asyncio.to_thread(terminal.run, f"plancast serve --engine off &\n{request}")
            plan = await person.until(lambda plan: plan.ended_at)
            await asyncio.to_thread(running.wait, 60)
    assert [each.prompt for each in plan.inputs][-1] == "Book 3 days in Lisbon?"
    assert "Booked by development." in str(plan.model_dump())


def test_the_component_uses_what_the_hook_returns() -> None:
    """frontend/tests/react tests the hook itself."""
    (component,) = (block.text for block in blocks("how-to/answer-a-question.md") if block.language == "tsx")
    hook = (ROOT / "frontend/src/react/control.ts").read_text()
    for name in ("request", "state", "answer", "error"):
        assert f"readonly {name}: " in hook
        assert name in component


# --- managed Redis


@pytest.mark.slow
def test_a_broadcaster_connects_with_the_credentials_of_a_provider(tmp_path: Path) -> None:
    told = Reader("how-to/managed-redis.md")
    doctor, connects = told.next("sh"), told.next("python")
    with RedisServer(password="secret") as server:
        host = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port)}
        env = environment(tmp_path, **host, REDIS_USER="default", REDIS_TOKEN="secret")
        run = subprocess.run([sys.executable, "-c", connects], env=env, capture_output=True, text=True, timeout=60)
        assert (run.stdout, run.stderr) == ("1\n", "")
        with Terminal(tmp_path, PLANCAST_LOG=f"redis://:secret@127.0.0.1:{server.port}") as terminal:
            assert "✓" in terminal.run(doctor)


# --- tests of pages


@pytest.mark.slow
def test_the_tests_of_a_page_pass(tmp_path: Path) -> None:
    """As a test suite of its own."""
    tests = next(block.text for block in blocks("how-to/test-your-page.md") if block.language == "python")
    (tmp_path / "test_page.py").write_text(tests)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_page.py"]
    done = subprocess.run(run, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=100)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_sample_traffic_is_shown_to_its_end(tmp_path: Path) -> None:
    serve, sample, tail = Reader("how-to/test-your-page.md").next("sh").splitlines()
    with Terminal(tmp_path) as terminal:
        terminal.run(f"{serve}\n{sample.replace(':8000', f':{terminal.port}')}{RETRYING}")
        assert "Done: one more shop" in terminal.run(tail)


def test_the_sample_takes_the_speed_of_the_document() -> None:
    (speed,) = re.findall(r"`\?speed=(\d+)`", (DOCS / "how-to/test-your-page.md").read_text())
    operation = json.loads((DOCS / "openapi.json").read_text())["paths"]["/api/test/streaming/{plan_id}"]["post"]
    (limits,) = (each["schema"] for each in operation["parameters"] if each["name"] == "speed")
    assert limits["minimum"] <= int(speed) <= limits["maximum"]


# --- one log for all documents


def test_documents_do_not_publish_to_each_others_plans() -> None:
    """A reader who tries several has one log, in which the answers and keys of an earlier program are still there."""
    documents = (
        "tutorial.md",
        "AGENTS.md",
        "ENGINE.md",
        "ADAPTERS.md",
        "MODELS.md",
        *(f"how-to/{one}" for one in HOW_TO),
    )
    users: dict[str, set[str]] = {}
    for document in documents:
        programs = [block.text for block in blocks(document) if block.language == "python"]
        for plan_id in re.findall(r'"([a-z]+(?:-[a-z]+)*-\d+)"', "".join(programs)):
            users.setdefault(plan_id, set()).add(document)
    shared = {plan_id: found for plan_id, found in users.items() if len(found - {"how-to/test-your-page.md"}) > 1}
    assert shared == {}


# --- troubleshooting


MESSAGES: Final = {
    "requires the extra …: pip install 'plancast[…]'": " requires the extra {extra!r}: ",
    "is not a setting and is ignored": " is not a setting and is ignored",
    "Address already in use": os.strerror(errno.EADDRINUSE),
    "not listening on 0.0.0.0: without authentication, everyone …": ": without authentication, everyone",
    "it can't be reached: Connection refused": "it can't be reached",
    "set it to noeviction": "set it to noeviction",
    "requires SQLite 3.42 or newer": "database requires SQLite 3.42 or newer",
    "the log did not answer within": "the log did not answer within",
}
"""The messages in the table of docs/how-to/troubleshooting.md, as the code writes them."""


def test_every_message_in_the_table_is_one_of_the_code() -> None:
    table = (DOCS / "how-to/troubleshooting.md").read_text().split("fails\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == list(MESSAGES)
    code = "".join((ROOT / path).read_text() for path in MODULES)
    assert [text for text in MESSAGES.values() if text not in code and text != os.strerror(errno.EADDRINUSE)] == []


@pytest.mark.slow
def test_doctor_runs(tmp_path: Path) -> None:
    (command,) = (block.text for block in blocks("how-to/troubleshooting.md"))
    with blocking.Broadcaster(f"sqlite:///{tmp_path}/.plancast/plans.db") as broadcaster:
        broadcaster.send_plan_update("plan-1", title="Here")
    with Terminal(tmp_path) as terminal:
        assert "✓ file" in terminal.run(command)
