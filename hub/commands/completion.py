"""`plancast completion`: the scripts for shells, and the candidates that the scripts request."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from hub.commands import COMMANDS

__all__ = ["ABOUT", "EXAMPLES", "arguments", "candidates", "run"]

ABOUT = """\
Print the script that completes plancast's commands, options, values and plan
ids in a shell. Plans are looked up in the log of PLANCAST_LOG."""
EXAMPLES = """\
plancast completion bash > ~/.local/share/bash-completion/completions/plancast
plancast completion zsh > "${fpath[1]}/_plancast"
plancast completion fish > ~/.config/fish/completions/plancast.fish"""

BASH: Final = """\
_plancast() {
    local current="${COMP_WORDS[COMP_CWORD]}" line
    local IFS=$'\\n'
    COMPREPLY=()
    # Bash breaks words at colons; a plan's id may have some.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local words cword
        _get_comp_words_by_ref -n : -c current -w words -i cword
        COMP_WORDS=("${words[@]}") COMP_CWORD=$cword
    fi
    while IFS='' read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(plancast completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
    if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$current"; fi
}
complete -o default -F _plancast plancast
"""
ZSH: Final = """\
#compdef plancast
_plancast() {
    local -a found
    local line about
    while IFS='' read -r line; do
        about=${line#*$'\\t'}
        found+=("${${line%%$'\\t'*}//:/\\\\:}${about:+:$about}")
    done < <(plancast completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then _describe plancast found; else _files; fi
}
if [[ $funcstack[1] == _plancast ]]; then _plancast "$@"; else compdef _plancast plancast; fi
"""
FISH: Final = """\
function __plancast_complete
    set -l words (commandline -opc) (commandline -ct)
    plancast completion words -- $words[2..-1] 2>/dev/null
end
complete -c plancast -f -a '(__plancast_complete)'
complete -c plancast -n '__fish_seen_subcommand_from export' -s o -l output -r -F
"""
SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}
PLANS_AT_MOST: Final = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", type=_shell, metavar="|".join(SCRIPTS), help="the shell")
    parser.add_argument("words", nargs="*", default=[], help=argparse.SUPPRESS)


def _shell(name: str) -> str:
    """A shell, or `words`, with which the scripts request candidates."""
    if name not in (*SCRIPTS, "words"):
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(SCRIPTS)}; got {name!r:.60}")
    return name


def run(args: argparse.Namespace) -> int:
    if args.shell in SCRIPTS:
        sys.stdout.write(SCRIPTS[args.shell])
        return 0
    for name, about in candidates(args.words):
        print(f"{name}\t{about}")
    return 0


def candidates(words: Sequence[str]) -> list[tuple[str, str]]:
    """What may stand in place of the last word, each with its description."""
    *before, current = words or [""]
    return [(name, _brief(about)) for name, about in _all(before, current) if name.startswith(current)]


def _all(before: Sequence[str], current: str) -> Iterable[tuple[str, str]]:
    if not before:
        options = {"--help": "print help", "--version": "print the version"}
        return (options if current.startswith("-") else COMMANDS).items()
    if before[0] == "help":
        return COMMANDS.items()
    if before[0] not in COMMANDS:
        return ()
    return _of_command(before[0], before[1:], current)


def _of_command(name: str, before: Sequence[str], current: str) -> Iterator[tuple[str, str]]:
    """The options and values of a command."""
    from hub.commands.parser import parser_of

    actions: Sequence[argparse.Action] = parser_of(name)._actions
    options = {option: action for action in actions for option in action.option_strings}
    previous = options.get(before[-1]) if before else None
    if previous is not None and previous.nargs is None:  # it takes a value
        yield from _values(previous)
    elif current.startswith("-") and current != "-":
        for option, action in options.items():
            if action.help != argparse.SUPPRESS and option.startswith("--"):
                yield option, action.help or ""
    else:
        positional = [action for action in actions if not action.option_strings]
        given = sum(
            1 for word, after in zip(before, ("", *before), strict=False) if not _is_option(word, after, options)
        )
        if positional:
            last = positional[min(given, len(positional) - 1)]
            if given < len(positional) or last.nargs in ("*", "+"):
                yield from _values(last)


def _is_option(word: str, previous: str, options: dict[str, argparse.Action]) -> bool:
    """Whether the word is an option, or the value of the option before it."""
    taking = options.get(previous)
    return word.startswith("-") or (taking is not None and taking.nargs is None)


def _values(action: argparse.Action) -> Iterator[tuple[str, str]]:
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif "|" in str(action.metavar):
        yield from ((choice, "") for choice in str(action.metavar).split("|"))
    elif action.metavar == "PLAN_ID":
        yield from _plans()


def _plans() -> list[tuple[str, str]]:
    """The plans that were active last; none if the log can't be reached at once."""
    import asyncio

    async def listed() -> Any:
        from hub.commands import open_log

        async with asyncio.timeout(2), open_log(None) as log:
            return await log.plans(limit=PLANS_AT_MOST)

    try:
        plans = asyncio.run(listed()).plans
    except Exception:  # a completion has no place for errors
        return []
    return [(plan.plan_id, plan.title or plan.status) for plan in plans if not plan.plan_id.startswith("~")]


def _brief(about: str) -> str:
    return " ".join(about.replace("%%", "%").split())[:80]
