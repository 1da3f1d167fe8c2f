"""The blocks of code in documents, and terminals that run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tests.servers.process import free_port

__all__ = ["DOCS", "Block", "Reader", "Terminal", "blocks", "environment"]

DOCS: Final = Path(__file__).parents[2] / "docs"
DONE: Final = "__done__"


class Block(NamedTuple):
    """A fenced block of code: its language and text."""

    language: str
    text: str


def blocks(document: str) -> list[Block]:
    """The blocks of a document below docs/, in their order."""
    found = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```$", (DOCS / document).read_text(), re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


class Reader:
    """Takes the blocks of a document one after the other, so that a test can't miss one."""

    def __init__(self, document: str) -> None:
        self._blocks = blocks(document)

    def next(self, language: str) -> str:
        """The text of the next block, which must be in this language."""
        found, text = self._blocks.pop(0)
        assert found == language, text
        return text

    def __bool__(self) -> bool:
        """Whether blocks are left."""
        return bool(self._blocks)


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment with this checkout's `python` and `plancast`, and a home directory of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**clean, "HOME": str(home), "PATH": path, "USER": "ada", "LOGNAME": "ada", **more}


class Terminal:
    """A shell in which the commands of a document run, as a reader would type them."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.port = free_port()
        env = environment(folder, PLANCAST_PORT=str(self.port), **more)
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._shell = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=env, text=True, start_new_session=True, **pipes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def run(self, commands: str) -> str:
        """Run these lines, each of which must succeed, and return what they print."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        for line in commands.splitlines():
            self._shell.stdin.write(f"{line}\necho {DONE}$?\n")
        self._shell.stdin.flush()
        printed, codes = "", list[str]()
        while len(codes) < len(commands.splitlines()):
            line = self._shell.stdout.readline()
            text, done, code = line.partition(DONE)
            printed += text
            codes += [code.strip()] if done else []
            assert line, printed
        assert set(codes) == {"0"}, printed
        return printed
