"""Questions to people, their answers, and the verbs that ask them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from broadcasters.events import InputKind

__all__ = ["CLOCK", "NO_DEFAULT", "Answer", "InputQuestion", "QuestionVerbs"]

CLOCK: Final = "the clock"
"""Who answers a question that expired."""
NO_DEFAULT: Final[Any] = object()
_YES: Final = frozenset({"yes", "y", "true", "approve", "approved", "accept", "accepted", "ok"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to a question. Truthy when it means yes: True, "yes", "approved", {"approved": True} …

    Attributes:
        value: the answer itself, as JSON.
        by: who answered, if known.
        at: when they answered, as an ISO 8601 timestamp.
    """

    value: Any
    by: str | None = None
    at: str | None = None

    def __bool__(self) -> bool:
        value = self.value
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            value = fields.get("approved", fields.get("value"))
        return value is True or (isinstance(value, str) and value.strip().lower() in _YES)


@dataclass(frozen=True, slots=True)
class InputQuestion:
    """A question to a person. `expires_in` is in seconds from when it is first asked."""

    kind: InputKind
    prompt: str
    options: Sequence[Any] | None = None
    schema: Mapping[str, Any] | None = None
    expires_in: float | None = None
    default: Any = NO_DEFAULT


class QuestionVerbs(ABC):
    """Asks people, and waits for their answers.

    The plan is reported as waiting until the answer is there, and as in progress after that; with `step_id`, so is the
    step. The questions that one broadcaster asks at once count together.
    """

    @abstractmethod
    async def await_input(
        self,
        plan_id: str,
        kind: InputKind,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
    ) -> Answer:
        """Ask a person, and wait for the first answer: for days, and while the log is unavailable, if need be.

        With a key, the question has one answer for ever: a program that is started again and asks with the same key gets
        the answer that was given, or waits for it. Without a key, the program waits for the same question again if that
        is still open, and asks again if it was answered.

        Args:
            plan_id: The plan.
            kind: `clarification`, `choice` or `approval`.
            prompt: The question.
            options: The answers to choose from: values, or objects with `value` and `label`.
            schema: A JSON Schema of the answer.
            expires_in: How long to wait, in seconds or as a timedelta, from when it was first asked.
            default: The answer when that time is over.
            key: The id of the question, unique in its plan, of up to 200 characters.
            step_id: The step that needs the answer, if any.
            agent_name: The agent that asks.

        Returns:
            The answer: its value, who gave it, and when.

        Raises:
            Expired: No answer in time, and no default.
            AnswerTrimmed: It was answered so long ago that the log no longer has the answer.
            InvalidEvent: A field is wrong; nothing was sent.
            LogError: The question could not be sent, as with `send`; repeat the call, with its key.
        """

    async def ask(
        self,
        plan_id: str,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
    ) -> Any:
        """Ask a person, and return the answer's value. With `options` they choose one of them.

        Arguments and errors as for `await_input`.

        Example:
            city = await broadcaster.ask("plan-1", "Which city?", key="city")
        """
        answer = await self.await_input(
            plan_id,
            "clarification" if options is None else "choice",
            prompt,
            options=options,
            schema=schema,
            expires_in=expires_in,
            default=default,
            key=key,
            step_id=step_id,
            agent_name=agent_name,
        )
        return answer.value

    async def choose(
        self,
        plan_id: str,
        prompt: str,
        options: Sequence[Any],
        *,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
    ) -> Any:
        """Let a person choose one of several options, and return its value.

        Arguments and errors as for `await_input`.

        Example:
            colour = await broadcaster.choose("plan-1", "Which one?", ["red", "green"], key="colour")
        """
        answer = await self.await_input(
            plan_id,
            "choice",
            prompt,
            options=options,
            expires_in=expires_in,
            default=default,
            key=key,
            step_id=step_id,
            agent_name=agent_name,
        )
        return answer.value

    async def approve(
        self,
        plan_id: str,
        prompt: str,
        *,
        options: Sequence[Any] = ("yes", "no"),
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
    ) -> Answer:
        """Ask a person for approval. The answer is truthy if it means yes, and has also who answered, and when.

        Arguments and errors as for `await_input`.

        Example:
            if await broadcaster.approve("plan-1", "Send the offer to 1,204 customers?", key="send"):
                ...
        """
        return await self.await_input(
            plan_id,
            "approval",
            prompt,
            options=options,
            expires_in=expires_in,
            default=default,
            key=key,
            step_id=step_id,
            agent_name=agent_name,
        )
