"""Follows one plan and prints its events, for people or as JSON; what `plancast tail` and `plancast start --follow` do."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from contextlib import ExitStack, aclosing
from typing import BinaryIO, Final, Literal, Protocol, TextIO

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import InvalidEvent, LogUnavailable, PlancastError, SnapshotUnreadable
from broadcasters.events import PLAN_ENDED, PlanEvent, PlanStatus, PlanUpdate, parse
from broadcasters.log.contract import Checkpoint, PlanLog
from broadcasters.log.follow import Broken, Interrupted, Received, Resumed, follow
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, decode
from hub.commands import open_log
from hub.core.snapshot_events import rebuilt_events
from hub.terminal import Look
from hub.terminal.plan_view import PlanView
from hub.terminal.waiting import waiting_for
from hub.wire.frames import event_line, snapshot_line

__all__ = ["FAILED", "JsonViewer", "PlanFollower", "Since", "TextViewer", "Viewer", "exit_code", "follow_plan"]

FAILED: Final = 1
"""The exit code that --exit-status gives for a plan that failed or was cancelled."""

Since = Position | Literal["start", "now"]

BROKEN: Final = {
    "trimmed": "the events after that position were trimmed",
    "forked": "the log was replaced by a copy that lacked the latest events",
    "ahead": "the log lost its latest events",
    "epoch": "the log was lost and started again",
    "ok": "the log requested a restart",
}


def follow_plan(args: argparse.Namespace, plan_id: str, since: Since, *, follows: bool = True) -> PlanStatus | None:
    """Print a plan's events until it ends; returns its last status, if it has one. With Ctrl-C, also print the command that
    continues from there. `args` has `json` and `log`."""
    viewer: Viewer = JsonViewer(sys.stdout.buffer, sys.stderr) if args.json else TextViewer(sys.stdout)
    follower = PlanFollower(plan_id, since, viewer, follows=follows)
    try:
        asyncio.run(follower.run(args.log))
    except KeyboardInterrupt:
        viewer.finish()
        _print_continuation(args, plan_id, follower.position)
        raise
    viewer.finish()
    return follower.status


def exit_code(status: PlanStatus | None) -> int:
    """The exit code of --exit-status for a plan that was followed to its end."""
    return FAILED if status in ("error", "cancelled") else 0


def _print_continuation(args: argparse.Namespace, plan_id: str, position: Position) -> None:
    if not position.offset:
        return
    more = [*(["--json"] if args.json else []), *(["--log", args.log] if args.log else [])]
    command = ["plancast", "tail", plan_id, "--from", f"{position.epoch}:{position.offset}", *more]
    print(f"\nTo continue from here: {shlex.join(command)}", file=sys.stderr)


class PlanFollower:
    """Passes a plan's events to a viewer until the plan has ended."""

    def __init__(self, plan_id: str, since: Since, viewer: Viewer, *, follows: bool) -> None:
        self._plan_id = plan_id
        self._since: Since = since
        self._viewer = viewer
        self._follows = follows
        self.status: PlanStatus | None = None
        """The plan's last status, if it was reported."""
        self._goal = 0
        """The head's offset when it was last read."""
        self.position = Position("", 0)

    async def run(self, url: str | None) -> None:
        """Returns when the plan has ended or, without following, when all events so far are shown."""
        async with open_log(url) as log:
            with waiting_for(f"waiting for the log to read {self._plan_id}"):
                after = await self._begin(log)
                over = await self._is_over(log)
            if over:
                self._note_end()
                return
            await self._follow(log, after)

    async def _follow(self, log: PlanLog, after: Position) -> None:
        with ExitStack() as waiting:
            waiting.enter_context(waiting_for(f"waiting for events of {self._plan_id}"))
            async with aclosing(follow(log, self._plan_id, after)) as items:
                async for item in items:
                    waiting.close()
                    self.take(item)
                    if isinstance(item, Received | Broken) and await self._is_over(log):
                        return

    async def _begin(self, log: PlanLog) -> Position:
        """The position to follow from. Trimmed events are shown as a snapshot."""
        head = await log.head(self._plan_id)
        self._goal = head.offset
        self._note_absence()
        if self._since == "start":
            if head.floor and (checkpoint := await log.checkpoint(self._plan_id)):
                self._show_snapshot(checkpoint)
        elif isinstance(self._since, Position):
            self.position = self._since
            if head.continuity(self.position) != "ok":
                self._goal = sys.maxsize  # `follow` reports the break with a new head
        else:
            self.position = head.position
        if self._since != "start" and self._follows:
            self.status = await _status(log, self._plan_id)
        return self.position

    def _note_absence(self) -> None:
        if self._goal:
            return
        if not self._follows:
            raise PlancastError(f"there is no plan {self._plan_id!r} (plancast plans lists all plans)")
        self._viewer.note(f"{self._plan_id} has no events yet")

    def _note_end(self) -> None:
        """Report an end that is not among the events shown, so that the output is not empty."""
        if self._follows and self._since != "start":
            self._viewer.note(f"{self._plan_id} has ended ({self.status}); no events follow")

    def take(self, item: object) -> None:
        match item:
            case Received(position, payload):
                self.position = position
                event = _read(payload)
                if isinstance(event, PlanUpdate) and event.step_id is None:
                    self.status = event.status
                self._viewer.event(position, payload, event)
            case Interrupted():
                self._viewer.note("the log can't be reached; retrying")
            case Resumed():
                self._viewer.note("the log can be reached again")
            case Broken(reason, head, checkpoint):
                self._viewer.note(f"events are missing here: {BROKEN[reason]}; what follows is in the log now")
                self._goal = head.offset
                self.status = None
                self.position = Position(head.lineage.epoch, head.floor)
                if checkpoint:
                    self._show_snapshot(checkpoint)
            case _:
                raise TypeError(f"expected an item of follow(); got {item!r}")

    def _show_snapshot(self, checkpoint: Checkpoint) -> None:
        snapshot = decode(checkpoint.snapshot)
        self.position = checkpoint.position
        self.status = snapshot.status
        self._viewer.snapshot(checkpoint, snapshot)

    async def _is_over(self, log: PlanLog) -> bool:
        if self.position.offset < self._goal:
            return False
        if not self._follows:
            return True
        if self.status not in PLAN_ENDED:
            return False
        try:
            with waiting_for(f"waiting for the log to say whether {self._plan_id} has further events"):
                self._goal = (await log.head(self._plan_id)).offset
        except LogUnavailable:
            return False
        return self.position.offset >= self._goal


