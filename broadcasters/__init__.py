"""Say something about a plan from anywhere, and it is kept: in order, durable, on its way to everyone who watches.

    from broadcasters import send_agent_message
    await send_agent_message("plan-1", "Data Analyst", "Looking at the orders…", "thinking")

For synchronous code: `broadcasters.blocking`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broadcasters.broadcaster import Broadcaster
    from broadcasters.default import (
        close_default,
        message,
        send,
        send_agent_message,
        send_all,
        send_artifact,
        send_input_request,
        send_input_response,
        send_plan_update,
        send_step_update,
        send_tool_call,
    )
    from broadcasters.errors import (
        BroadcasterClosed,
        InvalidEvent,
        InvalidPlanId,
        LogError,
        LogFull,
        LogMisconfigured,
        LogUnavailable,
        OutboxFull,
        PlancastError,
    )
    from broadcasters.outbox import OutboxStatistics
    from broadcasters.position import Position
    from broadcasters.streamed_message import Message

__all__ = [
    "Broadcaster",
    "BroadcasterClosed",
    "InvalidEvent",
    "InvalidPlanId",
    "LogError",
    "LogFull",
    "LogMisconfigured",
    "LogUnavailable",
    "Message",
    "OutboxFull",
    "OutboxStatistics",
    "PlancastError",
    "Position",
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

_HOMES = {
    "broadcaster": "Broadcaster",
    "errors": (
        "BroadcasterClosed InvalidEvent InvalidPlanId LogError LogFull LogMisconfigured LogUnavailable OutboxFull "
        "PlancastError"
    ),
    "outbox": "OutboxStatistics",
    "position": "Position",
    "streamed_message": "Message",
}
_home_of = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import broadcasters` alone costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_home_of.get(name, 'default')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
