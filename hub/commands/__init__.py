"""What `plancast` can do: one module a command, imported when it is asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Final, Protocol, cast

__all__ = ["COMMANDS", "Command", "command"]

COMMANDS: Final = {
    "publish": "say something about a plan",
    "tail": "watch a plan, live",
    "plans": "list plans, the last active first",
    "serve": "run a hub that pages and programs subscribe to",
    "worker": "run plans that a hub, or a program, has started",
    "token": "make a token that says who may do what",
    "version": "say which version this is",
}


class Command(Protocol):
    """A command's module."""

    ABOUT: str
    """What it does, for its help."""
    EXAMPLES: str
    """Lines that can be typed as they stand, for the end of its help."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say what may follow the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code. What is raised on the way is told by whoever called."""
        ...


def command(name: str) -> Command:
    """The command of that name, one of COMMANDS."""
    return cast("Command", import_module(f"hub.commands.{name}"))