async def _status(log: PlanLog, plan_id: str) -> PlanStatus | None:
    """The plan's status at its head; None when this version can't read it."""
    try:
        return (await snapshot_of(log, plan_id))[0].status
    except SnapshotUnreadable:
        return None


def _read(payload: bytes) -> PlanEvent | None:
    """None for an event of a newer version, which must not stop the tail."""
    try:
        return parse(payload)
    except InvalidEvent:
        return None


class Viewer(Protocol):
    """Prints a plan's events."""

    def event(self, position: Position, payload: bytes, event: PlanEvent | None) -> None:
        """The next event; None when this version can't read it."""

    def snapshot(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        """A snapshot in place of trimmed events."""

    def note(self, text: str) -> None:
        """A remark about the events or the log."""

    def finish(self) -> None:
        """No events follow."""


class TextViewer:
    """Prints events as lines for people."""

    def __init__(self, out: TextIO) -> None:
        self._view = PlanView(out, Look.of(out))

    def event(self, position: Position, payload: bytes, event: PlanEvent | None) -> None:
        del payload
        if event is None:
            self.note(f"this version of plancast can't show event {position.offset}; --json prints it")
        else:
            self._view.show(event)

    def snapshot(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        self.note(f"summary of the plan up to event {checkpoint.position.offset}; earlier events were trimmed")
        for event in rebuilt_events(snapshot):
            self._view.show(event)
        self.note("events after it")

    def note(self, text: str) -> None:
        self._view.note(text)

    def finish(self) -> None:
        self._view.finish()


class JsonViewer:
    """Prints one JSON object per event, as stored in the log, with its position. Notes go to another stream."""

    def __init__(self, out: BinaryIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes

    def event(self, position: Position, payload: bytes, event: PlanEvent | None) -> None:
        del event
        self._write(event_line(position, payload))

    def snapshot(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        self._write(snapshot_line(snapshot.plan_id, checkpoint.position, checkpoint.snapshot))

    def note(self, text: str) -> None:
        print(f"plancast: {text}", file=self._notes, flush=True)

    def finish(self) -> None:
        self._out.flush()

    def _write(self, line: bytes) -> None:
        self._out.write(line)
        self._out.flush()
