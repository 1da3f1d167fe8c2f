"""One open tail: a response of the hub that goes on, line by line, for a fixed set of plans."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import Head
from broadcasters.log.http.lines import TAIL_BEAT_S, Unreadable, read_head, read_line
from broadcasters.log.http.link import ANSWER_S, HubLink

__all__ = ["TailEvents", "TailState", "TailStream"]

SILENCE_S: Final = 2.5 * TAIL_BEAT_S
"""A tail that sends nothing for so long, not even an empty line, is broken."""
LONGEST_LINE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TailEvents:
    """Events appended to a plan, from the offset `first` on."""

    plan_id: str
    epoch: str
    first: int
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class TailState:
    """The hub's own tail of a plan is `lost` or `resumed`, or the plan was `deleted`."""

    plan_id: str
    state: str


class TailStream:
    """`open` one, iterate `events` once, `close` it."""

    def __init__(self, heads: Mapping[str, Head], lines: _Lines, stack: AsyncExitStack) -> None:
        self.heads = heads
        """The plans of this stream, with heads read just after it stood."""
        self._lines = lines
        self._stack = stack

    @classmethod
    async def open(cls, link: HubLink, plan_ids: Collection[str]) -> Self:
        """Return once the hub has confirmed the tail. Errors as with `HubLink.request`."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(ANSWER_S):
                    opening = link.stream("/api/tail", {"plans": list(plan_ids)}, "a tail", SILENCE_S)
                    response = await stack.enter_async_context(opening)
                    lines = _Lines(response.aiter_raw())
                    heads = _standing(await lines.next(), plan_ids)
            except TimeoutError:
                raise LogUnavailable(f"the hub at {link.address} did not open a tail within {ANSWER_S:g} s") from None
            except Unreadable as error:
                raise LogUnavailable(f"the hub at {link.address} sent something other than a tail: {error}") from None
            return cls(heads, lines, stack.pop_all())

    async def events(self) -> AsyncIterator[TailEvents | TailState]:
        """What the hub sends, without end; `LogUnavailable` when the stream breaks."""
        while True:
            if not (line := await self._lines.next()):
                continue
            members = read_line(line)
            if "said" in members:
                yield TailState(str(members["plan_id"]), str(members["said"]))
            elif "count" in members:
                payloads = [await self._lines.next() for _ in range(int(members["count"]))]
                yield TailEvents(str(members["plan_id"]), str(members["epoch"]), int(members["first"]), payloads)

    async def close(self) -> None:
        await self._stack.aclose()


class _Lines:
    """Splits a stream of bytes at line feeds only (text has more kinds of line ends)."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._lines: deque[bytes] = deque()
        self._rest = b""

    async def next(self) -> bytes:
        while not self._lines:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                raise LogUnavailable("the hub ended the tail") from None
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise LogUnavailable(f"the tail broke: {str(error) or type(error).__name__}") from error
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._lines.extend(lines)
            if len(self._rest) > LONGEST_LINE:
                raise LogUnavailable("a line of the tail is longer than any event")
        return self._lines.popleft()


def _standing(line: bytes, plan_ids: Collection[str]) -> Mapping[str, Head]:
    heads: Any = read_line(line).get("standing")
    try:
        return {plan_id: read_head(heads[plan_id]) for plan_id in plan_ids}
    except (LookupError, TypeError):
        raise Unreadable("the first line does not confirm all plans") from None
