"""`plancast start`, `answer`, `cancel`, `pause`, `resume` and `rm`: on a log and an engine's database, and through a hub."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadcasters import Broadcaster, blocking
from broadcasters.snapshot import InputState
from hub.commands.answer import answer_to
from hub.commands.plan_access import user_name
from tests.hub.commands.command_lines import CommandLines
from tests.hub.hubs import until
from tests.servers.hub import HubServer

TEMPLATES = "tests.hub.commands.templates"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plans.db"


@pytest.fixture
def direct(
    log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLines:
    """Commands on a log and an engine's database that no worker runs."""
    env = {
        "PLANCAST_LOG": log,
        "PLANCAST_ENGINE_DB": f"sqlite:///{tmp_path}/engine.db",
        "PLANCAST_TEMPLATES": TEMPLATES,
    }
    return CommandLines(monkeypatch, capsys, **env)


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    with tempfile.TemporaryDirectory(prefix="plancast-cli-") as directory:
        log = f"sqlite:///{directory}/plans.db"
        with HubServer(log, engine="embedded", templates=TEMPLATES, logs_level="warning") as hub:
            yield hub


@pytest.fixture
def through(server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLines:
    """Commands through a hub, which runs the plans."""
    return CommandLines(monkeypatch, capsys, PLANCAST_LOG=server.url)


# --- through a hub


def test_a_plan_is_started_answered_and_followed_through_a_hub(through: CommandLines, server: HubServer) -> None:
    started = through.ok("plancast start greeting name=Ada times=2 loud=true --id ada-1 --json").objects
    assert started == [{"plan_id": "ada-1", "template": "greeting", "page": f"{server.url}/plan/ada-1"}]
    while "approval needed" not in (out := through.ok("plancast tail ada-1 --no-follow").out):
        assert "error" not in out
    assert through.ok("plancast answer ada-1 yes").out == "Greet Ada? → yes\n"
    followed = through.ok("plancast tail ada-1 --exit-status").out
    assert "Hello, Hello Ada!" in followed
    assert "has ended (completed)" in through.fails("plancast answer ada-1 yes")


def test_signals_through_a_hub_and_the_exit_status_of_a_cancelled_plan(through: CommandLines) -> None:
    plan_id = through.ok("plancast start nothing").out.strip()
    assert plan_id.startswith("plan-")
    for signal in ("pause", "resume", "cancel"):
        done = through.ok(f"plancast {signal} {plan_id} --json")
        assert done.objects == [{"plan_id": plan_id, "signal": signal}]
    done = through.run(f"plancast tail {plan_id} --exit-status")
    assert done.code == 1
    assert "cancelled" in done.out
    assert through.run(f"plancast tail {plan_id}").code == 0
    assert "has ended" in through.fails(f"plancast cancel {plan_id}")


def test_start_follows_the_plan_to_its_end(through: CommandLines) -> None:
    """The same plan_id is the same plan, so that a second start only follows."""
    through.ok("plancast start nothing --id followed")
    through.ok("plancast cancel followed")
    done = through.run("plancast start nothing --id followed --follow --exit-status")
    assert done.code == 1
    assert done.out.startswith("followed\n")
    assert (
        through.ok("plancast start nothing --id followed --follow --json").objects[-1]["data"]["status"] == "cancelled"
    )


def test_templates_are_listed_through_a_hub(through: CommandLines) -> None:
    table = through.ok("plancast start").out.splitlines()
    assert table[0].split() == ["TEMPLATE", "INPUT", "ABOUT"]
    assert table[1].split(None, 4)[:4] == ["greeting", "name=…", "[times=…]", "[loud=…]"]
    assert [one["name"] for one in through.ok("plancast start --json").objects] == ["greeting", "nothing"]


def test_a_hub_refuses_in_one_line(through: CommandLines) -> None:
    assert "no engine on this database runs plan 'none'" in through.fails("plancast cancel none")
    assert "input: missing name; for example: plancast start greeting name=…" in through.fails(
        "plancast start greeting", 2
    )
    assert "must be whole numbers" not in through.fails("plancast start greeting name=Ada times=-1.5", 2)


def test_plans_are_deleted_through_a_hub(through: CommandLines) -> None:
    through.ok("plancast publish short 'Hello.'")
    assert through.ok("plancast rm short --yes").out == "short: deleted\n"
    assert through.fails("plancast tail short --no-follow").startswith("plancast: there is no plan 'short'")


# --- on the log and the database


def test_a_plan_is_queued_and_cancelled_without_a_worker(direct: CommandLines) -> None:
    assert direct.ok("plancast start greeting Ada --id ada-1").out == "ada-1\n"
    listed = direct.ok("plancast plans --json").objects
    assert [(one["plan_id"], one["status"], one["owner"]) for one in listed] == [("ada-1", "pending", user_name())]
    assert direct.ok("plancast cancel ada-1").out == "ada-1: cancel requested\n"
    assert direct.run("plancast tail ada-1 --exit-status").code == 1
    assert direct.fails("plancast resume ada-1") == "plancast: plan 'ada-1' has ended (cancelled)"
    assert direct.fails("plancast pause ada-2") == "plancast: no engine on this database runs plan 'ada-2'"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("start greting name=Ada", "unknown template 'greting'; did you mean greeting? (plancast start lists them)"),
        ("start xyz", "unknown template 'xyz'; expected one of greeting, nothing (plancast start lists them)"),
        ("start greeting nmae=Ada", "input: the template has no input 'nmae'; did you mean name?"),
        ("start greeting name=Ada times=two", "times: expected JSON of type integer; got 'two'"),
        ("start greeting Ada Grace", "input: expected KEY=VALUE; got 'Grace'"),
        ("start greeting --input '[]'", "input: expected a JSON object; got '[]'"),
        ("start greeting --input '{'", "input: expected a JSON object; "),
        ("start greeting name=Ada --input '{}'", "--input: can't be combined with KEY=VALUE or -"),
        (
            "start greeting",
            "input: missing name; for example: plancast start greeting name=… (plancast start lists all inputs)",
        ),
        ("start greeting Ada --id 'an id'", "plan_id: expected 1 to 128"),
        ("start greeting Ada --exit-status", "--exit-status requires --follow (see plancast start --help)"),
    ],
)
def test_a_start_that_is_refused(line: str, problem: str, direct: CommandLines) -> None:
    done = direct.run(f"plancast {line}")
    assert done.code in (1, 2)
    assert problem in done.err
    assert direct.ok("plancast plans --json").objects == []


