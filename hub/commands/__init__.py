"""The commands of `plancast`, each a module that is imported when it is chosen, and what they share."""

from __future__ import annotations

import argparse
import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Final, Protocol, cast

from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog

__all__ = ["COMMANDS", "Command", "command", "log_argument", "open_log"]

COMMANDS: Final = {
    "publish": "publish an event of a plan",
    "relay": "run an agent behind another server as a plan",
    "tail": "follow a plan live",
    "plans": "list plans, most recently active first",
    "serve": "run a hub that pages and programs subscribe to",
    "worker": "run plans that a hub or a program has started",
    "mcp": "serve plans to a desktop host of language models, over stdio",
    "token": "make an access token",
    "version": "print the version",
}


class Command(Protocol):
    """A command's module."""

    ABOUT: str
    """The description in its help."""
    EXAMPLES: str
    """Command lines for the end of its help; each works as written."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command; returns the exit code. The caller reports exceptions."""
        ...


class _Version:
    """`plancast version`"""

    ABOUT: str = "Print the version of Plancast and of the Python it runs on."
    EXAMPLES: str = "plancast version"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        del parser

    def run(self, args: argparse.Namespace) -> int:
        del args
        print(f"plancast {version('plancast')} (Python {platform.python_version()})")
        return 0


def command(name: str) -> Command:
    """The command of that name, one of COMMANDS."""
    return _Version() if name == "version" else cast("Command", import_module(f"hub.commands.{name}"))


def log_argument(parser: argparse.ArgumentParser) -> None:
    """Add --log, for `open_log`."""
    urls = "sqlite:///…, redis://…, or a hub's http://… with its token in PLANCAST_TOKEN"
    parser.add_argument("--log", metavar="URL", help=f"the log to use (default: PLANCAST_LOG): {urls}")


@asynccontextmanager
async def open_log(url: str | None) -> AsyncGenerator[PlanLog]:
    """The log of that URL (default: of PLANCAST_LOG, or the user's own file), open."""
    log = log_of(url)
    await log.open()
    try:
        yield log
    finally:
        await log.close()
