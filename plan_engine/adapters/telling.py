"""The life of a run as people see it: begun, and ended as it really ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import LogUnavailable
from broadcasters.events import check_plan_id
from broadcasters.snapshot import Snapshot
from broadcasters.supervision import pauses
from plan_engine.adapters.outlet import Outlet
from plan_engine.adapters.plan_outlet import PlanOutlet
from plan_engine.adapters.step_outlet import StepOutlet
from plan_engine.run.context import Context

__all__ = ["telling"]

PATIENCE_S: Final = 30.0


@asynccontextmanager
async def telling(
    plan: str | Context, broadcaster: Broadcaster | None, *, title: str | None = None, resumes: bool = False
) -> AsyncGenerator[Outlet]:
    """Where to tell a run of `plan`: a plan's id, or the context of an engine's step.

    A plan of its own is completed when the block is left, has an error when an exception leaves it, and is cancelled
    when the task is. Without a broadcaster, one is opened for the run (PLANCAST_LOG says where)."""
    async with AsyncExitStack() as stack:
        if not isinstance(plan, str):
            outlet: Outlet = StepOutlet(plan)
        else:
            check_plan_id(plan)
            speaker = broadcaster
            if speaker is None:
                speaker = await stack.enter_async_context(Broadcaster())
            outlet = PlanOutlet(speaker, await _so_far(speaker, plan), title=title, resumes=resumes)
        await outlet.begin()
        try:
            yield outlet
        except BaseException as error:
            await outlet.failed(error)
            raise
        await outlet.completed()


async def _so_far(broadcaster: Broadcaster, plan_id: str) -> Snapshot:
    """What was told of the plan. A log that is away for a moment is waited for, as it is when something is said."""
    ends = asyncio.get_running_loop().time() + PATIENCE_S
    waits = pauses(2.0)
    while True:
        try:
            async with broadcaster.reading() as log:
                return (await snapshot_of(log, plan_id))[0]
        except LogUnavailable:
            if asyncio.get_running_loop().time() > ends:
                raise
            await asyncio.sleep(next(waits))
