"""The `plancast` command line: parses it, runs the command, and reports an error in one line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final, Never, cast

from broadcasters.errors import InvalidEvent, PlancastError
from hub.commands import COMMANDS, GROUPS, SYNONYMS, command
from hub.commands.parser import MISUSED, bold, parser_of
from hub.config.suggestions import did_you_mean

__all__ = ["main"]

FAILED: Final = 1
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

ABOUT: Final = """\
Publish events of plans from anywhere, and follow plans live. Plans are stored
in the log given by --log or PLANCAST_LOG; by default in ~/.plancast/plans.db."""
OPTIONS: Final = {
    "-h, --help": "print this help, or that of a command",
    "-V, --version": "print the version",
    "--traceback": "if the command fails, print a Python traceback",
}
EXAMPLE: Final = """\
  plancast publish plan-1 "Looking at the orders…" --agent "Data Analyst"
  plancast tail plan-1"""
COMMON: Final = frozenset({"PLANCAST_LOG", "PLANCAST_TOKEN", "PLANCAST_ENGINE_DB", "PLANCAST_MODEL"})
"""Known variables that need no look at the list of all, which takes 100 ms to load."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `plancast` with these arguments (default: those of the process); returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if os.getpid() == 1:  # a container: the kernel drops a signal that process 1 has no handler for
        signal.signal(signal.SIGTERM, _terminated)
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
        print(f"plancast: {_in_one_line(_first(error))}", file=sys.stderr)
        return MISUSED if isinstance(error, InvalidEvent) else FAILED


def _terminated(number: int, _: FrameType | None) -> Never:
    """End the process, as SIGTERM does with any other; `serve` and `worker` replace this once they run."""
    os._exit(128 + number)  # an exception could be caught by what is running, such as an import of templates


def _run(argv: Sequence[str]) -> int:
    words = [word for word in argv if word != "--traceback"] if "--" not in argv else [*argv]
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        words = ["version"]
    name, *rest = words
    if name not in COMMANDS:
        return _unknown(name)
    args = parser_of(name).read(rest)
    _warn_of_unknown_variables()
    return command(name).run(args)


def _unknown(word: str) -> int:
    if word.startswith("-"):
        options = [option.split()[-1] for option in OPTIONS]
        problem = f"unknown option {word} before the command{did_you_mean(word, options)}"
    else:
        problem = f"unknown command {word!r:.40}{did_you_mean(word, COMMANDS, SYNONYMS)}"
    print(f"plancast: {problem} (see plancast --help)", file=sys.stderr)
    return MISUSED


def _overview() -> str:
    """The help of `plancast` itself."""
    width = 2 + max(map(len, COMMANDS))
    lines = [f"{bold('usage:')} plancast COMMAND …", "", ABOUT]
    for title, group in GROUPS.items():
        lines += ["", bold(f"{title}:"), *(f"  {name:{width}}{summary}" for name, summary in group.items())]
    lines += ["", bold("options:"), *(f"  {name:15}{about}" for name, about in OPTIONS.items())]
    lines += ["", bold("example:"), EXAMPLE, "", "plancast COMMAND --help explains a command."]
    return "\n".join(lines)


def _warn_of_unknown_variables() -> None:
    if all(name in COMMON for name in os.environ if name.startswith("PLANCAST_")):
        return
    from hub.config.settings import unknown_variables

    for name, meant in unknown_variables(os.environ).items():
        hint = f"; did you mean {meant}?" if meant else ""
        print(f"plancast: {name} is not a setting and is ignored{hint}", file=sys.stderr)


def _first(error: Exception) -> Exception:
    """The error, or the first one of a group."""
    if not isinstance(error, ExceptionGroup):
        return error
    return _first(cast("ExceptionGroup[Exception]", error).exceptions[0])


def _in_one_line(error: Exception) -> str:
    """A message of one line for any error."""
    message = " ".join(str(error).split())
    if isinstance(error, PlancastError):
        return message
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else message
    return f"unexpected {type(error).__name__}: {message}; `plancast --traceback …` shows where"
