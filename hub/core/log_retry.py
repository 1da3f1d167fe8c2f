"""Asking a log until it answers."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from broadcasters.errors import LogError
from hub.core.counts import HubCounts

__all__ = ["Patience"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0


class Patience:
    """With the log of one plan. Says once that the log fails, and once that it answers again, however many ask."""

    def __init__(self, plan_id: str, counts: HubCounts) -> None:
        self._plan_id = plan_id
        self._counts = counts
        self._failing = False

    async def __call__(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, however long it takes: whoever has less time cancels this."""
        pause = FIRST_PAUSE
        while True:
            try:
                answer = await ask()
            except LogError as error:
                self._failed(error)
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._answered()
                return answer

    def _failed(self, error: LogError) -> None:
        self._counts.log_errors[type(error).__name__] += 1
        if not self._failing:
            self._failing = True
            logger.warning("the log does not answer for plan %s: %s", self._plan_id, error)

    def _answered(self) -> None:
        if self._failing:
            self._failing = False
            logger.info("the log answers again for plan %s", self._plan_id)
