"""`plancast tail`: a plan's events from any position, live."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO

import pytest

from broadcasters import Broadcaster
from broadcasters.blocking import Broadcaster as Speaker
from broadcasters.checkpointing import take_checkpoint
from broadcasters.events import PlanUpdate, build
from broadcasters.log import log_of
from broadcasters.log.follow import Interrupted, Resumed
from broadcasters.position import Position
from hub.commands.following import JsonViewer, PlanFollower, TextViewer
from tests.servers.process import RedisServer

PLANCAST = str(Path(sys.executable).with_name("plancast"))
DEADLINE = 60.0
A_TERMINALS = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, "TERM": "xterm"}


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture
def speaker(log: str) -> Iterator[Speaker]:
    with Speaker(log) as broadcaster:
        yield broadcaster


def tail(*words: str, log: str) -> subprocess.CompletedProcess[str]:
    command = [PLANCAST, "tail", *words, "--log", log]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)


@contextmanager
def watching(*words: str, log: str, out: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """A tail in the background. Its streams are unbuffered, so that `select` sees all unread output."""
    hears_ctrl_c = ["env", "--default-signal=INT"]  # which it ignores if the tests run in the background
    command = [*hears_ctrl_c, PLANCAST, "tail", *words, "--log", log]
    with subprocess.Popen(command, bufsize=0, env=A_TERMINALS, stdout=out, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def places(lines: str) -> list[str]:
    said = [json.loads(line) for line in lines.strip().split("\n")] if lines else []
    return [f"{event['epoch']}:{event['offset']}" for event in said]


def line_of(stream: IO[bytes] | None) -> str:
    assert stream
    assert select([stream], [], [], DEADLINE)[0], "nothing was said"
    return stream.readline().decode()


def seen_on(screen: int, pattern: str, seen: str = "") -> str:
    """The terminal's output up to this text."""
    end = time.monotonic() + DEADLINE
    while not re.search(pattern, seen):
        assert select([screen], [], [], max(0.0, end - time.monotonic()))[0], f"no {pattern} in {seen!r}"
        seen += os.read(screen, 65536).decode()
    return seen


def test_it_continues_from_a_position(log: str, speaker: Speaker) -> None:
    for text in "abcd":
        speaker.send_agent_message("p", "Ana", text)
    every = places(tail("p", "--json", "--no-follow", log=log).stdout)
    assert [place.split(":")[1] for place in every] == ["1", "2", "3", "4"]
    assert places(tail("p", "--json", "--no-follow", "--from", every[1], log=log).stdout) == every[2:]
    assert places(tail("p", "--json", "--no-follow", "--from", every[3], log=log).stdout) == []
    assert places(tail("p", "--json", "--no-follow", "--from", "now", log=log).stdout) == []


def test_it_ends_with_its_plan(log: str, speaker: Speaker) -> None:
    speaker.send_plan_update("p", status="error")
    speaker.send_plan_update("p", title="Taken up again")
    speaker.send_plan_update("p", status="completed")
    speaker.send_agent_message("p", "Ana", "A last word.")
    done = tail("p", log=log)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("A last word.")


def test_the_end_of_a_step_does_not_end_the_tail(log: str, speaker: Speaker) -> None:
    speaker.send_step_update("p", "s", "completed")
    speaker.send_plan_update("p", "s", status="completed")
    with watching("p", "--json", log=log) as running:
        assert '"offset":2' in [line_of(running.stdout), line_of(running.stdout)][1]
        assert running.poll() is None
        speaker.send_plan_update("p", status="completed")
        assert '"offset":3' in line_of(running.stdout)
        assert running.wait(DEADLINE) == 0


def test_a_plan_without_events_is_waited_for(log: str, speaker: Speaker) -> None:
    done = tail("p", "--no-follow", log=log)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    with watching("p", "--json", log=log) as running:
        assert "p has no events yet" in line_of(running.stderr)
        speaker.send_plan_update("p", status="completed")
        assert '"offset":1' in line_of(running.stdout)
        assert running.wait(DEADLINE) == 0


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_plan_that_has_ended_is_not_waited_for(words: tuple[str, ...], log: str, speaker: Speaker) -> None:
    speaker.send_plan_update("p", title="Autumn")
    speaker.send_plan_update("p", status="error")
    last = speaker.send_agent_message("p", "Ana", "A last word.")
    for since in ("now", f"{last.epoch}:{last.offset}"):
        done = tail("p", "--from", since, *words, log=log)
        assert done.returncode == 0
        assert "p has ended (error)" in (done.stderr if words else done.stdout)
        assert "A last word." not in done.stdout
    done = tail("p", "--from", f"{last.epoch}:{last.offset - 1}", *words, log=log)
    assert done.returncode == 0
    assert "A last word." in done.stdout


def test_a_plan_that_continues_after_its_end_is_followed(log: str, speaker: Speaker) -> None:
    speaker.send_plan_update("p", status="error")
    speaker.send_plan_update("p", title="Taken up again")
    with watching("p", "--json", "--from", "now", log=log) as running:
        speaker_says_until_shown(speaker, running)
        assert running.poll() is None
        speaker.send_plan_update("p", status="completed")
        while '"completed"' not in line_of(running.stdout):
            pass
        assert running.wait(DEADLINE) == 0


