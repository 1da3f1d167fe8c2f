"""Plancast in one import: publish the events of plans, run plans, and serve them to the people who watch.

    import plancast

    async with plancast.Broadcaster() as broadcaster:
        await broadcaster.send_agent_message("plan-1", "Data Analyst", "Looking at the orders…")

Everything here is defined in `broadcasters` (publishing), `plan_engine` (running plans) or `hub` (serving them), and can be
imported from there as well. For synchronous code: `plancast.blocking`. A name is imported when it is first used; one whose
packages are missing raises `ExtraMissing`, which says what to install.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broadcasters import (
        Answer,
        AnswerTrimmed,
        Broadcaster,
        BroadcasterClosed,
        Expired,
        InvalidEvent,
        InvalidPlanId,
        LogError,
        LogFull,
        LogMisconfigured,
        LogUnavailable,
        Message,
        OutboxFull,
        OutboxStatistics,
        PlanBusy,
        PlanCancelled,
        PlancastError,
        Position,
        SignalRequest,
        Usage,
        Work,
        approve,
        ask,
        await_input,
        blocking,
        choose,
        close_default,
        events,
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
    from broadcasters.extras import ExtraMissing
    from broadcasters.snapshot import Snapshot
    from hub.app import create_app, streaming_router
    from hub.commands.embedded import Embedded
    from hub.config.settings import Settings
    from hub.node import Hub
    from plan_engine import (
        BadPlan,
        BlockingContext,
        Cancelled,
        Context,
        Engine,
        EngineMisconfigured,
        EngineUnavailable,
        LanguageModel,
        NotRunHere,
        Plan,
        Rate,
        Step,
        StepFailed,
        Stream,
        Template,
        ToolUse,
        UnfitInput,
        UnknownTemplate,
        template,
        templates_in,
    )

    __version__: str

__all__ = [
    "Answer",
    "AnswerTrimmed",
    "BadPlan",
    "BlockingContext",
    "Broadcaster",
    "BroadcasterClosed",
    "Cancelled",
    "Context",
    "Embedded",
    "Engine",
    "EngineMisconfigured",
    "EngineUnavailable",
    "Expired",
    "ExtraMissing",
    "Hub",
    "InvalidEvent",
    "InvalidPlanId",
    "LanguageModel",
    "LogError",
    "LogFull",
    "LogMisconfigured",
    "LogUnavailable",
    "Message",
    "NotRunHere",
    "OutboxFull",
    "OutboxStatistics",
    "Plan",
    "PlanBusy",
    "PlanCancelled",
    "PlancastError",
    "Position",
    "Rate",
    "Settings",
    "SignalRequest",
    "Snapshot",
    "Step",
    "StepFailed",
    "Stream",
    "Template",
    "ToolUse",
    "UnfitInput",
    "UnknownTemplate",
    "Usage",
    "Work",
    "__version__",
    "approve",
    "ask",
    "await_input",
    "blocking",
    "choose",
    "close_default",
    "create_app",
    "events",
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
    "streaming_router",
    "template",
    "templates_in",
    "working",
]

_MODULES = {
    "broadcasters.extras": "ExtraMissing",
    "broadcasters.snapshot": "Snapshot",
    "hub.app": "create_app streaming_router",
    "hub.commands.embedded": "Embedded",
    "hub.config.settings": "Settings",
    "hub.node": "Hub",
    "plan_engine": (
        "BadPlan BlockingContext Cancelled Context Engine EngineMisconfigured EngineUnavailable "
        "LanguageModel NotRunHere Plan Rate Step StepFailed Stream Template ToolUse UnfitInput UnknownTemplate template "
        "templates_in"
    ),
}
_module_of = {name: module for module, names in _MODULES.items() for name in names.split()}
_SUBMODULES = ("blocking", "events")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import plancast` alone loads nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("plancast")
    elif name in _SUBMODULES:
        value = import_module(f"broadcasters.{name}")
    else:
        value = getattr(import_module(_module_of.get(name, "broadcasters")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
