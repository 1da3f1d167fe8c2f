"""`plancast demo` as a process, from any installation.

with running_demo(home, free_port()) as demo:
    printed = demo.read_until("Now kill me")
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Demo", "clean_environment", "pages", "running_demo"]

PLANCAST = Path(sys.executable).with_name("plancast")


def clean_environment(home: Path, **settings: str) -> dict[str, str]:
    """This process's environment with another home directory, and without settings of Python and Plancast."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("PLANCAST_", "PYTHON"))}
    return {**theirs, "HOME": str(home), **settings}


@dataclass(frozen=True)
class Demo:
    process: subprocess.Popen[str]

    def read_until(self, text: str) -> str:
        """What it prints up to a line with this text."""
        assert self.process.stdout
        printed = ""
        while text not in printed:
            line = self.process.stdout.readline()
            assert line, printed
            printed += line
        return printed

    def rest(self) -> str:
        assert self.process.stdout
        return self.process.stdout.read()


@contextmanager
def running_demo(home: Path, port: int, plancast: Path = PLANCAST, **settings: str) -> Generator[Demo]:
    """Runs it in this home directory until the end of the block."""
    env = clean_environment(home, PLANCAST_PORT=str(port), PLANCAST_PACE="0", **settings)
    command = [str(plancast), "demo", "--no-browser"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Demo(process)
        finally:
            process.kill()


def pages(printed: str) -> list[str]:
    """The addresses of its plans."""
    return re.findall(r"^  (?:waits for you|at work) +(\S+)$", printed, re.MULTILINE)
