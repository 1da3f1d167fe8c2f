"""Server-sent events: plans watched where WebSockets don't get through. The same connection, with another line.

The `id:` of an event is the place after it: `epoch:offset` for one plan; for several, the places of all of them in the
order in which the address names them, by comma; one without a place yet is left empty, and begins as the address says.
A browser that lost the line sends it back as Last-Event-ID.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, Final

from hub.core.burst import Burst
from hub.transports.admission import Admission, Door
from hub.transports.ended_plans import Endings
from hub.transports.pull_outlet import Line
from hub.wire.codes import CloseCode, SubscriptionCode
from hub.wire.frames import data_field, is_snapshot, named_message, position_of, snapshot_ended

__all__ = ["HEADERS", "BadCursor", "Since", "Stream", "place_in", "places_of"]

HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
KEEP_ALIVE_SECONDS: Final = 15.0
RETRY_MS: Final = 2000

Since = str | dict[str, Any] | None


class BadCursor(ValueError):
    """A cursor that no stream of these plans ever gave."""


def places_of(plan_ids: Sequence[str], cursor: str, otherwise: Since) -> dict[str, Since]:
    """Where each plan goes on, from a cursor; one that has no place in it begins as it would without."""
    parts = cursor.split(",")
    if len(parts) != len(plan_ids):
        raise BadCursor(f"a cursor of {len(parts)} places, for {len(plan_ids)} plans")
    return {
        plan_id: place_in(part) if part or len(parts) == 1 else otherwise
        for plan_id, part in zip(plan_ids, parts, strict=True)
    }


def place_in(part: str) -> dict[str, Any]:
    """The place of one plan, as `subscribe_plan` wants it; `BadCursor` when it is none."""
    epoch, colon, offset = part.partition(":")
    plain = len(epoch) <= 64 and (not epoch or (epoch.isascii() and epoch.isalnum()))
    if not colon or not plain or not offset.isascii() or not offset.isdigit() or len(offset) > 15:
        raise BadCursor(f"{part!r:.60} is not epoch:offset")
    return {"epoch": epoch, "offset": int(offset)}


class Stream:
    """One client's stream. `told` begins it; its line ends it."""

    def __init__(self, door: Door, admission: Admission, plans: Mapping[str, Since], endings: Endings) -> None:
        self.line = Line(door.waters)
        self._door = door
        self._admission = admission
        self._story = _Story(plans)
        self._endings = endings
        self._connection = self.line.connection = door.connect(self.line, admission, "sse")
        self._here = True
        self._settling: dict[asyncio.Task[None], _Plan] = {}
        """For each plan of which everything was sent: the task that finds out whether it has ended."""

    async def told(self) -> AsyncGenerator[bytes]:
        """Everything the client is to get. Close it in any case."""
        try:
            self._door.begin(self._connection)
            for plan in self._story.plans:
                asked = {"type": "subscribe_plan", "plan_id": plan.plan_id, "since": plan.since or "now"}
                self._connection.receive(json.dumps(asked))
            yield b"retry: %d\n\n" % RETRY_MS
            async for said in self._tell():
                yield said
        finally:
            for settling in self._settling:
                settling.cancel()
            await asyncio.gather(*self._settling, return_exceptions=True)
            self.leave()

    def leave(self) -> None:
        """The client has gone."""
        if self._here:
            self._here = False
            self._door.leave(self._connection, self._admission)

    async def _tell(self) -> AsyncGenerator[bytes]:
        story = self._story
        while True:
            waiting = await self._take()
            if waiting is None:
                yield b": still here\n\n"
                continue
            if not waiting and self.line.ending is not None:
                code, reason = self.line.ending
                yield named_message("close", {"code": int(code), "reason": reason})
                return
            if said := b"".join([*map(story.tell, waiting), *story.endings()]):
                yield said
            if story.finished:
                return
            self._settle()

    async def _take(self) -> Sequence[Burst | bytes] | None:
        """What waits for the client: nothing, if the line has ended or a plan is settled. None: keep the line alive."""
        if self._settling:
            return await self._take_or_settle()
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                return await self.line.take()
        except TimeoutError:
            return None

    async def _take_or_settle(self) -> Sequence[Burst | bytes] | None:
        taking = asyncio.ensure_future(self.line.take())
        try:
            waits = {taking, *self._settling}
            done, _ = await asyncio.wait(waits, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()
        for settled in [task for task in self._settling if task in done]:
            del self._settling[settled]
            settled.result()
        return taking.result() if taking in done else [] if done else None

    def _settle(self) -> None:
        for plan in self._story.unsettled():
            if plan not in self._settling.values():
                self._settling[asyncio.ensure_future(self._find_out(plan))] = plan

    async def _find_out(self, plan: _Plan) -> None:
        """Whether the plan has ended; unknown still if it went on meanwhile."""
        offset = plan.offset
        over = await self._endings.over(plan.plan_id, offset)
        if plan.over is None and plan.offset == offset:
            plan.over = over


class _Plan:
    """What the client was told of one plan."""

    def __init__(self, plan_id: str, since: Since) -> None:
        self.plan_id = plan_id
        self.since = since
        self.place = f"{since['epoch']}:{since['offset']}".encode() if isinstance(since, dict) else b""
        self.offset = -1  # not confirmed yet
        self.head = 0
        self.over: bool | None = None
        """Whether the plan has ended; None: nothing was said of that yet."""
        self.told_end = False
        self.gone: int | None = None
        """Why it is told of no more, if so."""

    @property
    def at_head(self) -> bool:
        return self.offset >= self.head

    @property
    def done(self) -> bool:
        return self.told_end or self.gone is not None

    def confirmed(self, said: Mapping[str, Any]) -> None:
        """A confirmation moves no place, but for one who has none and asked for events: what follows starts there."""
        if self.offset < 0 and said["recovered"] and self.since in (None, "now", "start"):
            self.place = f"{said['epoch']}:{said['offset']}".encode()
        self.offset, self.head = said["offset"], said["head"]

    def went_on(self, place: bytes, offset: int, over: bool | None) -> None:
        self.place, self.offset = place, offset
        if over is not None:
            self.over = over
            self.told_end = self.told_end and over


class _Story:
    """What one client was told, so that every event can carry the places of all plans."""

    def __init__(self, plans: Mapping[str, Since]) -> None:
        self._plans = {plan_id: _Plan(plan_id, since) for plan_id, since in plans.items()}

    @property
    def plans(self) -> Sequence[_Plan]:
        return list(self._plans.values())

    @property
    def finished(self) -> bool:
        return all(plan.done for plan in self._plans.values())

    def tell(self, item: Burst | bytes) -> bytes:
        return self._events(item) if isinstance(item, Burst) else self._frame(item)

    def unsettled(self) -> Iterator[_Plan]:
        """Plans of which all was told, and not whether they have ended."""
        return (plan for plan in self._plans.values() if plan.over is None and plan.at_head and plan.offset > 0)

    def endings(self) -> Iterator[bytes]:
        """What is to be said of plans that are over now, and of those that are told of no more."""
        for plan in self._plans.values():
            if plan.over and plan.at_head and not plan.done:
                plan.told_end = True
                yield named_message("end", {"plan_id": plan.plan_id})
        gone = [plan.gone for plan in self._plans.values() if plan.gone is not None]
        if gone and self.finished:
            yield named_message(
                "close", {"code": int(_CLOSES.get(gone[0], CloseCode.INTERNAL)), "reason": "nothing more comes"}
            )

    def _events(self, burst: Burst) -> bytes:
        stream = burst.event_stream
        plan = self._plans[stream.plan_id]
        if len(self._plans) == 1:
            plan.went_on(stream.position, stream.offset, stream.ended)
            return stream.messages
        said: list[bytes] = []
        for place, data in stream.parts:
            plan.place = place
            said.append(self._id() + data)
        plan.went_on(stream.position, stream.offset, stream.ended)
        return b"".join(said)

    def _frame(self, frame: bytes) -> bytes:
        if is_snapshot(frame):
            plan_id, place, offset = position_of(frame)
            self._plans[plan_id].went_on(place, offset, snapshot_ended(frame))
            return self._id() + data_field(frame)
        said = json.loads(frame)
        plan = self._plans.get(said.get("plan_id"))
        if plan is None:
            return data_field(frame)
        match said["type"]:
            case "subscription_confirmed":
                before = plan.place
                plan.confirmed(said)
                return (self._id() if plan.place != before else b"") + data_field(frame)
            case "subscription_ended":
                plan.gone = said["code"]
            case "error":
                plan.gone = 0
            case _:
                pass
        return data_field(frame)

    def _id(self) -> bytes:
        return b"id: %b\n" % b",".join(plan.place for plan in self._plans.values())


_CLOSES: Final[Mapping[int, CloseCode]] = {
    SubscriptionCode.FORBIDDEN: CloseCode.FORBIDDEN,
    SubscriptionCode.PLAN_DELETED: CloseCode.NORMAL,
    SubscriptionCode.TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
}
