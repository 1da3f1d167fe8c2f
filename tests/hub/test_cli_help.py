"""Help, errors and exit codes of the command line, and what it loads."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from broadcasters.errors import PlancastError
from hub.cli import main
from hub.commands import COMMANDS, GROUPS, command
from hub.commands.parser import parser_of

ROOT = Path(__file__).parents[2]
USES_A_HUB = [name for name in COMMANDS if "a hub's http" in parser_of(name).format_help()]


class Run:
    """The exit code and the outputs of a command line, run in this process."""

    def __init__(self, line: str, capsys: pytest.CaptureFixture[str]) -> None:
        try:
            self.code: object = main(shlex.split(line)[1:])
        except SystemExit as end:
            self.code = end.code
        self.out, self.err = capsys.readouterr()


@pytest.fixture(autouse=True)
def a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


# --- help


@pytest.mark.parametrize("line", ["plancast", "plancast --help", "plancast -h", "plancast help"])
def test_bare_it_lists_the_commands_in_groups(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(line, capsys)
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("usage: plancast COMMAND")
    for group, commands in GROUPS.items():
        assert f"\n{group}:\n" in run.out
        for name, summary in commands.items():
            assert re.search(rf"^  {name} +{re.escape(summary)}$", run.out, re.MULTILINE)
    assert max(map(len, run.out.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("line", ["plancast {} --help", "plancast {} -h", "plancast help {}"])
def test_every_command_has_a_description_and_examples(name: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(line.format(name), capsys)
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith(f"usage: plancast {name}")
    assert command(name).ABOUT in run.out
    assert f"examples:\n  plancast {name}" in run.out


WITHOUT_JSON = {"completion": "prints a script for a shell", "mcp": "speaks JSON-RPC on standard output"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json(name: str) -> None:
    options = parser_of(name).format_help()
    assert ("--json " in options) is (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_can_be_parsed(name: str) -> None:
    for line in command(name).EXAMPLES.splitlines():
        for typed in re.split(r"[|&]+", line):
            words = shlex.split(typed)
            if words[0] == "plancast":
                parser_of(words[1]).read(words[2:])
    assert f"plancast {name}" in command(name).EXAMPLES


@pytest.mark.parametrize("document", ["README.md", "docs/OPERATIONS.md"])
def test_command_lines_of_the_documents_can_be_parsed(document: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("plancast ")]
    assert len(lines) > 4
    for line in lines:
        words = shlex.split(line)
        parser_of(words[1]).read(words[2:])


@pytest.mark.parametrize("name", ["publish", "tail", "plans"])
def test_help_lists_the_logs_a_command_can_use(name: str) -> None:
    assert name in USES_A_HUB
    assert parser_of(name).format_help().count("PLANCAST_TOKEN") == 1


def test_flags_are_in_groups_and_a_long_usage_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    text = Run("plancast serve --help", capsys).out
    assert text.startswith("usage: plancast serve [options]\n")
    for heading in ("address", "log and engine", "who may connect", "limits", "log messages"):
        assert f"\n{heading}:\n" in text


# --- errors and exit codes

STATUSES = "expected one of pending, in_progress, waiting, completed, error, cancelled; got "


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("plancast tial", "unknown command 'tial'; did you mean tail? (see plancast --help)"),
        ("plancast ls", "unknown command 'ls'; did you mean plans? (see plancast --help)"),
        ("plancast logs p", "unknown command 'logs'; did you mean tail? (see plancast --help)"),
        ("plancast xyzzy", "unknown command 'xyzzy' (see plancast --help)"),
        ("plancast help tial", "unknown command 'tial'; did you mean tail? (see plancast --help)"),
        (
            "plancast --verson",
            "unknown option --verson before the command; did you mean --version? (see plancast --help)",
        ),
        ("plancast --log x tail p", "unknown option --log before the command (see plancast --help)"),
        ("plancast serve --prot 1", "unknown option --prot; did you mean --port? (see plancast serve --help)"),
        ("plancast serve --prot=1", "unknown option --prot; did you mean --port? (see plancast serve --help)"),
        ("plancast tail --form now", "unknown option --form; did you mean --from? (see plancast tail --help)"),
        ("plancast tail p -x", "unknown option -x (see plancast tail --help)"),
        ("plancast tail p --no-foll", "unknown option --no-foll; did you mean --no-follow? (see plancast tail --help)"),
        ("plancast tail", "missing PLAN_ID; for example: plancast tail plan-1 (see plancast tail --help)"),
        ("plancast tail --json", "missing PLAN_ID (see plancast tail --help)"),
        ("plancast relay", "missing TEXT; for example: plancast relay --ag-ui http://127.0.0.1:8000/agent"),
        ("plancast publish", "missing PLAN_ID; for example: plancast publish plan-1"),
        ("plancast tail p q", "unexpected argument 'q' (see plancast tail --help)"),
        ("plancast tail p --from", "--from: expected a value (see plancast tail --help)"),
        (
            "plancast serve --port x",
            "--port: expected a whole number from 0 to 65,535; got 'x' (see plancast serve --help)",
        ),
        ("plancast serve --templates 'no such'", "--templates: expected names of Python modules; got 'no such'"),
        (
            "plancast serve --engine embeded",
            "--engine: expected one of auto, off, embedded, remote; got 'embeded'; did you mean embedded?",
        ),
        ("plancast plans --status done", f"--status: {STATUSES}'done'; did you mean completed?"),
        ("plancast plans --status running", f"--status: {STATUSES}'running'; did you mean in_progress?"),
        ("plancast plans --status failed", f"--status: {STATUSES}'failed'; did you mean error?"),
        ("plancast plans --status canceled", f"--status: {STATUSES}'canceled'; did you mean cancelled?"),
        ("plancast plans --status xyzzy", f"--status: {STATUSES}'xyzzy' (see plancast plans --help)"),
        ("plancast publish p hi --type resutl", "got 'resutl'; did you mean result? (see plancast publish --help)"),
        (
            "plancast relay hi",
            "missing one of --ag-ui, --ai-sdk, --langgraph (see plancast relay --help)",
        ),
    ],
)
def test_misuse(line: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what was wrong and what was meant, and points to the command's own help."""
    run = Run(line, capsys)
    assert (run.code, run.out) == (2, "")
    assert problem in run.err
    assert re.fullmatch(r"plancast( \w+)?: .* \(see plancast( \w+)? --help\)\n", run.err)


