"""Send the events of a plan from any program: they are stored in order, durably, and reach everyone who watches.

    from broadcasters import send_agent_message
    await send_agent_message("plan-1", "Data Analyst", "Looking at the orders…", "thinking")

For synchronous code: `broadcasters.blocking`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broadcasters.broadcaster import Broadcaster
    from broadcasters.default_broadcaster import (
        approve,
        ask,
        await_input,
        choose,
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
        signals,
        working,
    )
    from broadcasters.errors import (
        AnswerTrimmed,
        BroadcasterClosed,
        Expired,
        InvalidEvent,
        InvalidPlanId,
        LogError,
        LogFull,
        LogMisconfigured,
        LogUnavailable,
        OutboxFull,
        PlanBusy,
        PlanCancelled,
        PlancastError,
    )
    from broadcasters.outbox import OutboxStatistics
    from broadcasters.position import Position
    from broadcasters.questions import Answer
    from broadcasters.signals import SignalRequest
    from broadcasters.streamed_message import Message
    from broadcasters.usage import Usage
    from broadcasters.working import Work

__all__ = [
    "Answer",
    "AnswerTrimmed",
    "Broadcaster",
    "BroadcasterClosed",
    "Expired",
    "InvalidEvent",
    "InvalidPlanId",
    "LogError",
    "LogFull",
    "LogMisconfigured",
    "LogUnavailable",
    "Message",
    "OutboxFull",
    "OutboxStatistics",
    "PlanBusy",
    "PlanCancelled",
    "PlancastError",
    "Position",
    "SignalRequest",
    "Usage",
    "Work",
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

_MODULES = {
    "broadcaster": "Broadcaster",
    "errors": (
        "AnswerTrimmed BroadcasterClosed Expired InvalidEvent InvalidPlanId LogError LogFull LogMisconfigured "
        "LogUnavailable OutboxFull PlanBusy PlanCancelled PlancastError"
    ),
    "outbox": "OutboxStatistics",
    "position": "Position",
    "questions": "Answer",
    "signals": "SignalRequest",
    "streamed_message": "Message",
    "usage": "Usage",
    "working": "Work",
}
_module_of = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import broadcasters` alone loads nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_module_of.get(name, 'default_broadcaster')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
