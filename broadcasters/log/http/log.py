"""The log behind a hub, with all the promises of a log.

The hub stores what it is sent under the agent's own producer and counting, so an append repeated on another connection,
or through another hub on the same log, is known (L3). When it says that a checkpoint is due, it is this side that
takes it, as with every log: folding is work, and there are more agents than hubs. (An agent that may not read can't;
it is not told, and the hub does it.)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote

from broadcasters.errors import InvalidEvent, LogMisconfigured
from broadcasters.events import check_plan_id
from broadcasters.log.contract import (
    MAX_APPEND_EVENTS,
    Appended,
    Checkpoint,
    Durability,
    Entry,
    Facts,
    Head,
    Page,
    PlanEntry,
    PlanLog,
    PlanPage,
    Watch,
    Watcher,
)
from broadcasters.log.http.append_batches import Courier
from broadcasters.log.http.lines import (
    Unreadable,
    read_checkpoint,
    read_head,
    read_page,
    write_checkpoint,
)
from broadcasters.log.http.link import Link, Refused
from broadcasters.log.http.tail import HttpTail
from broadcasters.log.http.url import HubUrl
from broadcasters.position import Position
from broadcasters.supervision import Part

__all__ = ["HttpLog"]

HEADS_AT_ONCE: Final = 500
PAGE_EVENTS: Final = 1_000
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A hub gives no larger pages."""


class HttpLog(PlanLog):
    """`url` is a hub's, http://… or https://…; see `broadcasters.log.http.url`."""

    def __init__(self, url: str) -> None:
        self._link = Link(HubUrl.parse(url))
        self._courier = Courier(self._link)
        self._tail = HttpTail(self._link, self._page)
        self._durability: Durability = "memory"

    @property
    def parts(self) -> Mapping[str, Part]:
        return self._tail.supervisor.parts

    @property
    def durability(self) -> Durability:
        return self._durability

    async def open(self) -> None:
        if self._link.opened:
            return
        self._link.open()
        try:
            about = await self._ask_json("GET", "/api/log", "what log it keeps")
        except BaseException:
            await self._link.close()
            raise
        self._durability = about.get("durability", "memory")
        self._tail.open()

    async def close(self) -> None:
        await self._tail.close()
        await self._courier.close()
        await self._link.close()

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:  # noqa: ARG002 - the hub finds them in the events
        check_plan_id(plan_id)
        if not 0 < len(entries) <= MAX_APPEND_EVENTS:
            raise ValueError(f"an append has 1 to {MAX_APPEND_EVENTS} entries, not {len(entries)}")
        if any(b"\n" in entry.payload for entry in entries):
            raise InvalidEvent("event", "a payload is one line")
        return await self._courier.bring(plan_id, producer, seq, entries)

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        params = {
            "after": max(after, 0),
            "limit": min(max(limit, 1), PAGE_EVENTS),
            "max_bytes": min(max(max_bytes, 1), PAGE_BYTES),
        }
        path = _path(plan_id, "/log")
        try:
            return read_page(await self._link.ask("GET", path, f"a page of {plan_id}", params=params))
        except Refused as refused:
            _raise(refused)
        except Unreadable as error:
            raise self._strange("a page", error) from None

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        asked = [check_plan_id(plan_id) for plan_id in plan_ids]
        heads: dict[str, Head] = {}
        for at in range(0, len(asked), HEADS_AT_ONCE):
            some = asked[at : at + HEADS_AT_ONCE]
            answer = await self._ask_json("POST", "/api/heads", "heads", json={"plans": some})
            try:
                heads |= {plan_id: read_head(answer["heads"][plan_id]) for plan_id in some}
            except (Unreadable, LookupError, TypeError) as error:
                raise self._strange("heads", error) from None
        return heads

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        return await self._tail.watch(check_plan_id(plan_id), watcher)

    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        path = _path(plan_id, "/checkpoint")
        try:
            return read_checkpoint(await self._link.ask("GET", path, f"the checkpoint of {plan_id}"))[0]
        except Refused as refused:
            if refused.refusal.code == "no_checkpoint":
                return None
            _raise(refused)
        except Unreadable as error:
            raise self._strange("a checkpoint", error) from None

    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        body = write_checkpoint(checkpoint, max(window, 0))
        path = _path(plan_id, "/checkpoint")
        answer = await self._ask_json("PUT", path, f"a checkpoint of {plan_id}", lines=body)
        return bool(answer.get("kept"))

    async def plans(
        self, *, owner: str | None = None, label: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> PlanPage:
        given = {"owner": owner, "label": label, "cursor": cursor, "limit": min(max(limit, 1), 500)}
        params = {name: value for name, value in given.items() if value is not None}
        answer = await self._ask_json("GET", "/api/plans", "a list of plans", params=params)
        try:
            return PlanPage([_entry(plan) for plan in answer["plans"]], answer["cursor"])
        except (LookupError, TypeError) as error:
            raise self._strange("a list of plans", error) from None

    async def delete(self, plan_id: str) -> bool:
        try:
            await self._link.ask("DELETE", _path(plan_id), f"to forget {plan_id}")
        except Refused as refused:
            if refused.refusal.code == "no_such_plan":
                return False
            _raise(refused)
        return True

    async def _page(self, plan_id: str, after: int) -> Page:
        return await self.read(plan_id, after)

    async def _ask_json(self, method: str, path: str, about: str, **more: Any) -> dict[str, Any]:
        try:
            body = await self._link.ask(method, path, about, **more)
            said: Any = json.loads(body)
        except Refused as refused:
            _raise(refused)
        except ValueError as error:
            raise self._strange(about, error) from None
        if not isinstance(said, dict):
            raise self._strange(about, "not an object")
        return cast("dict[str, Any]", said)

    def _strange(self, about: str, error: object) -> LogMisconfigured:
        return LogMisconfigured(f"what {self._link.address} answers to {about} is not what a hub says: {error}")


def _raise(refused: Refused) -> NoReturn:
    raise refused.refusal.error(refused.about) from None


def _path(plan_id: str, rest: str = "") -> str:
    """Ids of dots alone are legal, but not in an address, where they would mean something else."""
    check_plan_id(plan_id)
    plan = plan_id.replace(".", "%2E") if plan_id.strip(".") == "" else quote(plan_id, safe="~:@")
    return f"/api/plans/{plan}{rest}"


def _entry(plan: Mapping[str, Any]) -> PlanEntry:
    return PlanEntry(
        plan_id=plan["plan_id"],
        head=Position(plan["epoch"], plan["offset"]),
        status=plan["status"],
        title=plan["title"],
        progress=plan["progress"],
        owner=plan["owner"],
        labels=tuple(plan["labels"]),
        created_at=plan["created_at"],
        updated_at=plan["updated_at"],
    )