@pytest.mark.parametrize(
    ("line", "stdin"),
    [
        ("start greeting name='Ada Lovelace' times=2", None),
        ("start greeting 'Ada Lovelace' times=2", None),
        ("""start greeting --input '{"name": "Ada Lovelace", "times": 2}'""", None),
        ("start greeting -", '{"name": "Ada Lovelace", "times": 2}'),
    ],
)
def test_input_is_given_in_several_ways(line: str, stdin: str | None, direct: CommandLines) -> None:
    plan_id = direct.ok(f"plancast {line}", stdin=stdin).out.strip()
    [plan] = direct.ok("plancast plans --json").objects
    assert (plan["plan_id"], plan["title"]) == (plan_id, "2 times Ada Lovelace")


@pytest.fixture
def plain(direct: CommandLines, monkeypatch: pytest.MonkeyPatch) -> CommandLines:
    """Commands of an installation without the engine."""
    monkeypatch.delitem(sys.modules, "plan_engine", raising=False)
    monkeypatch.delitem(sys.modules, "plan_engine.engine", raising=False)
    monkeypatch.setitem(sys.modules, "dbos", None)
    return direct


def test_without_the_extra_the_package_to_install_is_named(plain: CommandLines) -> None:
    assert "pip install 'plancast[engine]'" in plain.fails("plancast start greeting Ada")


@pytest.mark.parametrize("signal", ["cancel", "pause", "resume"])
def test_a_signal_without_the_extra_reports_what_is_known_of_the_plan(signal: str, plain: CommandLines) -> None:
    assert "there is no plan 'p'" in plain.fails(f"plancast {signal} p")
    plain.ok("plancast publish p 'Looking…'")
    problem = plain.fails(f"plancast {signal} p")
    assert problem.startswith(f"plancast: can't {signal} plan 'p': no agent works on it now; ")
    assert problem.endswith("--log http://…, or install the engine (pip install 'plancast[engine]')")
    plain.ok("plancast publish p --status completed")
    assert plain.fails(f"plancast {signal} p") == "plancast: plan 'p' has ended (completed)"


async def test_a_signal_that_an_agent_does_not_obey(direct: CommandLines, log: str) -> None:
    async with Broadcaster(log) as agent, agent.working("p", name="Ana", obeys=["cancel"]):
        problem = await asyncio.to_thread(direct.fails, "plancast pause p")
    assert problem == "plancast: can't pause plan 'p': Ana, which works on it, obeys only cancel"


async def test_a_program_without_an_engine_is_signalled(direct: CommandLines, log: str) -> None:
    """Through the log, without opening an engine's database."""
    async with Broadcaster(log) as agent, agent.working("p", obeys=["cancel", "pause"]) as work:
        assert (await asyncio.to_thread(direct.ok, "plancast pause p")).out == "p: pause requested\n"
        await until(lambda: work.paused)
        await asyncio.to_thread(direct.ok, "plancast cancel p")
        await work.checkpoint()  # waits while the plan is paused, then raises PlanCancelled
        raise AssertionError("the plan was cancelled")
    last = (await asyncio.to_thread(direct.ok, "plancast tail p --json --no-follow")).objects[-2]["data"]
    assert (last["status"], last["content"]) == ("cancelled", f"Stopped by {user_name()}")


