"""Which model the templates' agents speak through, and how one of them takes its turn.

    analyst = Role("Data Analyst", "You read figures.", output=str, script=lambda asked: f"About {asked.prompt}: …")

    async def look(ctx):
        await introduce(ctx)
        await analyst.speak(ctx, "How was August?")

The model is the engine's (`Engine(…, model=LanguageModel("openai:…"))`, else what `PLANCAST_MODEL` names), and agents find
it in `ctx.model`. Without one, the offline model speaks, from the script that each role carries: a pure function of what it
was asked. It says so before it says anything else.
"""

from plan_engine.model.language_model import OFFLINE, LanguageModel
from plan_engine.models.choice import ModelMisconfigured, check_model, introduce, model_for
from plan_engine.models.offline import Asked, Reply, Script, Use, offline_model
from plan_engine.models.role import Role

__all__ = [
    "OFFLINE",
    "Asked",
    "LanguageModel",
    "ModelMisconfigured",
    "Reply",
    "Role",
    "Script",
    "Use",
    "check_model",
    "introduce",
    "model_for",
    "offline_model",
]
