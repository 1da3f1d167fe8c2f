"""The errors of an engine, by whose fault it was.

The plan's author: `BadPlan`. The caller that starts a plan: `UnknownTemplate`, `UnfitInput`. The caller that sends a
signal: `NotRunHere`. The operator: `EngineMisconfigured`. Network and servers: `EngineUnavailable`. An agent raises
`StepFailed` when it can't do its work; `Cancelled` and `Expired` may be raised in an agent.
"""

from __future__ import annotations

import asyncio
from typing import Final

from broadcasters.errors import Expired, PlancastError

__all__ = [
    "MAX_WORDS",
    "BadPlan",
    "Cancelled",
    "EngineMisconfigured",
    "EngineUnavailable",
    "Expired",
    "NotRunHere",
    "StepFailed",
    "UnfitInput",
    "UnknownTemplate",
    "encodable",
    "in_words",
]

MAX_WORDS: Final = 4000
"""Characters of an error's message that an event carries."""


def encodable(text: str) -> str:
    """The text with halves of surrogate pairs (as in some file names) replaced by question marks, as events require."""
    return text.encode("utf-8", "replace").decode()


def in_words(error: BaseException) -> str:
    """An error's message, or its name if it has none."""
    return encodable(str(error))[:MAX_WORDS] or type(error).__name__


class BadPlan(PlancastError, ValueError):
    """A plan or template that can't be run. The message names the step at fault, and what to change."""


class UnknownTemplate(PlancastError):
    """No template has this name. The message lists those there are."""


class UnfitInput(PlancastError, ValueError):
    """The template doesn't accept this input. The message says why."""


class NotRunHere(PlancastError):
    """No engine on this database runs this plan, or it has ended."""


class EngineMisconfigured(PlancastError):
    """The engine can't run until its operator changes something. The message says what."""


class EngineUnavailable(PlancastError):
    """The engine's database could not be reached. The same call may succeed later."""


class StepFailed(PlancastError):
    """Raised by an agent that can't do its work.

    Args:
        message: the reason, shown to people.
        retry: with False the step fails at once, even if it has retries left.

    Example:
        raise StepFailed("There are no orders for May", retry=False)
    """

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class Cancelled(asyncio.CancelledError):
    """This attempt is over: cancelled, timed out, or taken over by another worker. It can report nothing more.

    Agents should let it pass. As a cancellation it is no `Exception`, so `except Exception` doesn't catch it.
    """
