"""A reader of event streams, for tests, as the HTML standard defines them (9.2.6): a browser's EventSource."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["EventSource", "Message"]

DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    data: str
    last_event_id: str

    @property
    def said(self) -> Any:
        return json.loads(self.data)


class EventSource:
    """One connection's stream. `last_event_id` is what a browser would send when it reconnects."""

    def __init__(self, response: httpx.Response, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.comments: list[str] = []
        self._lines = _lines(response)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: httpx.AsyncClient, url: str, *, last_event_id: str = "", **more: Any
    ) -> AsyncGenerator[EventSource]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        async with client.stream("GET", url, headers=headers | more.pop("headers", {}), **more) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"] == "text/event-stream"
            yield cls(response, last_event_id)

    async def next(self) -> Message | None:
        """The next message; None when the stream has ended."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._next()

    async def rest(self) -> list[Message]:
        """All messages up to the end."""
        messages: list[Message] = []
        while (message := await self.next()) is not None:
            messages.append(message)
        return messages

    async def until(self, kind: str) -> Message:
        """The next message of this name, or whose frame is of this type."""
        while (message := await self.next()) is not None:
            if message.name == kind or (message.name == "message" and message.said["type"] == kind):
                return message
        raise AssertionError(f"the stream ended without {kind}")

    async def _next(self) -> Message | None:
        name, data = "", list[str]()
        last_event_id = self.last_event_id
        async for line in self._lines:
            if not line:
                self.last_event_id = last_event_id
                if data:
                    return Message(name or "message", "\n".join(data), last_event_id)
                name = ""
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "":
                    self.comments.append(value)
                case "event":
                    name = value
                case "data":
                    data.append(value)
                case "id" if "\0" not in value:
                    last_event_id = value
                case "retry" if value.isdigit():
                    self.retry = int(value)
                case _:
                    raise AssertionError(f"a field no reader knows: {line!r}")
        return None


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    """Lines end with CR LF, LF or CR. (The hub sends no CR; one would fail a test.)"""
    rest = b""
    async for chunk in response.aiter_raw():
        assert b"\r" not in chunk
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode()
    assert not rest, f"the stream ended in the midst of {rest[:100]!r}"
