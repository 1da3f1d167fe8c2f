"""Sample traffic for developing pages: a plan that two agents complete in about seven seconds."""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, StepUpdate, build
from hub.access.principal import Principal
from hub.api.callers import PlanIdPath, caller_of, require
from hub.api.problems import problems
from hub.api.route import ApiRoute, operation_id
from hub.node import Hub

__all__ = ["SampleSent", "router"]

ANALYST: Final = "Data Analyst"
ADVISOR: Final = "Business Advisor"

SAMPLE: Final[tuple[tuple[float, type[PlanEvent], dict[str, object]], ...]] = (
    (0.0, StepUpdate, {"step_id": "step-1", "status": "in_progress", "title": "Look at the numbers"}),
    (0.2, AgentMessage, {"agent_name": ANALYST, "content": "Let me see what the last quarter looks like…"}),
    (
        1.0,
        PlanUpdate,
        {
            "step_id": "step-1",
            "agent_name": ANALYST,
            "content": "Adding up sales by region.",
            "message_type": "action",
        },
    ),
    (
        1.5,
        AgentMessage,
        {"agent_name": ANALYST, "content": "The north grew by 12 %, the south by 3 %.", "message_type": "result"},
    ),
    (0.3, StepUpdate, {"step_id": "step-1", "status": "completed", "content": "Sales by region are known."}),
    (0.2, StepUpdate, {"step_id": "step-2", "status": "in_progress", "title": "Say what to do"}),
    (0.8, AgentMessage, {"agent_name": ADVISOR, "content": "Where would one more shop pay off soonest?"}),
    (
        1.5,
        PlanUpdate,
        {
            "step_id": "step-2",
            "agent_name": ADVISOR,
            "content": "Comparing rents with growth.",
            "message_type": "action",
        },
    ),
    (
        1.2,
        AgentMessage,
        {"agent_name": ADVISOR, "content": "Open the next shop in the north.", "message_type": "result"},
    ),
    (0.2, StepUpdate, {"step_id": "step-2", "status": "completed", "content": "There is a recommendation."}),
    (
        0.1,
        PlanUpdate,
        {
            "agent_name": ADVISOR,
            "content": "Done: one more shop, in the north.",
            "status": "completed",
            "message_type": "result",
            "progress": 100,
        },
    ),
)
"""Seconds to wait, and the event to publish then."""


class SampleSent(BaseModel):
    """The response that older front ends expect."""

    status: str
    message: str


class _SampleRoute(ApiRoute):
    """A route with time for the sample at a tenth of its speed."""

    seconds: ClassVar[float] = 90.0


def router(hub: Hub) -> APIRouter:
    """The test route; only for hubs where everyone may use it."""
    routes = APIRouter(
        prefix="/api/test", tags=["test"], route_class=_SampleRoute, generate_unique_id_function=operation_id
    )
    caller: Principal = Depends(caller_of(hub))

    @routes.post("/streaming/{plan_id}", responses=problems(401, 403, 422, 429, 503))
    async def send_sample(
        plan_id: PlanIdPath,
        speed: Annotated[float, Query(ge=0.1, le=1000, description="How many times as fast as the sample was.")] = 1.0,
        principal: Principal = caller,
    ) -> SampleSent:
        """Publish the sample events of a plan at `speed` times their pace; responds when all are published."""
        require(principal, "publish", plan_id)
        await _publish(hub.broadcaster, plan_id, speed)
        return SampleSent(status="success", message=f"Test streaming updates sent for plan {plan_id}")

    return routes


async def _publish(broadcaster: Broadcaster, plan_id: str, speed: float) -> None:
    for pause, kind, fields in SAMPLE:
        await asyncio.sleep(pause / speed)
        await broadcaster.send(build(kind, {"plan_id": plan_id, **fields}))
