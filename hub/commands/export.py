"""`plancast export`"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import PlancastError
from broadcasters.events import check_plan_id
from hub.commands import log_argument, open_log
from hub.commands.following import JsonViewer, PlanFollower
from hub.commands.output import note
from hub.terminal.plan_document import markdown
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Write a plan as it is now: all its events as JSON lines, which plancast publish
reads, or a document in Markdown for people."""
EXAMPLES = """\
plancast export plan-1 --format markdown -o plan-1.md
plancast export plan-1 | plancast publish a-copy -"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", help="the plan's id")
    parser.add_argument(
        "--format", choices=("jsonl", "markdown"), default="jsonl", help="the format (default: jsonl, all events)"
    )
    parser.add_argument("--json", action="store_const", const="jsonl", dest="format", help="the same as --format jsonl")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="the file (default: standard output)")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_plan_id(args.plan_id)
    # Read before the file is opened: a plan that doesn't exist must not empty it.
    content = asyncio.run(_content(args))
    with _output(args.output) as out:
        out.write(content)
    if args.output is not None and sys.stderr.isatty():
        note(f"wrote {args.output}")
    return 0


async def _content(args: argparse.Namespace) -> bytes:
    if args.format == "jsonl":
        lines = BytesIO()
        await PlanFollower(args.plan_id, "start", JsonViewer(lines, sys.stderr), follows=False).run(args.log)
        return lines.getvalue()
    async with open_log(args.log) as log:
        with waiting_for(f"waiting for the log to read {args.plan_id}"):
            plan, _ = await snapshot_of(log, args.plan_id)
    if not plan.offset:
        raise PlancastError(f"there is no plan {args.plan_id!r} (plancast plans lists all plans)")
    return markdown(plan).encode()


@contextmanager
def _output(path: Path | None) -> Generator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with path.open("wb") as file:
            yield file
