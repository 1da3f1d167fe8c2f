"""Pydantic AI's model for the language model that an engine was given."""

from __future__ import annotations

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from plan_engine.errors import StepFailed
from plan_engine.model.language_model import LanguageModel
from plan_engine.models.offline import Script, offline_model
from plan_engine.run.context import Context

__all__ = ["ModelMisconfigured", "check_model", "introduce", "model_for"]


class ModelMisconfigured(StepFailed):
    """PLANCAST_MODEL names no model that can be used here; the message says why. For the operator to change."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"PLANCAST_MODEL is {name!r}, and that model can't be used: {why} "
            f"(Without PLANCAST_MODEL the offline model answers.)",
            retry=False,
        )


def model_for(chosen: LanguageModel, script: Script) -> Model:
    """The model to speak through. Offline, it answers from this script. Raises `ModelMisconfigured`."""
    return offline_model(script, chosen.pace) if chosen.offline else _named(chosen.name)


def check_model(chosen: LanguageModel) -> None:
    """Raises `ModelMisconfigured` when the model can't be used here. Nothing is sent to it."""
    if not chosen.offline:
        _named(chosen.name)


def _named(name: str) -> Model:
    try:
        return infer_model(name)
    except (UserError, ImportError, ValueError) as error:
        raise ModelMisconfigured(name, _first_sentence(str(error))) from error


def _first_sentence(text: str) -> str:
    """What is wrong; the rest is advice about a library that people don't know we use."""
    sentence = text.partition(". ")[0].strip().rstrip(".")
    return f"{sentence}."


async def introduce(ctx: Context) -> None:
    """Say which model speaks. A template's first agent does so before anything else."""
    text = (
        "I'm the offline model: I speak from a script. Set PLANCAST_MODEL to let a real one answer."
        if ctx.model.offline
        else f"The model is {ctx.model.name}."
    )
    await ctx.think(text, data={"model": ctx.model.name})
