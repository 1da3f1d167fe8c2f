"""Durable plans: they run, report what they do, wait for people, and survive crashes.

    from plan_engine import Engine, Plan, Step, template

    async def look(ctx):
        await ctx.think("Who is it?")
        return {"name": ctx.input["name"]}

    @template("greeting", title="Greet somebody")
    def greeting(given):
        return Plan("Greet somebody", [Step("look", "Look them up", look)])

    async with Engine(templates=[greeting]) as engine:
        await engine.start("greeting", {"name": "Ada"}, "greeting-1")
        print(await engine.outcome("greeting-1"))

Defining plans requires what agents require; running them requires `pip install 'plancast[engine]'`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plan_engine.engine import Engine
    from plan_engine.errors import (
        BadPlan,
        Cancelled,
        EngineMisconfigured,
        EngineUnavailable,
        Expired,
        NotRunHere,
        StepFailed,
        UnfitInput,
        UnknownTemplate,
    )
    from plan_engine.model.interaction import Answer
    from plan_engine.model.language_model import LanguageModel
    from plan_engine.model.plan import Plan, Step
    from plan_engine.model.template import Rate, Template, template, templates_in
    from plan_engine.run.blocking import BlockingContext
    from plan_engine.run.context import Context, Stream, ToolUse

__all__ = [
    "Answer",
    "BadPlan",
    "BlockingContext",
    "Cancelled",
    "Context",
    "Engine",
    "EngineMisconfigured",
    "EngineUnavailable",
    "Expired",
    "LanguageModel",
    "NotRunHere",
    "Plan",
    "Rate",
    "Step",
    "StepFailed",
    "Stream",
    "Template",
    "ToolUse",
    "UnfitInput",
    "UnknownTemplate",
    "template",
    "templates_in",
]

_MODULES = {
    "run.blocking": "BlockingContext",
    "run.context": "Context Stream ToolUse",
    "engine": "Engine",
    "errors": (
        "BadPlan Cancelled EngineMisconfigured EngineUnavailable Expired NotRunHere StepFailed UnfitInput "
        "UnknownTemplate"
    ),
    "model.interaction": "Answer",
    "model.language_model": "LanguageModel",
    "model.plan": "Plan Step",
    "model.template": "Rate Template template templates_in",
}
_module_of = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a program which only defines plans doesn't import what runs them."""
    if name not in _module_of:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_module_of[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
