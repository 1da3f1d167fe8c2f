"""A front end from before there were positions, as it behaves in a browser. It knows three kinds of events.

- It subscribes with a plan id and nothing else; a listener gets `type`, `data` and the time, and nothing of the rest.
- However the socket closed, and even if the page itself left, it comes back: five times, after 1, 2, 4, 8, 16 times
  the pause. Whoever left so has a socket open that nothing is subscribed on.
- Back again, the service subscribes to everything it had, and so does the page: twice to each plan, on one socket.
- What is said while it is away is lost to it; it has no memory to ask with.

Whatever it can't take is a problem.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from tests.faults.line import Line, open_line

__all__ = ["LegacyClient"]

EVENTS: Final = frozenset({"plan_update", "step_update", "agent_message"})
OTHERS: Final = frozenset({"connected", "subscription_confirmed", "going_away", "error"})
"""What it has no listener for; it must be a frame like any other, though."""
LATER: Final = frozenset({"tool_call", "artifact", "input_request", "input_response"})
"""Events that came after it: nothing listens to them."""
NEEDED: Final = {
    "plan_update": ("status",),
    "step_update": ("step_id", "status"),
    "agent_message": ("agent_name", "content"),
}
PLAIN: Final = ("status", "step_id", "agent_name", "content", "message_type", "timestamp")
TRIES: Final = 5


class LegacyClient:
    """`connect`, `subscribe`, `disconnect`; `close` ends it for good."""

    def __init__(self, url: str, pause: float = 0.05) -> None:
        self.url = url
        self.plans: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        """What its listeners got: type and data."""
        self.others: list[dict[str, Any]] = []
        self.unheard: list[str] = []
        self.problems: list[str] = []
        self.codes: list[int] = []
        self.connections = 0
        self._pause = pause
        self._tries = 0
        self._line: Line | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._something = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self._line is not None and not self._line.ended.done()

    async def connect(self) -> None:
        self._line = await open_line(self.url, self._heard)
        self.connections += 1
        self._tries = 0
        self._line.ended.add_done_callback(self._closed)
        for _ in ("the service", "the page"):
            for plan_id in self.plans:
                self._say("subscribe_plan", plan_id)

    def subscribe(self, plan_id: str) -> None:
        self.plans.append(plan_id)
        self._say("subscribe_plan", plan_id)

    def unsubscribe(self, plan_id: str) -> None:
        self.plans.remove(plan_id)
        self._say("unsubscribe_plan", plan_id)

    async def disconnect(self) -> None:
        """The page leaves. (It comes back all the same.)"""
        assert self._line is not None
        self.plans.clear()
        await self._line.close()

    def cut(self) -> None:
        """The network breaks."""
        assert self._line is not None
        self._line.vanish()

    async def close(self) -> None:
        if self._coming_back is not None:
            self._coming_back.cancel()
            await asyncio.wait([self._coming_back])
        if self._line is not None:
            self._line.ended.remove_done_callback(self._closed)
            self._line.vanish()
            await asyncio.shield(self._line.ended)

    async def until(self, what: str, kinds: int) -> None:
        """Wait until its listeners got so many events of this kind."""
        await self.until_it(lambda: sum(kind == what for kind, _ in self.events) >= kinds)

    async def until_other(self, what: str, kinds: int) -> None:
        await self.until_it(lambda: sum(frame["type"] == what for frame in self.others) >= kinds)

    async def until_it(self, heard: Callable[[], bool]) -> None:
        """Wait until it heard what makes this true."""
        async with asyncio.timeout(60):
            while not heard():
                self._something.clear()
                await self._something.wait()

    def _say(self, kind: str, plan_id: str) -> None:
        if self.connected and self._line is not None:
            self._line.send(json.dumps({"type": kind, "plan_id": plan_id}))

    # ---- what it hears

    def _heard(self, text: bytes) -> None:
        frame = json.loads(text)
        kind = frame.get("type")
        if kind in EVENTS:
            self._take(kind, frame)
        elif kind in OTHERS:
            self.others.append(frame)
        elif kind in LATER:
            self.unheard.append(kind)
        elif kind != "unsubscription_confirmed":
            self.problems.append(f"a {kind}, of which it never heard: {text!r:.120}")
        self._something.set()

    def _take(self, kind: str, frame: dict[str, Any]) -> None:
        data = frame.get("data")
        if not isinstance(data, dict) or data.get("plan_id") not in self.plans:
            self.problems.append(f"{kind} of a plan that is not shown: {frame}")
            return
        if "first" in frame:
            self.problems.append(f"one frame for several events: {frame}")
        wrong = [name for name in PLAIN if not isinstance(data.get(name, ""), str)]
        missing = [name for name in NEEDED[kind] if name not in data]
        if wrong or missing:
            self.problems.append(f"{kind} with {wrong}, without {missing}: {frame}")
        self.events.append((kind, data))

    def _closed(self, ended: asyncio.Future[int]) -> None:
        self.codes.append(ended.result())
        self._something.set()
        self._coming_back = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        while self._tries < TRIES:
            self._tries += 1
            await asyncio.sleep(self._pause * 2 ** (self._tries - 1))
            with suppress(OSError):
                await self.connect()
                return
