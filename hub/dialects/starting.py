"""Plans that are started for a client, with its rights."""

from __future__ import annotations

import asyncio
from typing import Final

from hub.access.principal import Principal
from hub.core.connection import RequestRefused
from hub.dialects.dialect import Start
from hub.engine_port import BrokenTemplate, EngineAway, UnfitInput, UnknownTemplate
from hub.node import Hub
from hub.wire.codes import ErrorCode

__all__ = ["SECONDS", "start_plan"]

SECONDS: Final = 10.0
"""For how long an engine is waited for; the plan may have been started nevertheless."""


async def start_plan(hub: Hub, principal: Principal, start: Start) -> None:
    """Start it, or `RequestRefused`. Starting the same plan_id again changes nothing."""
    if not principal.may("start", start.plan_id):
        raise RequestRefused(ErrorCode.FORBIDDEN, "no right to start this plan")
    if hub.engine is None:
        raise RequestRefused(ErrorCode.NOT_SUPPORTED, "no engine runs here: this hub shows plans, it starts none")
    try:
        async with asyncio.timeout(SECONDS):
            await hub.engine.start(start.template, start.given, start.plan_id, principal.subject)
    except UnknownTemplate as error:
        raise RequestRefused(ErrorCode.NOT_SUPPORTED, str(error)) from None
    except UnfitInput as error:
        raise RequestRefused(ErrorCode.INVALID_FIELD, str(error)) from None
    except BrokenTemplate as error:
        raise RequestRefused(ErrorCode.INTERNAL, str(error)) from None
    except EngineAway as away:
        raise RequestRefused(ErrorCode.UNAVAILABLE, str(away)) from None
    except TimeoutError:
        raise RequestRefused(ErrorCode.UNAVAILABLE, "the engine does not answer; try again") from None
