"""The language model that the agents of one engine speak through, and the offline model's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from plan_engine.errors import EngineMisconfigured

__all__ = ["OFFLINE", "LanguageModel"]

OFFLINE: Final = "offline"
NO_PACE: Final = "the offline model's pace (PLANCAST_PACE) is a number from 0 (at once) to 100, not {!r}"


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """`name` is a model's name as Pydantic AI knows it (`openai:…`, `anthropic:…`), or "offline". `pace` counts for the
    offline model: 1 as people like to read, 0 at once, 2 half as fast."""

    name: str = OFFLINE
    pace: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.pace <= 100:
            raise EngineMisconfigured(NO_PACE.format(self.pace))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """The model that PLANCAST_MODEL and PLANCAST_PACE name; an empty variable counts as an unset one."""
        pace = environ.get("PLANCAST_PACE", "").strip() or "1"
        try:
            number = float(pace)
        except ValueError:
            raise EngineMisconfigured(NO_PACE.format(pace)) from None
        return cls(environ.get("PLANCAST_MODEL", "").strip() or OFFLINE, number)

    @property
    def offline(self) -> bool:
        return self.name == OFFLINE

    async def pause(self, seconds: float) -> None:
        """Wait so long at the offline model's pace, so that people can follow. Any other model takes its own time."""
        if self.offline:
            await asyncio.sleep(seconds * self.pace)
