"""A client that checks everything it gets against the real content of the plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from broadcasters.events import PLAN_ENDED
from broadcasters.position import Position
from broadcasters.snapshot import encode
from hub.core.burst import Burst
from hub.core.channel import Channel
from hub.core.registry import Registry
from hub.core.subscriber import Since, Subscriber
from tests.hub.core.scripted_log import Story

__all__ = ["Witness", "whole_messages"]

ENDLESS: Final = 1_000_000_000


class Witness:
    """Keeps its position, as a client would. Any call that doesn't fit fails the test."""

    def __init__(self, story: Story, since: Since | None = None, room: int = ENDLESS) -> None:
        self.story = story
        self.since = since
        self.room = room
        """Bursts until it is full."""
        self.full = False
        self.here = False
        self.place: Position | None = None
        self.told: list[tuple[Any, ...]] = []
        """The calls, in order: (placed, place, head, reason), (snapshot, place), (events, first, last),
        (whole, offset, event), (refused,), (ended, code)."""
        self.verdicts: set[str] = set()
        """The continuities of its `since` that were right at some time since it joined."""
        self.on_full: Callable[[], object] | None = None
        self.on_event: Callable[[], object] | None = None
        self.on_placed: Callable[[], object] | None = None
        self.on_gone: Callable[[], object] | None = None
        self.exact = True
        """Whether the hub could have every streamed message from its beginning."""
        self._awaits_snapshot = False

    # -- the test's side -----------------------------------------------------------------------------------------------

    def join(self, channel: Channel) -> Subscriber:
        self.enter(channel, channel.join(self, self.since))
        return self.subscriber

    def join_through(self, registry: Registry) -> Subscriber:
        self.enter(*registry.join(self, self.story.plan_id, self.since))
        return self.subscriber

    def enter(self, channel: Channel, subscriber: Subscriber) -> None:
        self.channel, self.subscriber = channel, subscriber
        self.here = True
        self.judge()
        channel.start(subscriber)

    def leave(self) -> None:
        self.here = False
        self.channel.leave(self.subscriber)

    def fill(self) -> None:
        """Make it full."""
        self.full = True
        self.channel.filled(self.subscriber)

    def drain(self, room: int = ENDLESS) -> None:
        """Drain it, so that it has room again."""
        self.full, self.room = False, room
        if self.here:
            self.channel.pump(self.subscriber)

    def judge(self) -> None:
        """Record the present continuity of `since`: the plan changes."""
        if self.place is None and self.since is not None:
            head = self.story.head
            self.verdicts.add(head.lineage.continuity(self._wanted, head.offset, head.floor))

    @property
    def _wanted(self) -> Position:
        return self.since if isinstance(self.since, Position) else Position("", 0)

    @property
    def frames(self) -> list[tuple[int, int]]:
        """First and last offset of each frame it was handed."""
        return [(first, last) for what, *(first, last) in (t for t in self.told if t[0] == "events")]

    # -- the channel's side --------------------------------------------------------------------------------------------

    def deliver(self, burst: Burst) -> None:
        assert self.here, "events after it left"
        assert not self.full, "events while it is full"
        assert burst.frames, "a burst without frames"
        assert self.place is not None
        assert not self._awaits_snapshot, "events between a break and its snapshot"
        if self.since is None:
            self._whole_events(burst)
        else:
            assert burst.first == self.place.offset + 1
            for frame in burst.frames:
                self._event(json.loads(frame))
        assert self.place.offset == burst.last
        self._took()

    def placed(self, plan_id: str, position: Position, head: int, reason: str | None) -> None:
        assert self.here, "placed after it left"
        assert plan_id == self.story.plan_id
        assert head >= position.offset
        assert not self._awaits_snapshot, "placed between a break and its snapshot"
        self.told.append(("placed", position, head, reason))
        first = self.place is None
        if first and reason is not None:
            assert isinstance(self.since, Position) or self.since == "start"
            # A channel that does not know yet that the plan began again may report that it was trimmed.
            assert reason in self.verdicts or (reason == "trimmed" and self.story.was_trimmed(self._wanted))
        if first and reason is None and self.since != "snapshot":
            self._begin(position)
        else:
            self._awaits_snapshot = True
        self.place = position
        if self.on_placed:
            self.on_placed()

    def snapshot(self, frame: bytes) -> None:
        assert self.here, "a snapshot after it left"
        assert not self.full, "a snapshot while it is full"
        assert self._awaits_snapshot, "a snapshot without `placed`"
        told = json.loads(frame)
        place = Position(told["epoch"], told["offset"])
        assert place == self.place
        assert told["type"] == "snapshot"
        assert told["plan_id"] == self.story.plan_id
        assert told["data"] == json.loads(encode(self.story.folded(place))), place
        self._awaits_snapshot = False
        self.told.append(("snapshot", place))

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:
        assert retry_after_ms > 0
        assert message
        self.refusal = message
        self._gone(plan_id, ("refused",))

    def ended(self, plan_id: str, code: int, reason: str) -> None:
        assert reason
        self._gone(plan_id, ("ended", code))

    # -- the client's checks -------------------------------------------------------------------------------------------

    def _begin(self, place: Position) -> None:
        assert place.offset <= len(self.story.told[place.epoch])
        if isinstance(self.since, Position):
            assert place.offset == self.since.offset
            if place.offset:
                verdict = self.story.lineages[place.epoch].continuity(self.since, ENDLESS, 0)
                assert verdict == "ok", (self.since, place)
        elif self.since == "start":
            assert place.offset == 0

    def _event(self, frame: dict[str, Any]) -> None:
        assert self.place is not None
        epoch, offset = frame.pop("epoch"), frame.pop("offset")
        first = frame.pop("first", offset)
        assert first == self.place.offset + 1, (first, offset, self.place)
        assert first <= offset
        lineage = self.story.lineages[epoch]
        assert lineage.continuity(self.place, ENDLESS, 0) == "ok", (epoch, offset, self.place)
        epochs = list(self.story.told)
        assert not self.place.offset or epochs.index(epoch) >= epochs.index(self.place.epoch), "back to an old epoch"
        assert frame.pop("plan_id") == self.story.plan_id
        originals = self.story.told[epoch][first - 1 : offset]
        assert len(originals) == offset - first + 1, "events that never existed"
        if first == offset:
            assert frame == json.loads(originals[0]), (epoch, offset)
        else:
            assert frame == _joined(originals)
        self.place = Position(epoch, offset)
        self.told.append(("events", first, offset))
        if self.on_event:
            self.on_event()

    def _whole_events(self, burst: Burst) -> None:
        """It must get every event but the parts of streamed messages, and each completed message as one event."""
        assert self.place is not None
        assert burst.first > self.place.offset
        frames = [json.loads(frame) for frame in burst.frames]
        [epoch] = {frame["epoch"] for frame in frames}
        place = Position(epoch, burst.last)
        lineage = self.story.lineages[epoch]
        assert lineage.continuity(self.place, ENDLESS, 0) == "ok", (place, self.place)
        ids = {frame["id"] for frame in frames}
        expected = [one for one in self._whole(place) if one in self.owed(place) or one[1]["id"] in ids]
        assert len(frames) == len(expected), (frames, expected)
        for frame, (offset, event) in zip(frames, expected, strict=True):
            assert (frame.pop("epoch"), frame.pop("offset"), frame.pop("plan_id")) == (
                epoch,
                offset,
                self.story.plan_id,
            )
            assert self._same(frame, event), (frame, event)
            self.told.append(("whole", offset, frame))
        self.place = place
        if self.on_event:
            self.on_event()

    def owed(self, place: Position) -> list[tuple[int, dict[str, Any]]]:
        """What such a client must get from its position up to this one; the parts of some messages may have been trimmed."""
        whole = self._whole(place)
        return whole if self._knows_all else [one for one in whole if one[1]["type"] != "agent_message"]

    @property
    def _knows_all(self) -> bool:
        return self.exact and not self.story.ever_trimmed

    def _whole(self, place: Position) -> list[tuple[int, dict[str, Any]]]:
        assert self.place is not None
        events = [json.loads(payload) for payload in self.story.told[place.epoch][: place.offset]]
        return [(offset, event) for offset, event in whole_messages(events) if offset > self.place.offset]

    def _same(self, frame: dict[str, Any], event: dict[str, Any]) -> bool:
        if self._knows_all:
            return frame == event
        text, whole = frame["data"].get("content", ""), event["data"].get("content", "")
        return frame["id"] == event["id"] and bool(text or not whole) and whole.endswith(text)

    def _took(self) -> None:
        self.room -= 1
        if self.room <= 0 and self.here:
            self.fill()
            if self.on_full:
                self.on_full()

    def _gone(self, plan_id: str, word: tuple[Any, ...]) -> None:
        assert self.here, "ended after it left"
        assert plan_id == self.story.plan_id
        self.here = False
        self.told.append(word)
        if self.on_gone:
            self.on_gone()


