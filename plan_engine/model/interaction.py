"""What people exchange with a running plan: questions, their answers, and signals."""

from __future__ import annotations

from dataclasses import dataclass

from broadcasters.questions import NO_DEFAULT, Answer, InputQuestion

__all__ = ["NO_DEFAULT", "Answer", "InputQuestion", "Signal"]


@dataclass(frozen=True, slots=True)
class Signal:
    """A recorded request to cancel, pause or resume a plan. `number` orders the signals of all plans."""

    number: int
    name: str
    by: str
