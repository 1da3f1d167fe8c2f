"""The parser of one command's arguments: errors in one line, with a suggestion, that point to the command's own help."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from hub.commands import COMMANDS, command
from hub.config.suggestions import STATUS_SYNONYMS, did_you_mean

__all__ = ["MISUSED", "CommandParser", "bold", "parser_of", "positive"]

MISUSED: Final = 2
"""The exit code for wrong arguments."""
FEW: Final = 14
"""Options that the line of usage lists; of a command with more, it has only [options]."""

_number = re.compile(r"-\d+|-\d*\.\d+")
_of_argument = re.compile(r"argument (\S+): ")
_missing = re.compile(r"the following arguments are required: (.*)")
_one_of = re.compile(r"one of the arguments (.*) is required")
_unexpected = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_no_value = re.compile(r": expected one argument$")


class CommandParser(argparse.ArgumentParser):
    """Parses the arguments of one command.

    Options can't be abbreviated, and options and positional arguments can be in any order."""

    def __init__(self, command: str, summary: str, about: str, examples: str) -> None:
        listed = "\n  ".join(["examples:", *examples.splitlines()])
        super().__init__(
            prog=f"plancast {command}",
            description=about or summary,
            epilog=listed,
            formatter_class=_Help,
            allow_abbrev=False,
            add_help=False,
        )
        self._example = examples.partition("\n")[0]
        self._bare = False
        self._positionals.title = "arguments"
        if sys.version_info >= (3, 14):
            self.color = False
        self.add_argument("-h", "--help", action="help", help="print this help")
        self.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The command's arguments, or exit with an error."""
        self._bare = not words
        self._check_options(words)
        some_optional = any(action.nargs for action in self._get_positional_actions())
        if some_optional and "--" not in words:
            return self.parse_intermixed_args(words)
        return self.parse_args(words)

    def format_help(self) -> str:
        """The help; its first word is made bold here, since argparse would count the escape sequences as columns."""
        return super().format_help().replace("usage:", bold("usage:"), 1)

    def error(self, message: str) -> NoReturn:
        problem = _plainly(message)
        if self._bare and problem.startswith("missing "):
            problem += f"; for example: {self._example}"
        self.exit(MISUSED, f"{self.prog}: {problem} (see {self.prog} --help)\n")

    def _check_options(self, words: Sequence[str]) -> None:
        """Report an unknown option before anything that would only follow from it, such as a missing argument."""
        known = self._option_string_actions
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            short = not word.startswith("--")
            if not word.startswith("-") or word == "-" or " " in word or _number.fullmatch(word):
                continue
            if name not in known and not (short and word[:2] in known):
                shown = [option for option, action in known.items() if action.help is not argparse.SUPPRESS]
                self.error(f"unknown option {name}{did_you_mean(name, shown)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), choices, STATUS_SYNONYMS)
        raise argparse.ArgumentError(action, f"expected one of {', '.join(choices)}; got {str(value)!r:.60}{hint}")


def parser_of(name: str) -> CommandParser:
    """The parser of a command, one of COMMANDS."""
    chosen = command(name)
    parser = CommandParser(name, COMMANDS[name], chosen.ABOUT, chosen.EXAMPLES)
    chosen.arguments(parser)
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help with bold headings on a terminal."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and bold(heading))

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        listed = [*actions]
        if len([action for action in listed if action.option_strings]) > FEW:
            words = [self._format_args(action, action.dest) for action in listed if not action.option_strings]
            usage = " ".join(["%(prog)s [options]", *words])
        super().add_usage(usage, listed, groups, prefix)


def bold(text: str) -> str:
    """The text in bold if standard output is a terminal that shows it."""
    from hub.terminal.look import Look

    return Look.of(sys.stdout).paint(text, "bold")


def positive(text: str) -> int:
    """The type of an argument that is a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1; got {text!r:.40}")
    return int(text)


def _plainly(message: str) -> str:
    """argparse's messages in the words of ours."""
    if missing := _missing.fullmatch(message):
        return f"missing {missing[1]}"
    if one_of := _one_of.fullmatch(message):
        return f"missing one of {', '.join(one_of[1].split())}"
    if unexpected := _unexpected.fullmatch(message):
        return f"unexpected argument {unexpected[1]!r:.80}"
    message = _of_argument.sub(lambda match: f"{match[1]}: ", message, count=1)
    return _no_value.sub(": expected a value", message)