def _joined(originals: Sequence[bytes]) -> dict[str, Any]:
    """Parts of one message as one part, with the id of the last and the timestamp of the first."""
    parts = [json.loads(payload) for payload in originals]
    for told in parts:
        rest = {key: value for key, value in told["data"].items() if key not in ("content", "timestamp")}
        assert rest == {key: value for key, value in parts[0]["data"].items() if key not in ("content", "timestamp")}
        assert rest["append"] is True
        assert not rest.keys() & {"final", "error", "data"}
    content = "".join(told["data"]["content"] for told in parts)
    joined: dict[str, Any] = parts[-1] | {"data": parts[0]["data"] | {"content": content}}
    return joined


def whole_messages(events: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """The events of a plan with whole messages, each with the offset at which it is complete."""
    told: list[tuple[int, dict[str, Any]]] = []
    under_way: dict[str, list[dict[str, Any]]] = {}
    for offset, event in enumerate(events, 1):
        data = event["data"]
        complete: list[list[dict[str, Any]]] = []
        if event["type"] == "agent_message" and data.get("append"):
            under_way.setdefault(data["message_id"], []).append(event)
            if data.get("final") or "error" in data:
                complete = [under_way.pop(data["message_id"])]
        elif event["type"] == "plan_update" and "step_id" not in data and data.get("status") in PLAN_ENDED:
            complete = list(under_way.values())
            under_way.clear()
        elif event["type"] == "agent_message":
            under_way.pop(data.get("message_id"), None)
        told += [(offset, message) for message in map(_of, complete) if message["data"]["content"]]
        if not (event["type"] == "agent_message" and data.get("append")):
            told.append((offset, event))
    return told


def _of(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One message of all parts, with the id of the last and the timestamp of the first."""
    latest = {name: part["data"][name] for part in parts for name in ("final", "error", "data") if name in part["data"]}
    data = parts[0]["data"] | latest | {"content": "".join(part["data"]["content"] for part in parts)}
    del data["append"]
    return parts[-1] | {"data": data}
