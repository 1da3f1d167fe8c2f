"""The `plancast` command line: parses it, runs the command, and reports an error in one line."""

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
Publish events of plans from anywhere, and follow plans live. Plans are stored in
the log given by --log or PLANCAST_LOG; by default in ~/.plancast/plans.db."""
EXAMPLE = """\
example:
  plancast publish plan-1 "Looking at the orders…" --agent "Data Analyst"
  plancast tail plan-1"""


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line that refers to --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `plancast` with these arguments (default: those of the process); returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed it; the interpreter must not report that when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if "--traceback" in argv:
            raise
        print(f"plancast: {_in_one_line(error)}", file=sys.stderr)
        return MISUSED if isinstance(error, InvalidEvent) else FAILED


def _run(argv: Sequence[str]) -> int:
    name = next((word for word in argv if not word.startswith("-")), "")
    chosen = command(name) if name in COMMANDS else None
    args = _parser(name, chosen).parse_args(argv)
    if chosen is None:
        raise AssertionError("argparse accepts only known commands")
    return chosen.run(args)


def _parser(name: str, chosen: Command | None) -> argparse.ArgumentParser:
    """Knows every command's name, and the chosen command's arguments."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="plancast", description=ABOUT, epilog=EXAMPLE, formatter_class=as_written)
    parser.add_argument("--traceback", action="store_true", help="if the command fails, print a Python traceback")
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


def _in_one_line(error: Exception) -> str:
    """A message of one line for any error."""
    message = " ".join(str(error).split())
    if isinstance(error, PlancastError):
        return message
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else message
    return f"unexpected {type(error).__name__}: {message}; `plancast --traceback …` shows where"
