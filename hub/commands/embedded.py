"""The plan engine of a command: its templates, its model, and the engine as an `EnginePort` for a hub."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from broadcasters.errors import PlancastError
from broadcasters.supervision import Part
from hub.config.settings import Settings
from hub.engine_port import (
    BrokenTemplate,
    EngineStatistics,
    EngineUnreachable,
    InputRejected,
    PlanNotRunning,
    SignalName,
    TemplateInfo,
    TemplateNotFound,
)
from plan_engine import errors

if TYPE_CHECKING:
    from plan_engine import Engine, LanguageModel, Template

__all__ = ["BUILT_IN", "Embedded", "check_database", "check_model", "model_of", "templates_of"]

BUILT_IN: Final = "plan_engine.templates"


def templates_of(modules: Sequence[str]) -> list[Template]:
    """All templates in these modules, or the built-in ones if none are named. Modules may be in the working directory.

    Raises `PlancastError` if a module can't be imported or has no template."""
    importlib.import_module("plan_engine.engine")  # templates are useless without an engine
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last, so that it hides no installed module
    return [template for name in modules or [BUILT_IN] for template in _templates_in(name)]


def _templates_in(name: str) -> list[Template]:
    from plan_engine import templates_in

    try:
        module = importlib.import_module(name)
    except PlancastError:
        raise
    except ModuleNotFoundError as missing:
        cure = "check --templates and the working directory"
        raise PlancastError(f"can't import the templates of {name}: no module {missing.name}; {cure}") from None
    except (Exception, SystemExit) as error:
        raise PlancastError(f"can't import the templates of {name}: {type(error).__name__}: {error}") from error
    if not (found := templates_in(module)):
        raise PlancastError(f"{name} has no templates; define one with @plan_engine.template")
    return found


def model_of(settings: Settings) -> LanguageModel:
    """The language model of these settings, for an engine's agents."""
    from plan_engine import LanguageModel

    return LanguageModel(settings.model, settings.pace)


def check_model(settings: Settings) -> None:
    """Raises `PlancastError` if agents can't use the model: at the start, instead of in each plan."""
    if settings.model != "offline" and find_spec("pydantic_ai") is not None:
        importlib.import_module("plan_engine.models").check_model(model_of(settings))


def check_database(settings: Settings) -> None:
    """Raises `PlancastError` if the engine's database is SQLite and that of this Python is too old."""
    problem = importlib.import_module("plan_engine.worker.sqlite").sqlite_problem()
    if problem and settings.engine_db.startswith("sqlite:"):
        raise PlancastError(problem)


class Embedded:
    """An engine in this process, as an `EnginePort`. Give it to one hub, which opens and closes the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def open(self) -> None:
        with _port_errors():
            await self._engine.__aenter__()

    async def close(self) -> None:
        await self._engine.close()

    @property
    def parts(self) -> Mapping[str, Part]:
        return self._engine.parts

    def statistics(self) -> EngineStatistics:
        engine = self._engine
        return EngineStatistics(engine.statistics(), engine.plans, engine.leased)

    def templates(self) -> Sequence[TemplateInfo]:
        return [
            TemplateInfo(template.name, template.title, template.about, template.input_schema)
            for template in self._engine.templates()
        ]

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None) -> bool:
        with _port_errors():
            return await self._engine.start(template, given, plan_id, owner)

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        with _port_errors():
            await self._engine.signal(plan_id, signal, by)


@contextmanager
def _port_errors() -> Generator[None]:
    """Raises the engine's errors as those of the port."""
    try:
        yield
    except errors.UnknownTemplate as error:
        raise TemplateNotFound(*error.args) from None
    except errors.UnfitInput as error:
        raise InputRejected(*error.args) from None
    except errors.BadPlan as error:
        raise BrokenTemplate(*error.args) from error
    except errors.NotRunHere as error:
        raise PlanNotRunning(*error.args) from None
    except errors.EngineUnavailable as error:
        raise EngineUnreachable(*error.args) from None