REQUIRED = {
    "tail": "PLAN_ID",
    "export": "PLAN_ID",
    "answer": "PLAN_ID, VALUE",
    "cancel": "PLAN_ID",
    "pause": "PLAN_ID",
    "resume": "PLAN_ID",
    "rm": "PLAN_ID",
    "publish": "PLAN_ID",
    "relay": "TEXT",
    "token": "SUBJECT, --plan",
    "completion": "bash|zsh|fish",
}
"""The commands that do nothing without arguments, and what they miss."""


@pytest.mark.parametrize(("name", "missing"), REQUIRED.items())
def test_without_its_arguments_a_command_shows_an_example(
    name: str, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(f"plancast {name}", capsys)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith(f"plancast {name}: missing {missing}; for example: plancast {name} ")
    assert run.err.endswith(f" (see plancast {name} --help)\n")
    assert run.err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(f"plancast {name} --xyzzy", capsys)
    assert (run.code, run.out) == (2, "")
    assert run.err == f"plancast {name}: unknown option --xyzzy (see plancast {name} --help)\n"


USES_THE_LOG = {
    "tail": "p",
    "watch": "p",
    "plans": "",
    "export": "p",
    "start": "exhibition theme=x",
    "answer": "p yes",
    "cancel": "p",
    "pause": "p",
    "resume": "p",
    "rm": "p --yes",
    "publish": "p hi",
    "relay": "--ag-ui http://127.0.0.1:9 hi",
    "doctor": "",
    "serve": "--port 0",
    "worker": "",
}


@pytest.mark.parametrize(("name", "words"), USES_THE_LOG.items())
def test_every_command_fails_with_1_where_there_is_no_such_log(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says what was expected."""
    monkeypatch.setenv("PLANCAST_LOG", "carrier-pigeon://home")
    run = Run(f"plancast {name} {words}", capsys)
    assert run.code == 1
    said = run.out if name == "doctor" else run.err
    assert "expected" in said
    assert "carrier-pigeon" in said
    assert name == "doctor" or run.err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "warning"),
    [
        ("PLANCAST_LGO", "PLANCAST_LGO is not a setting and is ignored; did you mean PLANCAST_LOG?"),
        ("PLANCAST_XYZZY_QUUX", "PLANCAST_XYZZY_QUUX is not a setting and is ignored"),
        ("PLANCAST_PORT", None),
        ("PLANCAST_RELAY_TOKEN", None),
    ],
)
@pytest.mark.parametrize("line", ["plancast version", "plancast --version"])
def test_unknown_variables_are_warned_of(
    line: str,
    variable: str,
    warning: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, "1")
    run = Run(line, capsys)
    assert run.code == 0
    assert run.out.startswith("plancast 0.")
    assert run.err == (f"plancast: {warning}\n" if warning else "")


def test_after_two_dashes_words_are_no_options() -> None:
    args = parser_of("publish").read(["p", "--", "--loud"])
    assert args.text == "--loud"


def test_options_may_stand_anywhere() -> None:
    args = parser_of("publish").read(["--agent", "Ana", "p", "--json", "hi"])
    assert (args.plan_id, args.text, args.agent, args.json) == ("p", "hi", "Ana", True)


def test_of_several_errors_at_once_the_first_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise ExceptionGroup("several", [PlancastError("the log is gone"), ValueError("x")])

    monkeypatch.setattr("hub.commands.version.run", fail)
    assert main(["version"]) == 1
    assert capsys.readouterr().err == "plancast: the log is gone\n"


# --- what it loads

HEAVY = {"pydantic", "httpx", "redis", "sqlite3", "asyncio", "fastapi", "sqlalchemy", "hub.config.settings"}


def loaded(*words: str) -> set[str]:
    """The modules that a command line loads in a process of its own."""
    program = f"import sys; from hub.cli import main; main({words!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("version",), ("--version",), ("--help",), ("tial",)])
def test_version_help_and_errors_load_little(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """`plancast version` costs less than 100 ms of processor time. The test compares what it loads, not the time."""
    monkeypatch.delenv("PLANCAST_LOG", raising=False)
    assert HEAVY & loaded(*words) == set()