def speaker_says_until_shown(speaker: Speaker, running: subprocess.Popen[bytes]) -> None:
    """The tail must be watching before events after "now" are appended."""
    assert running.stdout
    end = time.monotonic() + DEADLINE
    while not select([running.stdout], [], [], 0.2)[0]:
        assert time.monotonic() < end, "nothing was shown"
        speaker.send_agent_message("p", "Ana", "Still here.")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_ctrl_c_prints_the_command_that_continues(words: tuple[str, ...], log: str, speaker: Speaker) -> None:
    place = speaker.send_agent_message("p", "Ana", "Hi.")
    with watching("p", *words, log=log) as running:
        assert "Hi." in line_of(running.stdout)
        running.send_signal(signal.SIGINT)
        assert running.wait(DEADLINE) == 130
        assert running.stderr
        last = running.stderr.read().decode().strip()
    assert last.count("\n") == 0
    assert f"plancast tail p --from {place.epoch}:{place.offset}" in last
    assert f"--log {log}" in last
    assert ("--json" in last) == ("--json" in words)


def test_on_a_terminal_a_message_grows_and_has_colour(log: str, speaker: Speaker) -> None:
    screen, terminal = pty.openpty()
    with watching("p", log=log, out=terminal) as running:
        os.close(terminal)
        with speaker.message("p", "Ana") as message:
            message.write("Looking ")
            seen = seen_on(screen, r"Ana.*Looking")
            message.write("at it. ")
            seen = seen_on(screen, r"Looking at it\.", seen)
        speaker.send_plan_update("p", status="completed")
        seen = seen_on(screen, "completed.*\n", seen)
        assert running.wait(DEADLINE) == 0
    os.close(screen)
    assert re.search(r"\x1b\[38;5;\d+mAna", seen)
    assert seen.count("Ana") == 1


async def test_trimmed_events_are_summarised(log: str) -> None:
    async with Broadcaster(log) as broadcaster:
        await broadcaster.send_plan_update("p", title="Autumn")
        await broadcaster.send_step_update("p", "s", "completed", title="Collect")
        await broadcaster.send_agent_message("p", "Ana", "Found it.", "result")
        await broadcaster.send_tool_call("p", "Ana", "c", "sql", "completed", result="12 rows")
        await broadcaster.send_input_request("p", "r", "approval", "Send?", options=["yes", "no"])
        await broadcaster.send_input_response("p", "r", "yes", by="maria")
        await broadcaster.send_artifact("p", "a", "offer.pdf", "application/pdf", url="https://x/offer.pdf")
    plans = log_of(log)
    await plans.open()
    assert await take_checkpoint(plans, "p", window=0)
    assert (await plans.head("p")).floor == 7
    await plans.close()
    async with Broadcaster(log) as broadcaster:
        await broadcaster.send_plan_update("p", status="completed")
    said = tail("p", log=log).stdout
    for part in ("Autumn", "✓ Collect", "● Found it.", "sql → 12 rows", "approval needed: Send?  [yes | no]"):
        assert part in said
    for part in ("yes, says maria", "offer.pdf (application/pdf)", "- summary of the plan up to event 7"):
        assert part in said
    assert said.splitlines()[-1].endswith("✓ completed")
    snapshot, end = (json.loads(line) for line in tail("p", "--json", log=log).stdout.splitlines())
    assert (snapshot["type"], snapshot["plan_id"], snapshot["offset"]) == ("snapshot", "p", 7)
    assert snapshot["data"]["title"] == "Autumn"
    assert end["offset"] == 8


async def test_a_loss_of_events_is_reported(log: str) -> None:
    async with Broadcaster(log) as broadcaster:
        old = await broadcaster.send_plan_update("p", title="Lost")
    plans = log_of(log)
    await plans.open()
    assert await plans.delete("p")
    await plans.close()
    async with Broadcaster(log) as broadcaster:
        await broadcaster.send_plan_update("p", title="New")
    for words in (("--no-follow",), ("--no-follow", "--json")):
        done = tail("p", "--from", f"{old.epoch}:{old.offset}", *words, log=log)
        assert done.returncode == 0
        assert "the log was lost and started again" in done.stdout + done.stderr
        assert "New" in done.stdout


@pytest.mark.faults
def test_a_restart_of_the_server_is_reported_and_survived() -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server, Speaker(server.url) as speaker:
        speaker.send_agent_message("p", "Ana", "Before.")
        with watching("p", "--json", log=server.url) as running:
            assert "Before." in line_of(running.stdout)
            server.kill()
            assert "can't be reached" in line_of(running.stderr)
            server.start()
            assert "can be reached again" in line_of(running.stderr)
            speaker.send_agent_message("p", "Ana", "After.")
            assert "After." in line_of(running.stdout)
            speaker.send_plan_update("p", status="completed")
            assert "completed" in line_of(running.stdout)
            assert running.wait(DEADLINE) == 0


def test_interruptions_and_unreadable_events_are_reported() -> None:
    out, programs, notes = io.StringIO(), io.BytesIO(), io.StringIO()
    for viewer in (TextViewer(out), JsonViewer(programs, notes)):
        tail = PlanFollower("p", "start", viewer, follows=True)
        tail.take(Interrupted())
        tail.take(Resumed())
    assert out.getvalue().splitlines() == ["- the log can't be reached; retrying", "- the log can be reached again"]
    assert notes.getvalue().splitlines() == [
        "plancast: the log can't be reached; retrying",
        "plancast: the log can be reached again",
    ]
    viewer = TextViewer(out)
    viewer.event(Position("e", 7), b"{}", None)
    viewer.event(Position("e", 8), b"{}", build(PlanUpdate, {"plan_id": "p", "status": "completed"}))
    assert "can't show event 7" in out.getvalue()
    assert out.getvalue().splitlines()[-1].endswith(" completed")
    assert programs.getvalue() == b""
