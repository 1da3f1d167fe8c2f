"""What can go wrong around a plan that runs, and whose fault it was.

The author's: `BadPlan`, found when the plan is made. The starter's: `UnknownTemplate`, `UnfitInput`. The signaller's:
`NotRunHere`. The operator's: `EngineMisconfigured`. The weather's: `EngineUnavailable`. An agent says with `StepFailed`
that it can't do its work, in words for people; `Cancelled` and `Expired` are what an agent may meet.
"""

from __future__ import annotations

import asyncio
from typing import Final

from broadcasters.errors import PlancastError

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


def encodable(text: str) -> str:
    """The text as an event can carry it. Halves of surrogate pairs, as in names of files, become question marks."""
    return text.encode("utf-8", "replace").decode()


def in_words(error: BaseException) -> str:
    """What an error says, or else its name."""
    return encodable(str(error))[:MAX_WORDS] or type(error).__name__


class BadPlan(PlancastError, ValueError):
    """This can't be run: the message names the step at fault, and what to change."""


class UnknownTemplate(PlancastError):
    """There is no template of this name; the message names those there are."""


class UnfitInput(PlancastError, ValueError):
    """The template can't work with this input; the message says why."""


class NotRunHere(PlancastError):
    """No engine runs this plan, or it has ended: there is nobody to obey."""


class EngineMisconfigured(PlancastError):
    """The engine can't run like this until its operator changes something; the message says what."""


class EngineUnavailable(PlancastError):
    """The engine's database could not be reached. The same call may work later."""


class StepFailed(PlancastError):
    """Raised by an agent: it couldn't do its work, and `message` tells people why. With `retry=False` trying again
    would not help, and the step fails at once."""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class Expired(StepFailed):
    """Nobody answered in time. An agent that doesn't catch it fails, and trying again would not help."""

    def __init__(self, prompt: str) -> None:
        super().__init__(f"Nobody answered in time: {prompt}", retry=False)


class Cancelled(asyncio.CancelledError):
    """This attempt is over: cancelled, out of time, or taken over by another worker. Nothing it says is told any more.

    Let it pass. Like every cancellation it is no `Exception`, so that `except Exception` doesn't swallow it.
    """
