"""The verbs of agents that hold no broadcaster of their own.

They speak through a default one, configured by PLANCAST_LOG: one for each running event loop, opened when it is first
needed, closed with the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import MessageType, PlanEvent
from broadcasters.position import Position
from broadcasters.streamed_message import Message
from broadcasters.verbs import Verbs

__all__ = [
    "close_default",
    "message",
    "send",
    "send_agent_message",
    "send_all",
    "send_artifact",
    "send_input_request",
    "send_input_response",
    "send_plan_update",
    "send_step_update",
    "send_tool_call",
]


class _Default(Verbs):
    """Speaks through the default broadcaster of whatever event loop is running."""

    def __init__(self) -> None:
        self._broadcasters: dict[asyncio.AbstractEventLoop, tuple[Broadcaster, AsyncGenerator[None]]] = {}

    async def send(self, event: PlanEvent, *, key: str | None = None) -> Position:
        return await (await self.broadcaster()).send(event, key=key)

    async def send_all(
        self, plan_id: str, events: Iterable[PlanEvent], *, key: str | None = None, whole: bool = False
    ) -> Sequence[Position]:
        return await (await self.broadcaster()).send_all(plan_id, events, key=key, whole=whole)

    @asynccontextmanager
    async def message(
        self,
        plan_id: str,
        agent_name: str,
        message_type: MessageType = "thinking",
        *,
        step_id: str | None = None,
        message_id: str | None = None,
    ) -> AsyncGenerator[Message]:
        """A message said in pieces: `async with message(plan_id, agent_name) as m: await m.write("…")`."""
        broadcaster = await self.broadcaster()
        async with broadcaster.message(
            plan_id, agent_name, message_type, step_id=step_id, message_id=message_id
        ) as message:
            yield message

    async def close_default(self) -> None:
        """Close the default broadcaster of the running event loop. (It closes with the loop anyway.)"""
        if found := self._broadcasters.get(asyncio.get_running_loop()):
            await found[1].aclose()

    async def broadcaster(self) -> Broadcaster:
        loop = asyncio.get_running_loop()
        found = self._broadcasters.get(loop)
        if found is None:
            self._forget_closed_loops()
            broadcaster = Broadcaster()
            found = self._broadcasters[loop] = (broadcaster, self._lifetime(loop, broadcaster))
            await anext(found[1])
        return found[0]

    async def _lifetime(self, loop: asyncio.AbstractEventLoop, broadcaster: Broadcaster) -> AsyncGenerator[None]:
        """An event loop about to close first closes the async generators begun in it, and so this."""
        try:
            yield
        finally:
            self._broadcasters.pop(loop, None)
            await broadcaster.close()

    def _forget_closed_loops(self) -> None:
        for loop in list(self._broadcasters):  # other threads come and go with loops of their own
            if loop.is_closed():
                self._broadcasters.pop(loop, None)


_default = _Default()
close_default = _default.close_default
message = _default.message
send = _default.send
send_agent_message = _default.send_agent_message
send_all = _default.send_all
send_artifact = _default.send_artifact
send_input_request = _default.send_input_request
send_input_response = _default.send_input_response
send_plan_update = _default.send_plan_update
send_step_update = _default.send_step_update
send_tool_call = _default.send_tool_call
