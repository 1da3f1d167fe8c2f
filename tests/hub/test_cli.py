"""The `plancast` command as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broadcasters.blocking import Broadcaster

PLANCAST = str(Path(sys.executable).with_name("plancast"))


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture
def speaker(log: str) -> Iterator[Broadcaster]:
    with Broadcaster(log) as broadcaster:
        yield broadcaster


def plancast(*words: str, log: str, said: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PLANCAST, *words],
        env={**os.environ, "PLANCAST_LOG": log, "TZ": "UTC", **env},
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
    )


def told(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """Its output, if the exit code is the expected one: one line of error, or none."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code == 0:
        assert done.stderr == ""
        return done.stdout
    assert done.stderr.count("\n") == 1
    return done.stderr


# --- misuse


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["publish"], "PLAN_ID"),
        (["publish", "p"], "nothing to publish"),
        (["publish", "p", "hi", "--type", "shouting"], "shouting"),
        (["publish", "p", "-", "--key", "k"], "--key"),
        (["tail"], "PLAN_ID"),
        (["tail", "p", "--from", "yesterday"], "yesterday"),
        (["tail", "p", "--from", "abc:-1"], "abc:-1"),
        (["tail", "a plan"], "plan_id"),
        (["publish", "a plan", "hi"], "plan_id"),
        (["publish", "~plancast.mine", "hi"], "plan_id"),
        (["publish", "p", "hi", "--label", "~plancast.tickets"], "labels"),
        (["publish", "p", "--progress", "101"], "--progress: expected a number from 0 to 100; got '101'"),
        (["publish", "p", "--progress", "nan"], "--progress: expected a number from 0 to 100; got 'nan'"),
        (["completion", "tcsh"], "expected one of bash, zsh, fish; got 'tcsh'"),
        (["publish", "p", "--step", "s", "--status", "cancelled", "--title", "x" * 1025], "title"),
        (["plans", "--limit", "0"], "--limit"),
        (["plans", "--limit", "many"], "--limit"),
    ],
)
def test_misuse_is_reported_in_one_line(words: list[str], says: str, log: str) -> None:
    assert says in told(plancast(*words, log=log), code=2)


@pytest.mark.parametrize("words", [("tail", "p"), ("plans",), ("publish", "p", "hi"), ("watch",)])
@pytest.mark.parametrize("log", ["carrier-pigeon://home", "sqlite:////proc/nowhere/plans.db"])
def test_an_unusable_log_is_reported_in_one_line(words: tuple[str, ...], log: str) -> None:
    told(plancast(*words, log=log), code=1)


# --- publish and plans


def test_publish_prints_the_position(log: str) -> None:
    first = told(plancast("publish", "p", "Hello.", "--agent", "Ana", log=log))
    again = told(plancast("publish", "p", "Hello.", "--agent", "Ana", "--json", log=log))
    epoch, offset = first.strip().split(":")
    assert offset == "1"
    assert json.loads(again) == {"plan_id": "p", "epoch": epoch, "offset": 2}


def test_publish_with_a_key_is_stored_once(log: str) -> None:
    first = told(plancast("publish", "p", "Hello.", "--key", "greeting", log=log))
    assert told(plancast("publish", "p", "Hello.", "--key", "greeting", log=log)) == first


def test_publish_stores_the_given_event(log: str) -> None:
    for words in (
        ["Looking.", "--agent", "Ana", "--type", "action", "--step", "s"],
        ["Hi."],
        ["--title", "Autumn", "--owner", "maria", "--label", "shop", "--label", "test"],
        ["Half.", "--step", "s", "--progress", "50", "--title", "Collect"],
        ["Done.", "--status", "completed"],
    ):
        told(plancast("publish", "p", *words, log=log))
    events = [json.loads(line) for line in told(plancast("tail", "p", "--json", log=log)).splitlines()]
    for event in events:
        event["data"].pop("timestamp")
        assert event["data"].pop("plan_id") == "p"
    assert [(event["offset"], event["type"], event["data"]) for event in events] == [
        (1, "agent_message", {"agent_name": "Ana", "content": "Looking.", "message_type": "action", "step_id": "s"}),
        (2, "agent_message", {"agent_name": "terminal", "content": "Hi.", "message_type": "thinking"}),
        (3, "plan_update", {"status": "in_progress", "title": "Autumn", "owner": "maria", "labels": ["shop", "test"]}),
        (
            4,
            "step_update",
            {"step_id": "s", "status": "in_progress", "content": "Half.", "title": "Collect", "progress": 50.0},
        ),
        (5, "plan_update", {"status": "completed", "content": "Done."}),
    ]


