"""plancast version"""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = "Say which version of Plancast this is, and on which Python it runs."
EXAMPLES = "plancast version"


def arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    del args
    print(f"plancast {version('plancast')} (Python {platform.python_version()})")
    return 0
