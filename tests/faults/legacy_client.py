"""A front end from before events had positions, as it behaves in a browser. It supports three types of events.

- It subscribes with a plan id only. Its listeners use `type`, `data` and the timestamp and ignore the other members.
- However the socket closed, even by the page itself, it reconnects: five times, after 1, 2, 4, 8, 16 times the pause.
  After the page has closed it, the new socket has no subscription.
- After reconnecting, both the service and the page subscribe to every plan: twice per plan on one socket.
- It misses events published while it is disconnected, and has no position from which to request them.

Frames that it could not handle are recorded as problems.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from tests.faults.websocket_client import WebSocketClient, open_websocket

__all__ = ["LegacyClient"]

EVENTS: Final = frozenset({"plan_update", "step_update", "agent_message"})
OTHERS: Final = frozenset({"connected", "subscription_confirmed", "going_away", "error"})
"""Frames that it has no listener for, but must be able to parse."""
LATER: Final = frozenset({"tool_call", "artifact", "input_request", "input_response"})
"""Event types introduced later, which it ignores."""
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
        """Type and data of each event that its listeners received."""
        self.others: list[dict[str, Any]] = []
        self.ignored: list[str] = []
        self.problems: list[str] = []
        self.codes: list[int] = []
        self.connections = 0
        self._pause = pause
        self._tries = 0
        self._socket: WebSocketClient | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self._socket is not None and not self._socket.ended.done()

    async def connect(self) -> None:
        self._socket = await open_websocket(self.url, self._receive)
        self.connections += 1
        self._tries = 0
        self._socket.ended.add_done_callback(self._closed)
        for _ in ("the service", "the page"):
            for plan_id in self.plans:
                self._send("subscribe_plan", plan_id)

    def subscribe(self, plan_id: str) -> None:
        self.plans.append(plan_id)
        self._send("subscribe_plan", plan_id)

    def unsubscribe(self, plan_id: str) -> None:
        self.plans.remove(plan_id)
        self._send("unsubscribe_plan", plan_id)

    async def disconnect(self) -> None:
        """Closes the socket as the page does when it is left; the client reconnects nevertheless."""
        assert self._socket is not None
        self.plans.clear()
        await self._socket.close()

    def cut(self) -> None:
        """Resets the connection."""
        assert self._socket is not None
        self._socket.reset()

    async def close(self) -> None:
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.wait([self._reconnecting])
        if self._socket is not None:
            self._socket.ended.remove_done_callback(self._closed)
            self._socket.reset()
            await asyncio.shield(self._socket.ended)

    async def until(self, kind: str, count: int) -> None:
        """Waits until its listeners have received this many events of this type."""
        await self.until_true(lambda: sum(one == kind for one, _ in self.events) >= count)

    async def until_other(self, kind: str, count: int) -> None:
        """Waits until it has received this many frames of this type that are no events."""
        await self.until_true(lambda: sum(frame["type"] == kind for frame in self.others) >= count)

    async def until_true(self, condition: Callable[[], bool]) -> None:
        """Waits until the condition is true after a received frame or a close."""
        async with asyncio.timeout(60):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _send(self, kind: str, plan_id: str) -> None:
        if self.connected and self._socket is not None:
            self._socket.send(json.dumps({"type": kind, "plan_id": plan_id}))

    # ---- received frames

    def _receive(self, text: bytes) -> None:
        frame = json.loads(text)
        kind = frame.get("type")
        if kind in EVENTS:
            self._event(kind, frame)
        elif kind in OTHERS:
            self.others.append(frame)
        elif kind in LATER:
            self.ignored.append(kind)
        elif kind != "unsubscription_confirmed":
            self.problems.append(f"unknown frame type {kind}: {text!r:.120}")
        self._changed.set()

    def _event(self, kind: str, frame: dict[str, Any]) -> None:
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
        self._changed.set()
        self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        while self._tries < TRIES:
            self._tries += 1
            await asyncio.sleep(self._pause * 2 ** (self._tries - 1))
            with suppress(OSError):
                await self.connect()
                return
