"""How a tail is shown: to people, or to programs."""

from __future__ import annotations

import json
from typing import BinaryIO, Protocol, TextIO

from broadcasters.events import PlanEvent
from broadcasters.log.contract import Checkpoint
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from hub.core.snapshot_events import rebuilt_events
from hub.terminal import Look, PlanView

__all__ = ["JsonLines", "Readable", "Viewer"]


class Viewer(Protocol):
    """Shows a plan's story as it comes."""

    def event(self, place: Position, payload: bytes, event: PlanEvent | None) -> None:
        """The next event; None when this version can't read it."""

    def snapshot(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        """Instead of events that are not there any more."""

    def note(self, text: str) -> None:
        """Something about the story, not of it."""

    def finish(self) -> None:
        """Nothing follows."""


class Readable:
    """For people."""

    def __init__(self, out: TextIO) -> None:
        self._view = PlanView(out, Look.of(out))

    def event(self, place: Position, payload: bytes, event: PlanEvent | None) -> None:
        del payload
        if event is None:
            self.note(f"event {place.offset} can't be shown by this version of plancast; --json prints it")
        else:
            self._view.show(event)

    def snapshot(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        self.note(f"the plan up to event {checkpoint.position.offset}, in short")
        for event in rebuilt_events(snapshot):
            self._view.show(event)
        self.note("what followed")

    def note(self, text: str) -> None:
        self._view.note(text)

    def finish(self) -> None:
        self._view.finish()


class JsonLines:
    """For programs: an object a line, as the log keeps it, with its place. Notes go to another stream."""

    def __init__(self, out: BinaryIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes

    def event(self, place: Position, payload: bytes, event: PlanEvent | None) -> None:
        del event
        self._write(place, payload)

    def snapshot(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        plan_id = json.dumps(snapshot.plan_id).encode()
        self._write(checkpoint.position, b'{"type":"snapshot","plan_id":%b,"data":%b}' % (plan_id, checkpoint.snapshot))

    def note(self, text: str) -> None:
        print(f"plancast: {text}", file=self._notes, flush=True)

    def finish(self) -> None:
        self._out.flush()

    def _write(self, place: Position, said: bytes) -> None:
        """`said` is a JSON object of at least one member; its place goes before them."""
        self._out.write(b'{"epoch":%b,"offset":%d,%b\n' % (json.dumps(place.epoch).encode(), place.offset, said[1:]))
        self._out.flush()
