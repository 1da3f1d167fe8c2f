"""A client that believes nothing: it holds every frame against docs/PROTOCOL.md, and what it is told against all others.

Order is checked at once: a gap, a duplicate, an event nobody asked for or after its end is a problem, written down in
the chronicle with the reader's last frames. It remembers its place in each plan and resumes there when it reconnects.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from broadcasters.log import log_of
from broadcasters.position import Position
from tests.faults.chronicle import Chronicle, Tally, Told, told_of
from tests.faults.line import Line, open_line

__all__ = ["Reader", "Since", "Stand", "told_all"]

Since = Literal["now", "start", "snapshot"] | Position | None
DEADLINE_S = 120.0
ATTEMPT_S = 20.0
"""After this, an attempt to connect is given up: with a full backlog, the kernel alone waits a minute between its SYNs."""
REASONS = frozenset({"trimmed", "forked", "ahead", "epoch"})


class Stand:
    """How one subscription stands on this connection."""

    __slots__ = ("awaits_snapshot", "joined", "just_confirmed", "place", "requests", "since")

    def __init__(self, since: Since) -> None:
        self.since = since
        self.joined = False
        self.place = Position("", 0)
        self.awaits_snapshot = False
        self.just_confirmed = False
        self.requests: dict[str, Since] = {}
        """Subscriptions asked for and not answered yet, and what each asked for."""

    @property
    def knows_positions(self) -> bool:
        return self.since is not None


class Reader:
    """`await connect()`, `subscribe`, `await until(…)`. Any number of connections, one after the other."""

    def __init__(
        self, chronicle: Chronicle, url: str, name: str = "reader", *, receive_buffer: int | None = None
    ) -> None:
        chronicle.witnesses.append(self)
        self.chronicle = chronicle
        self.url = url
        self.name = name
        self.line: Line | None = None
        self.stands: dict[str, Stand] = {}
        self.places: dict[str, Position] = {}
        """The place of each plan, after everything that was ever told of it."""
        self.connections = 0
        self.frames = 0
        self.closes: list[int] = []
        self.hints: list[int] = []
        self.reasons: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.interrupted: dict[str, Since] = {}
        """Plans whose subscription the hub refused or ended for the moment, and what to ask for when asking again."""
        self.on_told: Callable[[Told, bytes], None] | None = None
        self._receive_buffer = receive_buffer
        self._numbers = itertools.count(1)
        self._greeted = False
        self._leaving: dict[str, str] = {}  # request id of an unsubscription -> plan
        self._recent: deque[bytes] = deque(maxlen=8)
        self._changed = asyncio.Event()

    # ---- what it does

    @property
    def connected(self) -> bool:
        return self.line is not None and not self.line.ended.done()

    @property
    def leaving(self) -> bool:
        """An unsubscription is not answered yet."""
        return bool(self._leaving)

    async def connect(self) -> None:
        """Open a connection, and resume every plan that was watched on the last one."""
        assert not self.connected
        wanted, self.stands, self.line = self.stands, {}, None
        self._greeted, self._leaving = False, {}
        self.connections += 1
        try:
            async with asyncio.timeout(ATTEMPT_S):
                self.line = await open_line(self.url, self._heard, receive_buffer=self._receive_buffer)
        except OSError:
            self.stands = wanted
            raise
        self.line.ended.add_done_callback(self._ended)
        for plan_id, stand in wanted.items():
            self.subscribe(plan_id, self.places.get(plan_id, stand.since) if stand.knows_positions else None)

    async def insist(self, *urls: str) -> None:
        """Connect to the first of these (or to the last one) that accepts. Only the test's own timeout ends the attempts."""
        choices = itertools.cycle(urls or (self.url,))
        while not self.connected:
            self.url = next(choices)
            with suppress(OSError):
                await self.connect()
                return
            await asyncio.sleep(0.02)

    def subscribe(self, plan_id: str, since: Since = None) -> None:
        stand = self.stands.get(plan_id)
        if stand is None:
            stand = self.stands[plan_id] = Stand(since)
        request_id = f"s{next(self._numbers)}"
        stand.requests[request_id] = since
        self.interrupted.pop(plan_id, None)
        place = {"epoch": since.epoch, "offset": since.offset} if isinstance(since, Position) else since
        self._say("subscribe_plan", plan_id, request_id, {} if since is None else {"since": place})

    def resume(self, plan_id: str) -> None:
        """Subscribe at the place where it stands, or to everything if it never heard of the plan."""
        place: Since = self.places.get(plan_id, "start")
        self.subscribe(plan_id, self.interrupted.get(plan_id, place))

    def unsubscribe(self, plan_id: str) -> None:
        request_id = f"u{next(self._numbers)}"
        self._leaving[request_id] = plan_id
        self._say("unsubscribe_plan", plan_id, request_id, {})

    async def leave(self) -> None:
        """Close as one should."""
        if self.line is not None and self.connected:
            await self.line.close()

    async def vanish(self) -> None:
        """The connection is reset, if there is one."""
        if self.line is not None:
            self.line.vanish()
            await asyncio.shield(self.line.ended)

    async def until(self, true: Callable[[Reader], Any], what: str = "") -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not true(self):
                    assert self.chronicle.problems == [], self.chronicle.problems[0]
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            places = {plan_id: (stand.joined, *stand.place) for plan_id, stand in self.stands.items()}
            raise AssertionError(
                f"{self.name} waited in vain{what and ' for '}{what}: {places}, {self.closes}"
            ) from None

    async def until_at(self, plan_id: str, offset: int) -> None:
        """Wait until it was told everything up to there."""
        await self.until(lambda _: self.at(plan_id) >= offset, f"{plan_id} up to {offset}")

    async def until_closed(self, deadline: float | None = DEADLINE_S) -> int:
        assert self.line is not None
        async with asyncio.timeout(deadline):
            return await asyncio.shield(self.line.ended)

    def at(self, plan_id: str) -> int:
        """How far it was told, on this connection; -1 when it is not (yet) told anything of the plan."""
        stand = self.stands.get(plan_id)
        return stand.place.offset if stand and stand.joined and not stand.awaits_snapshot else -1

    def _say(self, kind: str, plan_id: str, request_id: str, more: dict[str, Any]) -> None:
        assert self.line is not None
        self.line.send(json.dumps({"type": kind, "plan_id": plan_id, "request_id": request_id, **more}))

    # ---- what it hears

    def _ended(self, ended: asyncio.Future[int]) -> None:
        self.closes.append(ended.result())
        self._changed.set()

    def _heard(self, frame: bytes) -> None:
        self.frames += 1
        self._recent.append(frame)
        if self.line is not None and self.line.code is not None:
            self._wrong("a frame behind the close")
        told = told_of(frame)
        if told is not None:
            self._event(told, frame)
        else:
            self._other(json.loads(frame), frame)
        self._changed.set()

    def _event(self, told: Told, frame: bytes) -> None:
        stand = self.stands.get(told.plan_id)
        if stand is None or not stand.joined:
            self._wrong(f"an event of {told.plan_id}, which is not subscribed")
            return
        if stand.awaits_snapshot:
            self._wrong(f"an event between a break and its snapshot: {told.offset}")
        if told.first != stand.place.offset + 1 or told.offset < told.first:
            self._wrong(f"after {stand.place} of {told.plan_id} came {told.first} to {told.offset}")
        if told.first != told.offset and not stand.knows_positions:
            self._wrong(f"merged events for a client that knows no positions: {told.first} to {told.offset}")
        stand.place = self.places[told.plan_id] = Position(told.epoch, told.offset)
        stand.just_confirmed = False
        self.chronicle.heard(told)
        if self.on_told is not None:
            self.on_told(told, frame)

    def _other(self, said: dict[str, Any], frame: bytes) -> None:
        if self._greeted == (said["type"] == "connected"):
            self._wrong("`connected` is the first frame, and only that")
        match said["type"]:
            case "connected":
                self._greeted = True
            case "subscription_confirmed":
                self._confirmed(said)
            case "snapshot":
                self._snapshot(said, frame)
            case "unsubscription_confirmed":
                self._unsubscribed(said)
            case "subscription_ended":
                self._over(said)
            case "going_away":
                self.hints.append(said["reconnect_after_ms"])
            case "error":
                self._error(said)
            case kind:
                self._wrong(f"nobody expects a {kind}")

    def _confirmed(self, said: dict[str, Any]) -> None:
        plan_id, place = said["plan_id"], Position(said["epoch"], said["offset"])
        stand, request_id = self.stands.get(plan_id), said.get("request_id")
        if stand is None or (request_id is not None and request_id not in stand.requests):
            self._wrong("the confirmation of what nobody asked for")
            return
        if request_id is not None:
            del stand.requests[request_id]
        if said["head"] < place.offset:
            self._wrong("a head behind its place")
        if not said["recovered"]:
            if said["reason"] not in REASONS:
                self._wrong(f"a reason that is none: {said['reason']}")
            self.reasons[said["reason"]] += not (stand.joined and stand.awaits_snapshot and place == stand.place)
            stand.awaits_snapshot = True
        elif not stand.joined:
            self._begins(stand, place)
        elif request_id is None or place.offset != stand.place.offset:
            stand.awaits_snapshot = True  # only a snapshot moves a subscription that stands
        stand.joined = stand.just_confirmed = True
        stand.place = place
        if not stand.awaits_snapshot:
            self.places[plan_id] = place

    def _begins(self, stand: Stand, place: Position) -> None:
        match stand.since:
            case "snapshot":
                stand.awaits_snapshot = True
            case "start" if place.offset != 0:
                self._wrong(f"everything was asked for, and begins after {place}")
            case Position(offset=offset) if place.offset != offset:
                self._wrong(f"{stand.since} was asked for, and it begins after {place}")

    def _snapshot(self, said: dict[str, Any], frame: bytes) -> None:
        plan_id, place = said["plan_id"], Position(said["epoch"], said["offset"])
        stand = self.stands.get(plan_id)
        if stand is None or not stand.just_confirmed or stand.place != place:
            self._wrong(f"a snapshot at {place} without a word")
            return
        stand.awaits_snapshot = stand.just_confirmed = False
        self.places[plan_id] = place
        self.chronicle.snapshot(plan_id, place, frame[frame.index(b'"data":') + 7 : -1])

    def _unsubscribed(self, said: dict[str, Any]) -> None:
        plan_id = self._leaving.pop(said.get("request_id", ""), None)
        if plan_id is None or plan_id != said["plan_id"]:
            self._wrong("an unsubscription that nobody asked for")
            return
        stand = self.stands.pop(plan_id, None)
        number = int(said["request_id"][1:])
        later = {one: since for one, since in stand.requests.items() if int(one[1:]) > number} if stand else {}
        self._begin_again(plan_id, later)  # what was asked before is answered herewith

    def _begin_again(self, plan_id: str, requests: dict[str, Since]) -> None:
        """The subscription is over, and these requests, which the hub had not seen by then, are for a new one."""
        if requests:
            self.stands[plan_id] = again = Stand(next(iter(requests.values())))
            again.requests = requests

    def _error(self, said: dict[str, Any]) -> None:
        plan_id, request_id = said.get("plan_id"), said.get("request_id")
        self.errors[said["code"]] += 1
        stand = self.stands.get(plan_id) if plan_id else None
        if stand is not None and request_id in stand.requests:
            del stand.requests[request_id]
            if not stand.joined:
                del self.stands[str(plan_id)]
                self.interrupted[str(plan_id)] = stand.since
                self._begin_again(str(plan_id), stand.requests)
        if said["code"] not in ("unavailable", "continuity_lost"):
            self._wrong(f"the error {said['code']}: {said['message']}")

    def _over(self, said: dict[str, Any]) -> None:
        """`subscription_ended`: by its code, this can be taken up again or not."""
        plan_id, code = said["plan_id"], said["code"]
        self.errors[str(code)] += 1
        if (stand := self.stands.pop(plan_id, None)) is None:
            self._wrong("the end of what was not subscribed")
            return
        if code == 2500:
            self.interrupted[plan_id] = "snapshot"
        self._begin_again(plan_id, stand.requests)

    def _wrong(self, problem: str) -> None:
        recent = b"\n    ".join(frame[:160] for frame in self._recent).decode(errors="replace")
        self.chronicle.problems.append(f"{self.name}: {problem}\n    {recent}")


async def told_all(readers: Sequence[Reader], log_url: str, *talkers: Path) -> Tally:
    """Wait until each was told all of each of its plans; then hold everything against the log."""
    log = log_of(log_url)
    await log.open()
    try:
        heads = await log.heads({plan_id for reader in readers for plan_id in reader.stands})
        for reader in readers:
            for plan_id in list(reader.stands):
                await reader.until_at(plan_id, heads[plan_id].offset)
        return await readers[0].chronicle.verify(log, *talkers)
    finally:
        await log.close()
