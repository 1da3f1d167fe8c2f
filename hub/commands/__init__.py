"""The commands of `plancast`, each a module that is imported when it is chosen, and what they share."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from broadcasters.log.contract import PlanLog
    from hub.engine_port import SignalName

__all__ = ["COMMANDS", "GROUPS", "SYNONYMS", "Command", "command", "log_argument", "open_log"]

GROUPS: Final = {
    "follow plans": {
        "tail": "follow a plan live",
        "watch": "watch several plans at once",
        "plans": "list plans, most recently active first",
        "open": "open a plan's page in the browser",
        "export": "write a plan as JSON lines or Markdown",
    },
    "start and steer plans": {
        "start": "start a plan from a template",
        "answer": "answer a question of a plan",
        "cancel": "request plans to stop",
        "pause": "request plans to pause",
        "resume": "request paused plans to continue",
        "rm": "delete plans",
    },
    "publish": {
        "publish": "publish an event of a plan",
        "relay": "run an agent behind another server as a plan",
    },
    "run servers": {
        "demo": "try it: a hub, its page, and two plans",
        "serve": "run a hub that pages and programs subscribe to",
        "worker": "run plans that a hub or a program has started",
        "mcp": "serve plans to a desktop host of language models, over stdio",
        "token": "make an access token",
    },
    "other": {
        "doctor": "check settings, log, hub and proxy",
        "completion": "print the script that completes commands in a shell",
        "version": "print the version",
    },
}
"""The commands with their summaries, as help shows them. The first words of this package's help come from here, so that it
and `plancast version` load nothing else."""

COMMANDS: Final = {name: summary for group in GROUPS.values() for name, summary in group.items()}

SIGNALS: Final[Mapping[str, SignalName]] = {"cancel": "cancel", "pause": "pause", "resume": "resume"}

SYNONYMS: Final = {
    **dict.fromkeys(("ls", "list", "ps", "status"), "plans"),
    **dict.fromkeys(("follow", "log", "logs", "show", "view"), "tail"),
    **dict.fromkeys(("send", "emit", "pub"), "publish"),
    **dict.fromkeys(("browse", "page", "web"), "open"),
    **dict.fromkeys(("dump", "save"), "export"),
    **dict.fromkeys(("top", "monitor"), "watch"),
    **dict.fromkeys(("run", "create", "new"), "start"),
    **dict.fromkeys(("stop", "kill", "abort"), "cancel"),
    **dict.fromkeys(("delete", "remove"), "rm"),
    **dict.fromkeys(("reply", "approve", "respond"), "answer"),
    **dict.fromkeys(("continue", "unpause"), "resume"),
    **dict.fromkeys(("server", "up", "hub"), "serve"),
    **dict.fromkeys(("check", "diagnose", "debug"), "doctor"),
}
"""Other programs' names for commands."""


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


def command(name: str) -> Command:
    """The command of that name, one of COMMANDS."""
    if (signal := SIGNALS.get(name)) is not None:
        from hub.commands.signals import SignalCommand

        return SignalCommand(signal)
    return cast("Command", import_module(f"hub.commands.{name}"))


def log_argument(parser: argparse.ArgumentParser) -> None:
    """Add --log, for `open_log`."""
    urls = "sqlite:///…, redis://…, or a hub's http://… with its token in PLANCAST_TOKEN"
    parser.add_argument("--log", metavar="URL", help=f"the log to use (default: PLANCAST_LOG): {urls}")


@asynccontextmanager
async def open_log(url: str | None) -> AsyncGenerator[PlanLog]:
    """The log of that URL (default: of PLANCAST_LOG, or the user's own file), open."""
    from broadcasters.log import default_url, log_of
    from hub.config.setting_types import without_password
    from hub.terminal.waiting import waiting_for

    url = url or default_url()
    log = log_of(url)
    with waiting_for(f"connecting to {without_password(url)}"):
        await log.open()
    try:
        yield log
    finally:
        await log.close()
