"""Brings appends to the hub: whatever waits when a request can be sent goes along with it, whichever plans it is for.

A request costs more than an event does, so an agent that speaks about many plans at once sends few requests. Each
append has an answer of its own. A request that got no answer has told nobody anything: all its senders know is that
they may repeat (L3).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from broadcasters.errors import LogMisconfigured, LogUnavailable, PlancastError
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Appended, Entry
from broadcasters.log.http.lines import write_append
from broadcasters.log.http.link import Link, Refused
from broadcasters.log.http.refusals import Refusal

__all__ = ["Courier"]

_logger = logging.getLogger("plancast.log")

AT_ONCE: Final = 4
"""Requests under way: enough to keep a hub busy while answers travel."""


class Courier:
    """`bring` appends; `close` fails those under way."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: dict[_Parcel, None] = {}
        self._trips: set[asyncio.Task[None]] = set()
        self._leaving = False

    async def bring(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry]) -> Appended:
        """The hub's answer. Cancelled before it was sent, it is not sent."""
        self._link.check_open()
        parcel = _Parcel(plan_id, write_append(plan_id, producer, seq, entries), len(entries))
        self._waiting[parcel] = None
        self._leave_soon()
        try:
            return await parcel.answer
        finally:
            self._waiting.pop(parcel, None)

    async def close(self) -> None:
        waiting, self._waiting = list(self._waiting), {}
        trips = list(self._trips)
        for trip in trips:
            trip.cancel()
        await asyncio.gather(*trips, return_exceptions=True)
        for parcel in waiting:
            parcel.fail(LogUnavailable("the log was closed before this was sent"))

    def _leave_soon(self) -> None:
        """With all that is said in this turn of the event loop."""
        if not self._leaving:
            self._leaving = True
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self._leaving = False
        while self._waiting and len(self._trips) < AT_ONCE:
            trip = asyncio.create_task(self._trip(self._load()), name="appends on their way to a hub")
            self._trips.add(trip)
            trip.add_done_callback(self._back)

    def _back(self, trip: asyncio.Task[None]) -> None:
        self._trips.discard(trip)
        self._leave()

    def _load(self) -> Sequence[_Parcel]:
        """As much as one request may carry, and one parcel in any case."""
        load: list[_Parcel] = []
        size = events = 0
        while self._waiting:
            parcel = next(iter(self._waiting))
            size, events = size + len(parcel.lines), events + parcel.events
            if load and (size > MAX_APPEND_BYTES or events > MAX_APPEND_EVENTS):
                break
            del self._waiting[parcel]
            load.append(parcel)
        return load

    async def _trip(self, load: Sequence[_Parcel]) -> None:
        about = f"an append to {load[0].plan_id}" if len(load) == 1 else f"{len(load)} appends"
        try:
            body = await self._link.ask("POST", "/api/log", about, lines=b"".join(parcel.lines for parcel in load))
            for parcel, answer in zip(load, json.loads(body)["appends"], strict=True):
                parcel.answered(answer)
        except Refused as refused:
            _fail_all(load, refused.refusal.error(about))
        except PlancastError as error:
            _fail_all(load, error)
        except (ValueError, LookupError, TypeError) as error:
            _fail_all(load, LogMisconfigured(f"what {self._link.address} answers is not what a hub says: {error!r}"))
        except Exception as error:
            _logger.exception("%s failed", about)
            _fail_all(load, LogUnavailable(f"{about} failed: {error!r}"))
        except asyncio.CancelledError:
            _fail_all(load, LogUnavailable("the log was closed while this was on its way"))
            raise


class _Parcel:
    """An append on its way."""

    def __init__(self, plan_id: str, lines: bytes, events: int) -> None:
        self.plan_id = plan_id
        self.lines = lines
        self.events = events
        self.answer: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

    def answered(self, answer: Mapping[str, Any]) -> None:
        if (problem := answer.get("problem")) is not None:
            self.fail(Refusal(problem["status"], problem).error(f"an append to {self.plan_id}"))
        elif not self.answer.done():
            offsets = [int(offset) for offset in answer["offsets"]]
            self.answer.set_result(Appended(str(answer["epoch"]), offsets, bool(answer["checkpoint_due"])))

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever waits gets it; if nobody does, that is nobody's mistake


def _fail_all(load: Sequence[_Parcel], error: PlancastError) -> None:
    for parcel in load:
        parcel.fail(_again(error))


def _again(error: PlancastError) -> PlancastError:
    """One for each sender: a raised exception remembers where."""
    told = error.__class__.__new__(error.__class__, *error.args)
    told.args, told.__dict__, told.__cause__ = error.args, dict(error.__dict__), error
    return told
