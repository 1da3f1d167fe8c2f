"""One open tail: a hub's answer that goes on, line by line, for a fixed set of plans."""

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
from broadcasters.log.http.link import ANSWER_S, Link

__all__ = ["Arrived", "Said", "TailLine"]

SILENCE_S: Final = 2.5 * TAIL_BEAT_S
"""A tail that says nothing for so long, not even that it stands, doesn't."""
LONGEST_LINE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Arrived:
    plan_id: str
    epoch: str
    first: int
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Said:
    """`lost`, `resumed` or `deleted`."""

    plan_id: str
    word: str


class TailLine:
    """`open` one, listen to it once, `close` it."""

    def __init__(self, heads: Mapping[str, Head], lines: _Lines, stack: AsyncExitStack) -> None:
        self.heads = heads
        """The plans on this line, and where they stood just after it did."""
        self._lines = lines
        self._stack = stack

    @classmethod
    async def open(cls, link: Link, plan_ids: Collection[str]) -> Self:
        """Returns once the hub has said that it stands. Errors as with `Link.ask`."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(ANSWER_S):
                    asked = link.stream("/api/tail", {"plans": list(plan_ids)}, "a tail", SILENCE_S)
                    response = await stack.enter_async_context(asked)
                    lines = _Lines(response.aiter_raw())
                    heads = _standing(await lines.next(), plan_ids)
            except TimeoutError:
                raise LogUnavailable(f"the hub at {link.address} is slow to open a tail") from None
            except Unreadable as error:
                raise LogUnavailable(f"what the hub at {link.address} sends is no tail: {error}") from None
            return cls(heads, lines, stack.pop_all())

    async def listen(self) -> AsyncIterator[Arrived | Said]:
        """What the hub tells. Never ends by itself: `LogUnavailable` when the line breaks."""
        while True:
            if not (line := await self._lines.next()):
                continue
            said = read_line(line)
            if "said" in said:
                yield Said(str(said["plan_id"]), str(said["said"]))
            elif "count" in said:
                payloads = [await self._lines.next() for _ in range(int(said["count"]))]
                yield Arrived(str(said["plan_id"]), str(said["epoch"]), int(said["first"]), payloads)

    async def close(self) -> None:
        await self._stack.aclose()


class _Lines:
    """Bytes as they come, cut at line feeds and nowhere else (text has more kinds of line end)."""

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
        raise Unreadable("its first line doesn't say that all of them stand") from None