def test_a_plan_is_copied_by_a_pipe(log: str, speaker: Broadcaster) -> None:
    for n in range(300):
        speaker.send_agent_message("p", "Ana", f"Line {n} “quoted”\u2028")
    speaker.send_plan_update("p", status="completed")
    original = told(plancast("tail", "p", "--json", log=log))
    assert told(plancast("publish", "copy", "-", log=log, said=original)).count("\n") == 301
    copy = told(plancast("tail", "copy", "--json", log=log))

    def contents(lines: str) -> list[object]:
        return [json.loads(line)["data"].get("content") for line in lines.strip().split("\n")]

    assert len(contents(copy)) == 301
    assert contents(copy) == contents(original)


@pytest.mark.parametrize(
    "wrong",
    [
        "nonsense",
        "[]",
        '{"type":"gossip","data":{}}',
        '{"type":["plan_update"],"data":{}}',
        '{"type":"plan_update","data":{"status":"fine"}}',
    ],
)
def test_events_before_an_invalid_line_are_published(wrong: str, log: str) -> None:
    right = '{"type":"agent_message","data":{"agent_name":"Ana","content":"Hi."}}'
    done = plancast("publish", "p", "-", log=log, said=f"{right}\n\n{wrong}\n{right}\n")
    assert "line 3" in told(done, code=2)
    assert done.stdout.count("\n") == 1


def test_lines_are_published_as_they_arrive(log: str) -> None:
    line = b'{"type":"agent_message","data":{"agent_name":"Ana","content":"Hi."}}\n'
    command = [PLANCAST, "publish", "p", "-", "--log", log]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin
        assert running.stdout
        for offset in (b"1", b"2"):
            running.stdin.write(line)
            running.stdin.flush()
            assert running.stdout.readline().strip().endswith(b":" + offset)
        running.stdin.close()
        assert running.wait(timeout=30) == 0


def test_plans_are_listed_most_recently_active_first(log: str, speaker: Broadcaster) -> None:
    speaker.send_plan_update("one", title="First \x1b[2J", owner="maria", labels=["shop"], progress=40)
    speaker.send_plan_update("two", title="Second", status="completed")
    speaker.send_plan_update("three", owner="maria")
    table = told(plancast("plans", log=log)).splitlines()
    assert [line.split()[0] for line in table] == ["PLAN", "three", "two", "one"]
    assert "40 %" in table[3]
    assert "\x1b" not in table[3]

    def listed(*words: str) -> list[str]:
        return [json.loads(line)["plan_id"] for line in told(plancast("plans", "--json", *words, log=log)).splitlines()]

    assert listed() == ["three", "two", "one"]
    assert listed("--owner", "maria") == ["three", "one"]
    assert listed("--label", "shop") == ["one"]
    assert listed("--status", "completed") == ["two"]
    assert listed("--status", "in_progress", "--limit", "1") == ["three"]
    assert listed("--owner", "nobody") == []


def test_reserved_plans_are_not_listed(log: str, speaker: Broadcaster) -> None:
    for plan_id in ("one", "~plancast.tickets.000000000000", "two", "~plancast.probe.1"):
        speaker.send_plan_update(plan_id)
    for words in ((), ("--limit", "2"), ("--status", "in_progress")):
        lines = told(plancast("plans", "--json", *words, log=log)).splitlines()
        assert [json.loads(line)["plan_id"] for line in lines] == ["two", "one"]


def test_events_with_a_reserved_label_are_not_copied(log: str) -> None:
    line = json.dumps({"type": "plan_update", "data": {"labels": ["~plancast.tickets"]}})
    assert "line 1, labels" in told(plancast("publish", "p", "-", log=log, said=line), code=2)


def test_an_empty_list_of_plans_has_a_hint(log: str) -> None:
    done = plancast("plans", log=log)
    assert (done.returncode, done.stdout) == (0, "")
    assert "No plans" in done.stderr


def test_a_closed_output_is_no_error(log: str, speaker: Broadcaster) -> None:
    speaker.send_plan_update("p", title="Autumn")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([PLANCAST, "plans", "--log", log], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
