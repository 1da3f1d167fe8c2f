"""`plancast version`"""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = "Print the version of Plancast and of the Python it runs on."
EXAMPLES = """\
plancast version
plancast version --json"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the versions as JSON")


def run(args: argparse.Namespace) -> int:
    plancast, python = version("plancast"), platform.python_version()
    if args.json:
        print(f'{{"plancast":"{plancast}","python":"{python}"}}')
    else:
        print(f"plancast {plancast} (Python {python})")
    return 0
