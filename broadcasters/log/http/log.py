"""The log behind a hub, which keeps all promises of a log.

The hub appends under the agent's own producer name and sequence numbers, so that it recognises an append repeated on
another connection, or through another hub with the same log (L3). When a checkpoint is due, the agent takes it, as with
every log, since folding is work and there are more agents than hubs. (For an agent that may not read, the hub does.)
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
from broadcasters.log.http.append_batches import AppendBatches
from broadcasters.log.http.lines import (
    Unreadable,
    read_checkpoint,
    read_head,
    read_page,
    write_checkpoint,
)
from broadcasters.log.http.link import HubLink, HubRefused, HubUrl
from broadcasters.log.http.tail import HttpTail
from broadcasters.position import Position
from broadcasters.supervision import Part

__all__ = ["HttpLog"]

HEADS_AT_ONCE: Final = 500
PAGE_EVENTS: Final = 1_000
PAGE_BYTES: Final = 4 * 1024 * 1024
"""Limits of a hub's pages."""


class HttpLog(PlanLog):
    """The log of the hub at `url`, http://… or https://…; see `HubUrl`."""

    def __init__(self, url: str) -> None:
        self._link = HubLink(HubUrl.parse(url))
        self._appends = AppendBatches(self._link)
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
            about = await self._request_json("GET", "/api/log", "a description of its log")
        except BaseException:
            await self._link.close()
            raise
        self._durability = about.get("durability", "memory")
        self._tail.open()

    async def close(self) -> None:
        await self._tail.close()
        await self._appends.close()
        await self._link.close()

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:  # noqa: ARG002 - the hub finds them in the events
        check_plan_id(plan_id)
        if not 0 < len(entries) <= MAX_APPEND_EVENTS:
            raise ValueError(f"expected 1 to {MAX_APPEND_EVENTS} entries; got {len(entries)}")
        if any(b"\n" in entry.payload for entry in entries):
            raise InvalidEvent("event", "the payload has a line break; expected one line")
        return await self._appends.append(plan_id, producer, seq, entries)

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        params = {
            "after": max(after, 0),
            "limit": min(max(limit, 1), PAGE_EVENTS),
            "max_bytes": min(max(max_bytes, 1), PAGE_BYTES),
        }
        path = _path(plan_id, "/log")
        try:
            return read_page(await self._link.request("GET", path, f"a page of {plan_id}", params=params))
        except HubRefused as refused:
            _raise(refused)
        except Unreadable as error:
            raise self._strange("a page", error) from None

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        ids = [check_plan_id(plan_id) for plan_id in plan_ids]
        heads: dict[str, Head] = {}
        for at in range(0, len(ids), HEADS_AT_ONCE):
            some = ids[at : at + HEADS_AT_ONCE]
            answer = await self._request_json("POST", "/api/heads", "heads", json={"plans": some})
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
            return read_checkpoint(await self._link.request("GET", path, f"the checkpoint of {plan_id}"))[0]
        except HubRefused as refused:
            if refused.code == "no_checkpoint":
                return None
            _raise(refused)
        except Unreadable as error:
            raise self._strange("a checkpoint", error) from None

    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        body = write_checkpoint(checkpoint, max(window, 0))
        path = _path(plan_id, "/checkpoint")
        answer = await self._request_json("PUT", path, f"a checkpoint of {plan_id}", lines=body)
        return bool(answer.get("kept"))

    async def plans(
        self, *, owner: str | None = None, label: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> PlanPage:
        given = {"owner": owner, "label": label, "cursor": cursor, "limit": min(max(limit, 1), 500)}
        params = {name: value for name, value in given.items() if value is not None}
        answer = await self._request_json("GET", "/api/plans", "a list of plans", params=params)
        try:
            return PlanPage([_entry(plan) for plan in answer["plans"]], answer["cursor"])
        except (LookupError, TypeError) as error:
            raise self._strange("a list of plans", error) from None

    async def delete(self, plan_id: str) -> bool:
        try:
            await self._link.request("DELETE", _path(plan_id), f"the deletion of {plan_id}")
        except HubRefused as refused:
            if refused.code == "no_such_plan":
                return False
            _raise(refused)
        return True

    async def _page(self, plan_id: str, after: int) -> Page:
        return await self.read(plan_id, after)

    async def _request_json(self, method: str, path: str, about: str, **more: Any) -> dict[str, Any]:
        try:
            body = await self._link.request(method, path, about, **more)
            answer: Any = json.loads(body)
        except HubRefused as refused:
            _raise(refused)
        except ValueError as error:
            raise self._strange(about, error) from None
        if not isinstance(answer, dict):
            raise self._strange(about, "expected an object")
        return cast("dict[str, Any]", answer)

    def _strange(self, about: str, error: object) -> LogMisconfigured:
        return LogMisconfigured(f"{self._link.address} answered the request for {about} unlike a hub: {error}")


def _raise(refused: HubRefused) -> NoReturn:
    raise refused.error from None


def _path(plan_id: str, rest: str = "") -> str:
    """An id of dots alone is allowed, but means something else in a URL, so its dots are escaped."""
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
