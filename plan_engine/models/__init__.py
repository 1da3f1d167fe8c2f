"""Agents for templates, and the language model they use.

    analyst = Role("Data Analyst", "You read figures.", output=str, script=lambda asked: f"About {asked.prompt}: …")

    async def look(ctx):
        await introduce(ctx)
        await analyst.speak(ctx, "How was August?")

The model is the engine's: `Engine(…, model=LanguageModel("openai:…"))`, or the one that `PLANCAST_MODEL` names. Agents find
it in `ctx.model`. Without one, the offline model answers from each role's script, a pure function of what it is asked.
`introduce` reports which model is used.
"""

from plan_engine.model.language_model import OFFLINE, LanguageModel
from plan_engine.models.offline import Reply, Script, ScriptInput, Use, offline_model
from plan_engine.models.online import ModelMisconfigured
from plan_engine.models.role import Role, check_model, introduce, model_for, prompt_of

__all__ = [
    "OFFLINE",
    "LanguageModel",
    "ModelMisconfigured",
    "Reply",
    "Role",
    "Script",
    "ScriptInput",
    "Use",
    "check_model",
    "introduce",
    "model_for",
    "offline_model",
    "prompt_of",
]
