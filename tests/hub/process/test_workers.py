"""The limit on open files is raised as far as allowed, with a warning if that is not enough."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import resource, sys
from hub.process.workers import raise_file_limit
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_file_limit(connections))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""

TOO_FEW = (
    "the limit of 300 open files is too low for 1,000 connections; "
    "raise it to 1,256 (ulimit -n, LimitNOFILE=) or lower PLANCAST_MAX_CONNECTIONS"
)


@pytest.mark.parametrize(
    ("before", "warning", "after"),
    [
        ((200, 300), TOO_FEW, (300, 300)),
        ((200, 2000), "None", (1256, 2000)),
        ((1300, 2000), "None", (1300, 2000)),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(
    before: tuple[int, int], warning: str, after: tuple[int, int]
) -> None:
    asked = [sys.executable, "-c", ASK, *map(str, before), "1000"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == [warning, f"{after[0]} {after[1]}"]
