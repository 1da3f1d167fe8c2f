"""`plancast completion`: the candidates, and the scripts in real shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from broadcasters.blocking import Broadcaster
from hub.commands import COMMANDS
from hub.commands.completion import SCRIPTS, candidates
from tests.hub.commands.command_lines import CommandLines

BIN = Path(sys.executable).parent


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLines:
    log = f"sqlite:///{tmp_path}/plans.db"
    with Broadcaster(log) as broadcaster:
        broadcaster.send_plan_update("plan-1", title="Autumn")
        broadcaster.send_plan_update("team:2")
    return CommandLines(monkeypatch, capsys, PLANCAST_LOG=log)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([""], list(COMMANDS)),
        (["ta"], ["tail"]),
        (["--v"], ["--version"]),
        (["help", "re"], ["resume", "relay"]),
        (["tail", ""], ["team:2", "plan-1"]),
        (["tail", "pl"], ["plan-1"]),
        (["tail", "--json", "pl"], ["plan-1"]),
        (["tail", "--from", "now", "pl"], ["plan-1"]),
        (["tail", "plan-1", ""], []),
        (["tail", "--f"], ["--from"]),
        (["tail", "--from", ""], []),
        (["watch", "plan-1", "te"], ["team:2"]),
        (["plans", "--status", "c"], ["completed", "cancelled"]),
        (["publish", "p", "--type", "th"], ["thinking"]),
        (["serve", "--engine", ""], ["auto", "off", "embedded", "remote"]),
        (["serve", "--auth-a"], ["--auth-algorithm", "--auth-audience"]),
        (["export", "plan-1", "--format", "m"], ["markdown"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["tell", ""], []),
    ],
)
def test_candidates(words: list[str], names: list[str], lines: CommandLines) -> None:
    assert [name for name, _ in candidates(words)] == names


def test_without_a_log_there_are_no_plans(lines: CommandLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_LOG", "carrier-pigeon://home")
    assert candidates(["tail", ""]) == []


def test_candidates_have_descriptions(lines: CommandLines) -> None:
    out = lines.ok("plancast completion words -- tail p").out
    assert out == "plan-1\tAutumn\n"


def in_bash(*words: str) -> list[str]:
    """What bash offers for the last word."""
    typed = " ".join(f"'{word}'" for word in words)
    program = f"""
        PATH={BIN}:$PATH; source <(plancast completion bash)
        COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1}
        _plancast; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_in_bash(lines: CommandLines) -> None:
    assert in_bash("plancast", "wa") == ["watch"]
    assert in_bash("plancast", "tail", "") == ["team:2", "plan-1"]
    assert in_bash("plancast", "plans", "--status", "co") == ["completed"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_shells_can_parse_their_script(shell: str, lines: CommandLines) -> None:
    script = lines.ok(f"plancast completion {shell}").out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=script, text=True, timeout=60, check=True)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_in_zsh(lines: CommandLines) -> None:
    """_describe is replaced, since it works only while a line is edited."""
    program = f"""
        PATH={BIN}:$PATH; compdef() {{ }}; _describe() {{ print -rl -- "${{(@P)2}}" }}; _files() {{ print files }}
        source <(plancast completion zsh)
        words=(plancast tail ''); CURRENT=3; _plancast
        words=(plancast plans --status c); CURRENT=4; _plancast
    """
    done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "team\\:2:in_progress\nplan-1:Autumn\ncompleted\ncancelled\n"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_in_fish(lines: CommandLines) -> None:
    program = f"set -x PATH {BIN} $PATH; plancast completion fish | source; complete -C 'plancast tail p'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "plan-1\tAutumn\n"
