"""Where an adapter tells what it sees: a plan of its own, or a step of an engine's plan."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from broadcasters.events import MessageType, StepStatus
from plan_engine.run.context import Answer, Question

__all__ = ["Call", "Line", "Outlet"]


@dataclass(frozen=True, slots=True)
class Line:
    """A message: who says it, how it is meant, and in which step."""

    message_id: str
    agent: str
    kind: MessageType = "result"
    step_id: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A tool in use."""

    call_id: str
    tool_name: str
    agent: str
    arguments: Any = None
    step_id: str | None = None


class Outlet(ABC):
    """Every word returns once it is durable. Names and texts may be of any length, data of any kind: it is bounded
    here. `result` is what the run returned, to be told when it ends."""

    plan_id: str
    result: Any = None
    taken_up: bool = False
    """Was this very run begun before, and not finished?"""

    def __init__(self) -> None:
        self.run_id = secrets.token_hex(6)
        """For ids where the framework has none: no other run has it."""

    @abstractmethod
    async def step(
        self, step_id: str, status: StepStatus, *, title: str, content: str | None = None, data: Any = None
    ) -> None:
        """How a part of the run goes. Telling the status it has already tells nothing."""

    @abstractmethod
    async def progress(self, percent: float, text: str | None = None, *, step_id: str | None = None) -> None:
        """How far the run is (or one step of it), 0 to 100."""

    @abstractmethod
    async def write(self, line: Line, text: str) -> None:
        """Add text to a message, and begin it if it wasn't: anew, when one of its id was said before."""

    @abstractmethod
    async def end_message(self, message_id: str) -> None:
        """Nothing more is written to it. Harmless when it isn't open."""

    @abstractmethod
    async def tool_started(self, call: Call) -> None:
        """A tool is used. Harmless when that was said."""

    @abstractmethod
    async def tool_ended(self, call_id: str, result: Any, *, failed: bool = False) -> None:
        """What came of it. Says nothing of a call that isn't open."""

    @abstractmethod
    async def ask(self, request_id: str, question: Question, *, agent: str, step_id: str | None = None) -> Answer:
        """Put a question to a person, and wait for the answer."""

    async def say(self, line: Line, text: str) -> None:
        """A message in one piece."""
        await self.write(line, text)
        await self.end_message(line.message_id)

    @abstractmethod
    async def break_off_the_former(self) -> None:
        """What an earlier run left open is not taken up."""

    # ---- its life, for `telling`

    @abstractmethod
    async def begin(self) -> None: ...

    @abstractmethod
    async def completed(self) -> None: ...

    @abstractmethod
    async def failed(self, error: BaseException) -> None: ...
