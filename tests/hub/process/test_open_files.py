"""As many open files as the connections need, where that is allowed; a word to the operator where it isn't."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import resource, sys
from hub.process.open_files import make_room
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(make_room(connections))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""

TOO_FEW = (
    "open files: at most 300, too few for 1,000 connections; "
    "allow 1,256 (ulimit -n, LimitNOFILE=) or lower PLANCAST_MAX_CONNECTIONS"
)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        ((200, 300), TOO_FEW, (300, 300)),
        ((200, 2000), "None", (1256, 2000)),
        ((1300, 2000), "None", (1300, 2000)),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(
    before: tuple[int, int], told: str, after: tuple[int, int]
) -> None:
    asked = [sys.executable, "-c", ASK, *map(str, before), "1000"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [told, f"{after[0]} {after[1]}"]
