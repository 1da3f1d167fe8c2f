"""Plans that are started for a client, with its rights."""

from __future__ import annotations

from hub.access.principal import Principal
from hub.core.connection import RequestRefused
from hub.dialects.dialect import Start
from hub.engine_port import EngineError
from hub.node import Hub
from hub.wire.codes import ErrorCode

__all__ = ["start_plan"]


async def start_plan(hub: Hub, principal: Principal, start: Start) -> None:
    """Start it, or `RequestRefused`. Starting the same plan_id again changes nothing."""
    if not principal.may("start", start.plan_id):
        raise RequestRefused(ErrorCode.FORBIDDEN, "no right to start this plan")
    try:
        await hub.start_plan(start.template, start.given, start.plan_id, principal.subject)
    except EngineError as error:
        raise RequestRefused(error.code, str(error)) from None
