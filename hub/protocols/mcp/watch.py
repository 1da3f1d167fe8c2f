"""Follows a plan for one call of a tool, until it ends or asks a question, or until the call's time is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Request

from broadcasters.position import Position
from broadcasters.snapshot import InputState, Snapshot
from hub.access.principal import Principal
from hub.api.problems import Problem
from hub.node import Hub
from hub.protocols.mcp.progress import ProgressLines, progress_in
from hub.protocols.segments import SegmentReader, open_questions, waits
from hub.protocols.streams import PlanStream
from hub.transports.admission import AdmissionRefused
from hub.transports.peers import peer_of
from hub.transports.polling import wait_for_events
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["PlanWatch", "Report"]

Report = Callable[[int, str], Awaitable[None]]
"""Reports progress: an offset, and a text for people."""


class PlanWatch:
    """Follows a plan that the caller may read, from `plan` on.

    `seen` is the offset up to which the caller knows the plan: a question from before it does not end the watch. `plan`
    is then the plan as far as it was followed; `leaving`: the hub is being stopped, and another one should be used."""

    def __init__(self, hub: Hub, request: Request, principal: Principal, plan: Snapshot, seen: int) -> None:
        self.plan = plan
        self.leaving = False
        self._hub = hub
        self._request = request
        self._principal = principal
        self._seen = seen
        self._reported = seen

    @property
    def news(self) -> list[InputState]:
        """The questions that the caller does not know, if the plan waits for an answer."""
        if not waits(self.plan):
            return []
        return [question for question in open_questions(self.plan) if question.offset > self._seen]

    async def follow(self, seconds: float, report: Report) -> None:
        """Follow the plan for at most these seconds. Raises `Problem` if it can't be followed."""
        try:
            async with asyncio.timeout(seconds):
                while not self._done:
                    position = await self._read(report)
                    if not self._done:
                        await self._wait(position, seconds)
        except TimeoutError:
            pass
        except AdmissionRefused as refusal:
            if refusal.code is not CloseCode.RESTART:
                raise
            self.leaving = True

    @property
    def _done(self) -> bool:
        """Whether the caller has something to act on."""
        return self.plan.ended_at is not None or bool(self.news) or self.leaving

    async def _read(self, report: Report) -> Position:
        """Reads up to where the plan ends or waits."""
        reader = SegmentReader(self.plan.plan_id, ProgressLines(), None)
        stream = PlanStream(self._hub, self._request, self._principal, reader, "snapshot")
        async with aclosing(stream.frames()) as pieces:
            async for piece in pieces:
                self.plan = reader.plan
                for line in progress_in(piece):
                    await self._take(line, report)
        self.plan = reader.plan
        return reader.position

    async def _take(self, line: list[Any], report: Report) -> None:
        match line:
            case [int(offset), str(text)]:
                if offset > self._reported:
                    self._reported = offset
                    await report(offset, text)
            case ["failed", str(code), str(message)]:
                raise Problem(code, message or "the plan can't be followed any longer", status=409)
            case ["restart", *_]:
                self.leaving = True
            case _:
                pass

    async def _wait(self, position: Position, seconds: float) -> None:
        """Waits for an event after the position. The plan waits for an answer, which the caller knows."""
        hub, plan_id, principal = self._hub, self.plan.plan_id, self._principal
        with (
            hub.admission.guest(peer_of(self._request), principal, "poll") as admission,
            hub.admission.shares.following(admission.holder, plan_id),
        ):
            left = min(seconds, principal.lasts(time.time()))
            if await wait_for_events(hub.registry, plan_id, position, left, hub.leaving) == "deleted":
                raise Problem(ErrorCode.PLAN_DELETED, "the plan was deleted")
        self.leaving = self.leaving or hub.leaving.is_set()
