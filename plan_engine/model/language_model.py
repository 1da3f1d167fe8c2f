"""The language model that an engine's agents use, and the pace of the offline model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from plan_engine.errors import EngineMisconfigured

__all__ = ["OFFLINE", "LanguageModel"]

OFFLINE: Final = "offline"
NO_PACE: Final = "the offline model's pace (PLANCAST_PACE) must be a number from 0 (instant) to 100; got {!r}"


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The language model of an engine.

    Args:
        name: a model's name in Pydantic AI (`openai:…`, `anthropic:…`), or "offline".
        pace: the delays of the offline model: 1 is a pace that people can follow, 0 is instant, 2 is half as fast.

    Raises:
        EngineMisconfigured: `pace` isn't from 0 to 100.

    Example:
        Engine(templates=[trip], model=LanguageModel("openai:gpt-5"))
    """

    name: str = OFFLINE
    pace: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.pace <= 100:
            raise EngineMisconfigured(NO_PACE.format(self.pace))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """The model that PLANCAST_MODEL and PLANCAST_PACE select. An empty variable counts as unset.

        Args:
            environ: the environment variables.

        Raises:
            EngineMisconfigured: PLANCAST_PACE isn't a number from 0 to 100.
        """
        pace = environ.get("PLANCAST_PACE", "").strip() or "1"
        try:
            number = float(pace)
        except ValueError:
            raise EngineMisconfigured(NO_PACE.format(pace)) from None
        return cls(environ.get("PLANCAST_MODEL", "").strip() or OFFLINE, number)

    @property
    def offline(self) -> bool:
        """Whether this is the offline model."""
        return self.name == OFFLINE

    async def pause(self, seconds: float) -> None:
        """Wait, so that people can follow the offline model. Does nothing with any other model.

        Args:
            seconds: the delay at pace 1.
        """
        if self.offline:
            await asyncio.sleep(seconds * self.pace)
