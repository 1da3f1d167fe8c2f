"""Appends in batches: each request to the hub carries all appends that wait, of all plans.

A request costs more than an event, so an agent that works on many plans at once sends few requests. Each append is
answered by itself. If a request is not answered, its appends may be stored or not, and their senders may repeat them
(L3).
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
from broadcasters.log.http.link import HubLink, HubRefused, error_of
from broadcasters.supervision import fail_future

__all__ = ["AppendBatches"]

_logger = logging.getLogger("plancast.log")

AT_ONCE: Final = 4
"""Requests under way: enough to keep a hub busy while responses travel."""


class AppendBatches:
    """`append`, any number of them at once; `close` fails those under way."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._waiting: dict[_Append, None] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry]) -> Appended:
        """The hub's answer. An append that is cancelled before its request is sent is not sent."""
        self._link.check_open()
        append = _Append(plan_id, write_append(plan_id, producer, seq, entries), len(entries))
        self._waiting[append] = None
        self._send_soon()
        try:
            return await append.answer
        finally:
            self._waiting.pop(append, None)

    async def close(self) -> None:
        waiting, self._waiting = list(self._waiting), {}
        requests = list(self._requests)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        for append in waiting:
            fail_future(append.answer, LogUnavailable("the log was closed before this was sent"))

    def _send_soon(self) -> None:
        """Together with the other appends of this turn of the event loop."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._requests) < AT_ONCE:
            request = asyncio.create_task(self._request(self._batch()), name="appends on their way to a hub")
            self._requests.add(request)
            request.add_done_callback(self._sent)

    def _sent(self, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        self._send()

    def _batch(self) -> Sequence[_Append]:
        """As many appends as one request may carry; at least one."""
        batch: list[_Append] = []
        size = events = 0
        while self._waiting:
            append = next(iter(self._waiting))
            size, events = size + len(append.lines), events + append.events
            if batch and (size > MAX_APPEND_BYTES or events > MAX_APPEND_EVENTS):
                break
            del self._waiting[append]
            batch.append(append)
        return batch

    async def _request(self, batch: Sequence[_Append]) -> None:
        about = f"an append to {batch[0].plan_id}" if len(batch) == 1 else f"{len(batch)} appends"
        try:
            lines = b"".join(append.lines for append in batch)
            body = await self._link.request("POST", "/api/log", about, lines=lines)
            for append, answer in zip(batch, json.loads(body)["appends"], strict=True):
                append.answered(answer)
        except HubRefused as refused:
            _fail_all(batch, refused.error)
        except PlancastError as error:
            _fail_all(batch, error)
        except (ValueError, LookupError, TypeError) as error:
            _fail_all(batch, LogMisconfigured(f"{self._link.address} answered {about} unlike a hub: {error!r}"))
        except Exception as error:
            _logger.exception("%s failed", about)
            _fail_all(batch, LogUnavailable(f"{about} failed: {error!r}"))
        except asyncio.CancelledError:
            _fail_all(batch, LogUnavailable("the log was closed while this was on its way"))
            raise


class _Append:
    """An append on its way, encoded."""

    def __init__(self, plan_id: str, lines: bytes, events: int) -> None:
        self.plan_id = plan_id
        self.lines = lines
        self.events = events
        self.answer: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

    def answered(self, answer: Mapping[str, Any]) -> None:
        if (problem := answer.get("problem")) is not None:
            fail_future(self.answer, error_of(problem["status"], problem, f"an append to {self.plan_id}"))
        elif not self.answer.done():
            offsets = [int(offset) for offset in answer["offsets"]]
            self.answer.set_result(Appended(str(answer["epoch"]), offsets, bool(answer["checkpoint_due"])))


def _fail_all(batch: Sequence[_Append], error: PlancastError) -> None:
    for append in batch:
        fail_future(append.answer, error.copy())
