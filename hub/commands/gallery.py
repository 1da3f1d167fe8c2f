"""The templates that a command was told to use, or the built-in ones."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from broadcasters.errors import PlancastError
from hub.config.settings import Settings

if TYPE_CHECKING:
    from plan_engine import LanguageModel, Template

__all__ = ["BUILT_IN", "check_model", "model_of", "templates_of"]

BUILT_IN: Final = "plan_engine.templates"


def templates_of(modules: Sequence[str]) -> list[Template]:
    """Every template in these modules, which may stand in the working directory; none named: the built-in ones.
    `PlancastError` says why there are none."""
    try:
        importlib.import_module("plan_engine.engine")  # a template that nothing can run is of no use
    except ModuleNotFoundError as missing:
        why = f"running plans needs more than agents do ({missing.name}): pip install 'plancast[engine]'"
        raise PlancastError(why) from None
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last: nothing here takes the place of what is installed
    return [template for name in modules or [BUILT_IN] for template in _templates_in(name)]


def _templates_in(name: str) -> list[Template]:
    from plan_engine import templates_in

    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        why = f"templates are looked for in {name}, and there is no module {missing.name}"
        cure = ": pip install 'plancast[templates]'" if name == BUILT_IN else ""
        raise PlancastError(why + cure) from None
    except PlancastError:
        raise
    except (Exception, SystemExit) as error:
        raise PlancastError(f"{name} can't be imported for its templates: {type(error).__name__}: {error}") from error
    if not (here := templates_in(module)):
        raise PlancastError(f"there is no template in {name}; one is made with plan_engine.template")
    return here


def model_of(settings: Settings) -> LanguageModel:
    """The language model of these settings, for an engine's agents."""
    from plan_engine import LanguageModel

    return LanguageModel(settings.model, settings.pace)


def check_model(settings: Settings) -> None:
    """Raises `PlancastError` when agents can't use the model that was named: once, at the start, and not in each plan."""
    if settings.model != "offline" and find_spec("pydantic_ai") is not None:
        importlib.import_module("plan_engine.models").check_model(model_of(settings))
