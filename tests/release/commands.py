"""Commands in environments that hold only what is being tested."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.servers.demo import clean_environment

__all__ = ["ROOT", "run"]

ROOT = Path(__file__).parents[2]
PIP_CACHE = os.environ.get("PIP_CACHE_DIR") or str(Path("~/.cache/pip").expanduser())


def run(*command: object, cwd: Path, **settings: str) -> str:
    """Runs a command with `cwd` as its directory and home; returns its output. It must succeed. The
    cache of pip is this user's."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(cwd, PIP_CACHE_DIR=PIP_CACHE, **settings),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
