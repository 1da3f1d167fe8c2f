"""The functions of `broadcasters`: they use a default broadcaster, one for each running event loop.

It is configured by PLANCAST_LOG, opened with the first event, and closed with the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import InputKind, MessageType, PlanEvent, SignalName
from broadcasters.position import Position
from broadcasters.questions import NO_DEFAULT, Answer, QuestionVerbs
from broadcasters.streamed_message import Message
from broadcasters.verbs import Verbs

if TYPE_CHECKING:
    from broadcasters.signals import SignalRequest
    from broadcasters.working import Work

__all__ = [
    "approve",
    "ask",
    "await_input",
    "choose",
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
    "signals",
    "working",
]


class _DefaultBroadcaster(Verbs, QuestionVerbs):
    """Sends through the default broadcaster of the running event loop."""

    def __init__(self) -> None:
        self._broadcasters: dict[asyncio.AbstractEventLoop, tuple[Broadcaster, AsyncGenerator[None]]] = {}

    async def send(self, event: PlanEvent, *, key: str | None = None) -> Position:
        return await (await self._broadcaster()).send(event, key=key)

    async def send_all(
        self, plan_id: str, events: Iterable[PlanEvent], *, key: str | None = None, whole: bool = False
    ) -> Sequence[Position]:
        return await (await self._broadcaster()).send_all(plan_id, events, key=key, whole=whole)

    async def await_input(
        self,
        plan_id: str,
        kind: InputKind,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
    ) -> Answer:
        broadcaster = await self._broadcaster()
        return await broadcaster.await_input(
            plan_id,
            kind,
            prompt,
            options=options,
            schema=schema,
            expires_in=expires_in,
            default=default,
            key=key,
            step_id=step_id,
            agent_name=agent_name,
        )

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
        """Give a message to be written piece by piece; see `Broadcaster.message`.

        Example:
            async with message("plan-1", "Writer", "result") as m:
                await m.write("…")
        """
        broadcaster = await self._broadcaster()
        async with broadcaster.message(
            plan_id, agent_name, message_type, step_id=step_id, message_id=message_id
        ) as message:
            yield message

    async def signals(self, plan_id: str) -> AsyncGenerator[SignalRequest]:
        """Yield people's requests to the plan, from now on, as they arrive; see `Broadcaster.signals`."""
        async with aclosing((await self._broadcaster()).signals(plan_id)) as requests:
            async for request in requests:
                yield request

    @asynccontextmanager
    async def working(
        self,
        plan_id: str,
        *,
        name: str | None = None,
        lease: float = 30.0,
        obeys: Sequence[SignalName] = ("cancel", "pause", "resume"),
        take_over: bool = False,
    ) -> AsyncGenerator[Work]:
        """Report that this program works on the plan, and receive signals to it; see `Broadcaster.working`.

        Example:
            async with working("plan-1", name="Mailer") as work:
                await work.checkpoint()
        """
        broadcaster = await self._broadcaster()
        async with broadcaster.working(plan_id, name=name, lease=lease, obeys=obeys, take_over=take_over) as work:
            yield work

    async def close_default(self) -> None:
        """Close the default broadcaster of the running event loop now. Otherwise it is closed with the loop."""
        if found := self._broadcasters.get(asyncio.get_running_loop()):
            await found[1].aclose()

    async def _broadcaster(self) -> Broadcaster:
        loop = asyncio.get_running_loop()
        found = self._broadcasters.get(loop)
        if found is None:
            self._drop_closed_loops()
            broadcaster = Broadcaster()
            found = self._broadcasters[loop] = (broadcaster, self._lifetime(loop, broadcaster))
            await anext(found[1])
        return found[0]

    async def _lifetime(self, loop: asyncio.AbstractEventLoop, broadcaster: Broadcaster) -> AsyncGenerator[None]:
        """`asyncio.run` closes the async generators begun in its loop before the loop, and so the broadcaster."""
        try:
            yield
        finally:
            self._broadcasters.pop(loop, None)
            await broadcaster.close()

    def _drop_closed_loops(self) -> None:
        for loop in list(self._broadcasters):  # loops of other threads come and go meanwhile
            if loop.is_closed():
                self._broadcasters.pop(loop, None)


_default = _DefaultBroadcaster()
approve = _default.approve
ask = _default.ask
await_input = _default.await_input
choose = _default.choose
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
signals = _default.signals
working = _default.working
