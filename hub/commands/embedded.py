"""The plan engine as the hub knows engines: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from broadcasters.supervision import Part
from hub.engine_port import (
    BrokenTemplate,
    EngineUnreachable,
    InputRejected,
    PlanNotRunning,
    SignalName,
    TemplateInfo,
    TemplateNotFound,
)
from plan_engine import Engine, errors

__all__ = ["Embedded"]


class Embedded:
    """An `EnginePort`. Give it to one hub, which opens and closes the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def open(self) -> None:
        with _in_the_hubs_words():
            await self._engine.__aenter__()

    async def close(self) -> None:
        await self._engine.close()

    @property
    def parts(self) -> Mapping[str, Part]:
        return self._engine.parts

    def templates(self) -> Sequence[TemplateInfo]:
        return [
            TemplateInfo(template.name, template.title, template.about, template.input_schema)
            for template in self._engine.templates()
        ]

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None) -> None:
        with _in_the_hubs_words():
            await self._engine.start(template, given, plan_id, owner)

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        with _in_the_hubs_words():
            await self._engine.signal(plan_id, signal, by)


@contextmanager
def _in_the_hubs_words() -> Generator[None]:
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
