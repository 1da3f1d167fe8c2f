"""Plans that run, tell how it goes, wait for people, and survive crashes.

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

Writing plans needs nothing more than agents do; running them needs `pip install 'plancast[engine]'`.
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
    from plan_engine.model.language_model import LanguageModel
    from plan_engine.model.plan import Plan, Step
    from plan_engine.model.template import Rate, Template, template, templates_in
    from plan_engine.run.blocking import BlockingContext
    from plan_engine.run.context import Answer, Context, Stream, ToolUse

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

_HOMES = {
    "run.blocking": "BlockingContext",
    "run.context": "Answer Context Stream ToolUse",
    "engine": "Engine",
    "errors": (
        "BadPlan Cancelled EngineMisconfigured EngineUnavailable Expired NotRunHere StepFailed UnfitInput "
        "UnknownTemplate"
    ),
    "model.language_model": "LanguageModel",
    "model.plan": "Plan Step",
    "model.template": "Rate Template template templates_in",
}
_home_of = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: whoever only writes plans doesn't pay for running them."""
    if name not in _home_of:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_home_of[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