# --- answers


@pytest.fixture
def asking(log: str) -> Iterator[blocking.Broadcaster]:
    with blocking.Broadcaster(log) as broadcaster:
        yield broadcaster


def test_a_question_is_answered_once(direct: CommandLines, asking: blocking.Broadcaster) -> None:
    asking.send_input_request("p", "ask-1", "approval", "Send it?", options=["yes", "no"])
    assert "expected one of yes, no; got 'maybe'" in direct.fails("plancast answer p maybe")
    [given] = direct.ok("plancast answer p yes --json").objects
    assert (given["request_id"], given["answer"], given["offset"]) == ("ask-1", "yes", 2)
    assert direct.fails("plancast answer p yes") == "plancast: p has no open question"
    assert direct.ok("plancast answer p ask-1 yes --json").objects == [given]
    assert direct.fails("plancast answer p ask-1 no") == f"plancast: {user_name()} answered first"
    [_, answered] = direct.ok("plancast tail p --no-follow --json").objects
    assert (answered["data"]["answer"], answered["data"]["by"]) == ("yes", user_name())


def test_of_several_questions_one_is_named(direct: CommandLines, asking: blocking.Broadcaster) -> None:
    asking.send_input_request("p", "budget", "clarification", "How much?", schema={"type": "integer", "minimum": 1})
    asking.send_input_request("p", "dates", "clarification", "When?")
    assert direct.fails("plancast answer p 5") == "plancast: p asks 2 questions; name one: budget, dates"
    problem = direct.fails("plancast answer p bugdet 5")
    assert problem == "plancast: p has asked no question 'bugdet'; did you mean budget?"
    assert "must be a JSON integer; got 'lots'" in direct.fails("plancast answer p budget lots")
    assert "must be at least 1" in direct.fails("plancast answer p budget 0")
    assert direct.ok("plancast answer p budget 5").out == "How much? → 5\n"
    assert direct.ok("plancast answer p 'in May'").out == "When? → in May\n"
    assert "there is no plan 'q'" in direct.fails("plancast answer q 5")


@pytest.mark.parametrize(
    ("request_fields", "text", "answer"),
    [
        ({"kind": "approval"}, "yes", True),
        ({"kind": "approval"}, "Declined", False),
        ({"kind": "approval", "options": ("send", "drop")}, "Send", "send"),
        ({"kind": "choice", "options": (1, 2)}, "2", 2),
        ({"kind": "choice", "options": ({"value": {"a": 1}, "label": "Blue"},)}, "blue", {"a": 1}),
        ({"kind": "clarification", "options": ("a",)}, "b", "b"),
        ({"kind": "clarification"}, "5", "5"),
        ({"kind": "clarification", "schema": {"type": "string"}}, "5", "5"),
        ({"kind": "clarification", "schema": {"type": ["string", "null"]}}, "5", "5"),
        ({"kind": "clarification", "schema": {"type": "number"}}, "5", 5),
        ({"kind": "clarification", "schema": {"type": "object"}}, '{"a":1}', {"a": 1}),
        ({"kind": "approval", "schema": {"type": "boolean"}}, "true", True),
    ],
)
def test_what_a_text_answers(request_fields: dict[str, Any], text: str, answer: object) -> None:
    request = InputState.model_validate(
        {"request_id": "r", "offset": 1, "at": "2026-01-01T00:00:00.000Z", "prompt": "?", **request_fields}
    )
    assert answer_to(request, text) == answer
    assert type(answer_to(request, text)) is type(answer)


# --- rm


def test_plans_are_deleted(direct: CommandLines) -> None:
    for plan_id in ("a", "b", "c"):
        direct.ok(f"plancast publish {plan_id} Hello")
    assert direct.fails("plancast rm a", 2, stdin="y\n").endswith("add --yes (see plancast rm --help)")
    done = direct.run("plancast rm a none b --yes --json")
    assert (done.code, done.objects) == (1, [{"plan_id": each, "deleted": True} for each in ("a", "b")])
    assert done.err == "plancast: there is no plan 'none'\n"
    assert [one["plan_id"] for one in direct.ok("plancast plans --json").objects] == ["c"]


@pytest.mark.parametrize(("reply", "left"), [("y\n", []), ("YES\n", []), ("n\n", ["a", "b"]), ("", ["a", "b"])])
def test_on_a_terminal_rm_asks(reply: str, left: list[str], direct: CommandLines) -> None:
    for plan_id in ("a", "b"):
        direct.ok(f"plancast publish {plan_id} Hello")
    done = direct.run("plancast rm a b", typed=reply)
    assert "Delete 2 plans (a, b) with all events? [y/N]" in done.err
    assert done.code == (1 if left else 0)
    assert sorted(one["plan_id"] for one in direct.ok("plancast plans --json").objects) == left
