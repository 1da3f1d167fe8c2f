"""`plancast tail`"""

from __future__ import annotations

import argparse
import re

from broadcasters.events import check_plan_id
from broadcasters.position import Position
from hub.commands import log_argument
from hub.commands.following import Since, exit_code, follow_plan

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Follow a plan: print its events so far, then new ones as they are published,
until the plan ends. Ctrl-C stops, and prints the command that continues from
there."""
EXAMPLES = """\
plancast tail plan-1
plancast tail plan-1 --from now
plancast tail plan-1 --from 6b0c91:42
plancast tail plan-1 --json --no-follow | wc -l
plancast tail plan-1 --exit-status && echo completed"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", help="the plan's id; it need not exist yet")
    parser.add_argument(
        "--from",
        dest="since",
        type=_since,
        default="start",
        metavar="POSITION",
        help="start (the default), now, or EPOCH:OFFSET, the position of the last event you have",
    )
    parser.add_argument("--no-follow", action="store_true", help="print the events so far, then exit")
    parser.add_argument("--json", action="store_true", help="print one JSON object per event, with epoch and offset")
    parser.add_argument("--exit-status", action="store_true", help="exit with 1 if the plan fails or is cancelled")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_plan_id(args.plan_id)
    status = follow_plan(args, args.plan_id, args.since, follows=not args.no_follow)
    return exit_code(status) if args.exit_status else 0


def _since(text: str) -> Since:
    match text:
        case "start" | "now":
            return text
        case _:
            return _position(text)


def _position(text: str) -> Position:
    if found := re.fullmatch(r"(\S+):(\d{1,18})", text):
        return Position(found[1], int(found[2]))
    raise argparse.ArgumentTypeError(f"expected start, now or EPOCH:OFFSET; got {text!r}")
