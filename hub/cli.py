"""The command `plancast`: finds the command that was asked for, runs it, and tells what went wrong in one sentence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from broadcasters.errors import InvalidEvent, PlancastError
from hub.commands import COMMANDS, Command, command

__all__ = ["main"]

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

ABOUT = """\
Say something about a plan from anywhere, and watch it live. Plans are kept in
the log that --log or PLANCAST_LOG names; without either, in a file of yours,
~/.plancast/plans.db."""
EXAMPLE = """\
example:
  plancast publish plan-1 "Looking at the orders…" --agent "Data Analyst"
  plancast tail plan-1"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, and where to read more."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `plancast` with these arguments (or those of this process); its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough; the interpreter must not complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if "--traceback" in argv:
            raise
        print(f"plancast: {_told(error)}", file=sys.stderr)
        return MISUSED if isinstance(error, InvalidEvent) else FAILED


def _run(argv: Sequence[str]) -> int:
    name = next((word for word in argv if not word.startswith("-")), "")
    chosen = command(name) if name in COMMANDS else None
    args = _parser(name, chosen).parse_args(argv)
    if chosen is None:
        raise AssertionError("argparse lets no other command through")
    return chosen.run(args)


def _parser(name: str, chosen: Command | None) -> argparse.ArgumentParser:
    """Knows every command by name, and the chosen one in full."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="plancast", description=ABOUT, epilog=EXAMPLE, formatter_class=as_written)
    parser.add_argument("--traceback", action="store_true", help="when something fails, show where in the code")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for each, summary in COMMANDS.items():
        if each != name or chosen is None:
            commands.add_parser(each, help=summary)
            continue
        examples = "\n  ".join(["examples:", *chosen.EXAMPLES.splitlines()])
        chosen.arguments(
            commands.add_parser(
                each, help=summary, description=chosen.ABOUT, epilog=examples, formatter_class=as_written
            )
        )
    return parser


def _told(error: Exception) -> str:
    """One sentence, whatever happened."""
    said = " ".join(str(error).split())
    if isinstance(error, PlancastError):
        return said
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else said
    return f"this should not have happened ({type(error).__name__}: {said}); plancast --traceback … shows where"
