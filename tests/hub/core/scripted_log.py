"""A fake log whose notifications and responses the test controls: what is reported, when, and how often.

It does not show how real logs behave (tests/contract does); it behaves as badly as the log's contract permits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from broadcasters.errors import LogUnavailable
from broadcasters.events import parse
from broadcasters.fold import fold
from broadcasters.log.contract import (
    Appended,
    Checkpoint,
    Durability,
    Entry,
    Facts,
    Head,
    Page,
    PlanLog,
    PlanPage,
    Watch,
    Watcher,
)
from broadcasters.position import Lineage, Position
from broadcasters.snapshot import Snapshot, empty, encode

__all__ = ["ScriptedLog", "ScriptedWatch", "Story", "part", "step", "update"]

T = TypeVar("T")
Message = Callable[[Watcher], None]


def part(number: int, message_id: str = "m", plan_id: str = "p", **more: Any) -> bytes:
    """A part of a streamed message."""
    text = {"agent_name": "Ann", "content": f"{number}é ", "message_type": "thinking", "message_id": message_id}
    return _payload("agent_message", number, plan_id, text | {"append": True} | more)


def update(number: int, plan_id: str = "p", **data: Any) -> bytes:
    """An update of the plan itself."""
    return _payload("plan_update", number, plan_id, data)


def step(number: int, plan_id: str = "p") -> bytes:
    """An event that is never merged with others."""
    return _payload("step_update", number, plan_id, {"step_id": f"s{number % 3}", "status": "in_progress"})


def _payload(kind: str, number: int, plan_id: str, data: dict[str, Any]) -> bytes:
    moment = f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    event = {"type": kind, "id": f"i{number}", "data": {"plan_id": plan_id, "timestamp": moment} | data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


class Story:
    """The real content of one plan, in every lineage it had."""

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        self.payloads: list[bytes] = []
        self.lineage = Lineage()
        self.floor = 0
        self.checkpoint: Checkpoint | None = None
        self.told: dict[str, list[bytes]] = {"": []}
        """The payloads of each epoch there ever was, from the first offset on."""
        self.lineages: dict[str, Lineage] = {"": Lineage()}
        self._replaced = False  # the server restarted: the next append begins an epoch
        self._heads: list[Head] = []  # the floors after each trim, and at the beginning of each epoch
        self._folds: dict[tuple[str, int], Snapshot] = {}

    @property
    def head(self) -> Head:
        return Head(self.lineage, len(self.payloads), self.floor)

    def append(self, payloads: Sequence[bytes]) -> tuple[str, int]:
        """Append; returns the epoch and the first offset."""
        if self._replaced or not self.lineage.epoch:
            old = self.lineage
            ended = (*old.ended, (old.epoch, len(self.payloads))) if old.epoch else ()
            self.lineage = Lineage(f"e{len(self.told)}", ended)
            self.lineages[self.lineage.epoch] = self.lineage
            self.told[self.lineage.epoch] = list(self.payloads)
            self._replaced = False
            self._heads.append(self.head)
        first = len(self.payloads) + 1
        self.payloads += payloads
        self.told[self.lineage.epoch] += payloads
        return self.lineage.epoch, first

    def restart(self) -> None:
        """Restart the server; every event survives."""
        self._replaced = True

    def fork(self, keep: int) -> None:
        """A replica with only the first `keep` events takes over."""
        del self.payloads[keep:]
        ended = list(self.lineage.ended)
        while ended and ended[-1][1] >= keep:
            epoch, _ = ended.pop()
            self.lineage = Lineage(epoch, tuple(ended))
        self._replaced = True

    def vanish(self) -> None:
        """The plan is lost or deleted."""
        self.payloads, self.lineage, self.floor, self.checkpoint = [], Lineage(), 0, None
        self._replaced = False

    def trim(self, window: int) -> None:
        """Keep a checkpoint at the head, and at most `window` events before it."""
        self.checkpoint = Checkpoint(self.head.position, encode(self.folded(self.head.position)))
        self.floor = max(self.floor, len(self.payloads) - window)
        self._heads.append(self.head)

    @property
    def ever_trimmed(self) -> bool:
        return any(head.floor for head in self._heads)

    def was_trimmed(self, place: Position) -> bool:
        """Whether this was the continuity of the position at some time, perhaps in another lineage."""
        return any(head.lineage.continuity(place, head.offset, head.floor) == "trimmed" for head in self._heads)

    def read(self, after: int, limit: int, max_bytes: int) -> Page:
        start = max(after, self.floor)
        page: list[bytes] = []
        size = 0
        for payload in self.payloads[start : start + limit]:
            if page and size + len(payload) > max_bytes:
                break
            page.append(payload)
            size += len(payload)
        return Page(self.head, start + 1, page)

    def folded(self, place: Position) -> Snapshot:
        """The snapshot of the plan at this position."""
        epoch, offset = place
        known = self._folds.get((epoch, offset))
        if known is None:
            before = max((at for of, at in self._folds if of == epoch and at < offset), default=0)
            base = self._folds.get((epoch, before)) or empty(self.plan_id)
            events = [parse(payload) for payload in self.told[epoch][before:offset]]
            known = self._folds[epoch, offset] = fold(base, before + 1, events)
        return known


class ScriptedWatch(Watch):
    """A watch, with the arrivals that were not reported yet."""

    def __init__(self, log: ScriptedLog, plan_id: str, watcher: Watcher) -> None:
        self.plan_id = plan_id
        self.watcher = watcher
        self.pending: list[Message] = []
        self.deaf = False
        self._log = log

    def say(self, message: Message) -> None:
        if not self.deaf:
            self.pending.append(message)

    def tell(self, at: int = 0, *, again: bool = False) -> None:
        """Report the arrival at this index of the queue."""
        if at < len(self.pending):
            message = self.pending[at] if again else self.pending.pop(at)
            message(self.watcher)

    def tell_all(self) -> None:
        while self.pending:
            self.tell()

    def lose(self) -> None:
        """Lose the watch: waiting and later arrivals are lost."""
        if not self.deaf:
            self.deaf = True
            self.pending.clear()
            self.watcher.lost()

    def resume(self) -> None:
        if self.deaf:
            self.deaf = False
            self.watcher.resumed()

    async def close(self) -> None:
        if self in self._log.watches:
            self._log.watches.remove(self)


class ScriptedLog(PlanLog):
    """A log that responds as the test requires: at once, later, never, or with an error."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}
        self.watches: list[ScriptedWatch] = []
        self.down = False
        self.raises: Exception | None = None
        """An exception that calls raise, although no log should."""
        self.hanging = False
        """Calls wait until `release`."""
        self.slowness = 1
        """Turns of the loop that each call takes."""
        self.looks_late = False
        """A call returns the content at its end, not at its beginning."""
        self.asked: list[tuple[Any, ...]] = []
        """The calls, in order."""
        self._held: list[asyncio.Future[None]] = []

    def story(self, plan_id: str = "p") -> Story:
        return self.stories.setdefault(plan_id, Story(plan_id))

    # -- the test's side -----------------------------------------------------------------------------------------------

    def say(self, *payloads: bytes, plan_id: str = "p") -> None:
        """Append; every watch has the arrival, but reports it later."""
        epoch, first = self.story(plan_id).append(payloads)
        for watch in self.watching(plan_id):
            watch.say(lambda watcher: watcher.arrived(epoch, first, payloads))

    def tell(self, *payloads: bytes, plan_id: str = "p") -> None:
        """Append, and report it to every watcher at once."""
        self.say(*payloads, plan_id=plan_id)
        self.tell_all(plan_id)

    def tell_all(self, plan_id: str = "p") -> None:
        for watch in self.watching(plan_id):
            watch.tell_all()

    def drop_all(self, plan_id: str = "p") -> None:
        for watch in self.watching(plan_id):
            watch.pending.clear()

    def forget(self, plan_id: str = "p") -> None:
        """Delete the plan; every watch reports it later."""
        self.story(plan_id).vanish()
        for watch in self.watching(plan_id):
            watch.say(lambda watcher: watcher.deleted())

    def watching(self, plan_id: str = "p") -> list[ScriptedWatch]:
        return [watch for watch in self.watches if watch.plan_id == plan_id]

    def release(self, count: int = 1_000, *, broken: bool = False) -> None:
        """Let waiting calls return, the oldest first, or fail."""
        for _ in range(min(count, len(self._held))):
            held = self._held.pop(0)
            if held.done():
                continue
            if broken:
                held.set_exception(LogUnavailable("the script says: the line broke"))
            else:
                held.set_result(None)

    def count(self, *what: Any) -> int:
        """How often this was called."""
        return sum(asked[: len(what)] == what for asked in self.asked)

    # -- the hub's side ------------------------------------------------------------------------------------------------

    async def _answer(self, look: Callable[[], T]) -> T:
        seen = look()
        if self.hanging:
            held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(held)
            await held
        for _ in range(self.slowness):
            await asyncio.sleep(0)
        if self.raises is not None:
            raise self.raises
        if self.down:
            raise LogUnavailable("the script says: down")
        return look() if self.looks_late else seen

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        self.asked.append(("read", plan_id, after, limit))
        return await self._answer(lambda: self.story(plan_id).read(after, limit, max_bytes))

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        self.asked.append(("heads", *plan_ids))
        return await self._answer(lambda: {plan_id: self.story(plan_id).head for plan_id in plan_ids})

    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        self.asked.append(("checkpoint", plan_id))
        return await self._answer(lambda: self.story(plan_id).checkpoint)

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        self.asked.append(("watch", plan_id))
        watch = ScriptedWatch(self, plan_id, watcher)
        self.watches.append(watch)
        try:
            await self._answer(lambda: None)
        except BaseException:
            self.watches.remove(watch)
            raise
        return watch

    async def append(
        self,
        plan_id: str,
        producer: str,  # noqa: ARG002
        seq: int,  # noqa: ARG002
        entries: Sequence[Entry],
        facts: Facts,  # noqa: ARG002
    ) -> Appended:
        self.say(*[entry.payload for entry in entries], plan_id=plan_id)
        head = self.story(plan_id).head
        return Appended(head.lineage.epoch, range(head.offset - len(entries) + 1, head.offset + 1))

    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:  # noqa: ARG002
        self.story(plan_id).trim(window)
        return True

    async def plans(self, **_: Any) -> PlanPage:
        return PlanPage([], None)

    async def delete(self, plan_id: str) -> bool:
        self.forget(plan_id)
        return True

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def durability(self) -> Durability:
        return "memory"
