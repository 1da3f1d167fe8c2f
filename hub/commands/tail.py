"""plancast tail"""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import sys
from contextlib import aclosing
from typing import Final, Literal

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable, PlancastError, SnapshotUnreadable
from broadcasters.events import PLAN_ENDED, PlanEvent, PlanStatus, PlanUpdate, check_plan_id, parse
from broadcasters.log.contract import Checkpoint, PlanLog
from broadcasters.log.follow import Broken, Interrupted, Received, Resumed, follow
from broadcasters.position import Position
from broadcasters.snapshot import decode
from hub.commands.opened import log_argument, opened
from hub.commands.viewers import JsonLines, Readable, Viewer

__all__ = ["ABOUT", "EXAMPLES", "Tail", "arguments", "run"]

ABOUT = """\
Watch a plan: everything that was said about it, then live. Ends when the plan
has ended. Ctrl-C ends it sooner, and says how to go on from there."""
EXAMPLES = """\
plancast tail plan-1
plancast tail plan-1 --from now
plancast tail plan-1 --from 6b0c91:42
plancast tail plan-1 --json --no-follow | wc -l"""

Since = Position | Literal["start", "now"]

BROKEN: Final = {
    "trimmed": "what follows that place was let go",
    "forked": "the log was replaced by one that had not yet received the latest events",
    "ahead": "the log lost its latest events",
    "epoch": "the log was lost and begun again",
    "ok": "the log asked for it",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", help="the plan; it need not have begun yet")
    parser.add_argument(
        "--from",
        dest="since",
        type=_since,
        default="start",
        metavar="PLACE",
        help="where to begin: start (if you say nothing), now, or EPOCH:OFFSET, the place of the last event you have",
    )
    parser.add_argument("--no-follow", action="store_true", help="show what is there, and end")
    parser.add_argument("--json", action="store_true", help="one JSON object an event and line, with epoch and offset")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_plan_id(args.plan_id)
    viewer: Viewer = JsonLines(sys.stdout.buffer, sys.stderr) if args.json else Readable(sys.stdout)
    tail = Tail(args.plan_id, args.since, viewer, follows=not args.no_follow)
    try:
        asyncio.run(tail.watch(args.log))
    except KeyboardInterrupt:
        viewer.finish()
        _say_how_to_go_on(args, tail.place)
        raise
    viewer.finish()
    return 0


def _since(text: str) -> Since:
    match text:
        case "start" | "now":
            return text
        case _:
            return _position(text)


def _position(text: str) -> Position:
    if place := re.fullmatch(r"(\S+):(\d{1,18})", text):
        return Position(place[1], int(place[2]))
    raise argparse.ArgumentTypeError(f"start, now or EPOCH:OFFSET, not {text!r}")


def _say_how_to_go_on(args: argparse.Namespace, place: Position) -> None:
    if not place.offset:
        return
    more = [*(["--json"] if args.json else []), *(["--log", args.log] if args.log else [])]
    command = ["plancast", "tail", args.plan_id, "--from", f"{place.epoch}:{place.offset}", *more]
    print(f"\nTo go on from here: {shlex.join(command)}", file=sys.stderr)


class Tail:
    """Shows a plan's story to a viewer, and knows when it is over."""

    def __init__(self, plan_id: str, since: Since, viewer: Viewer, *, follows: bool) -> None:
        self._plan_id = plan_id
        self._since: Since = since
        self._viewer = viewer
        self._follows = follows
        self._status: PlanStatus | None = None
        self._goal = 0
        """Up to here there was something to show when it was last looked."""
        self.place = Position("", 0)

    async def watch(self, url: str | None) -> None:
        """Until the plan has ended, or, if it isn't to be followed, until all that was there is shown."""
        async with opened(url) as log:
            after = await self._begin(log)
            if await self._is_over(log):
                self._note_end()
                return
            async with aclosing(follow(log, self._plan_id, after)) as items:
                async for item in items:
                    self.take(item)
                    if isinstance(item, Received | Broken) and await self._is_over(log):
                        return

    async def _begin(self, log: PlanLog) -> Position:
        """Where to follow from. What was let go is shown as a snapshot."""
        head = await log.head(self._plan_id)
        self._goal = head.offset
        self._note_absence()
        if self._since == "start":
            if head.floor and (checkpoint := await log.checkpoint(self._plan_id)):
                self._show_snapshot(checkpoint)
        elif isinstance(self._since, Position):
            self.place = self._since
            if head.lineage.continuity(self.place, head.offset, head.floor) != "ok":
                self._goal = sys.maxsize  # the story will break, and then there is another
        else:
            self.place = head.position
        if self._since != "start" and self._follows:
            self._status = await _status(log, self._plan_id)
        return self.place

    def _note_absence(self) -> None:
        if self._goal:
            return
        if not self._follows:
            raise PlancastError(f"nothing has been said about a plan called {self._plan_id} (see plancast plans)")
        self._viewer.note(f"nothing has been said about {self._plan_id} yet; waiting for it")

    def _note_end(self) -> None:
        """An end that is not among the events shown is reported; without it the reader would see nothing at all."""
        if self._follows and self._since != "start":
            self._viewer.note(f"{self._plan_id} has ended ({self._status}), and nothing follows")

    def take(self, item: object) -> None:
        match item:
            case Received(place, payload):
                self.place = place
                event = _read(payload)
                if isinstance(event, PlanUpdate) and event.step_id is None:
                    self._status = event.status
                self._viewer.event(place, payload, event)
            case Interrupted():
                self._viewer.note("the log is out of reach; waiting for it")
            case Resumed():
                self._viewer.note("the log is back")
            case Broken(reason, head, checkpoint):
                self._viewer.note(f"the story breaks here: {BROKEN[reason]}; this is what the log has now")
                self._goal = head.offset
                self._status = None
                self.place = Position(head.lineage.epoch, head.floor)
                if checkpoint:
                    self._show_snapshot(checkpoint)
            case _:
                raise TypeError(f"a tail does not know {item!r}")

    def _show_snapshot(self, checkpoint: Checkpoint) -> None:
        snapshot = decode(checkpoint.snapshot)
        self.place = checkpoint.position
        self._status = snapshot.status
        self._viewer.snapshot(checkpoint, snapshot)

    async def _is_over(self, log: PlanLog) -> bool:
        if self.place.offset < self._goal:
            return False
        if not self._follows:
            return True
        if self._status not in PLAN_ENDED:
            return False
        try:
            self._goal = (await log.head(self._plan_id)).offset
        except LogUnavailable:
            return False
        return self.place.offset >= self._goal


async def _status(log: PlanLog, plan_id: str) -> PlanStatus | None:
    """The plan's status at its head; None when this version can't read it."""
    try:
        return (await snapshot_of(log, plan_id))[0].status
    except SnapshotUnreadable:
        return None


def _read(payload: bytes) -> PlanEvent | None:
    """None for what this version can't read: it is no reason to stop watching."""
    try:
        return parse(payload)
    except InvalidEvent:
        return None
