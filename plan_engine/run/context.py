"""What an agent is given: what it works on, and how it speaks to people.

Every method that tells something returns once that is durable in the plan's log. Every one of them waits while the plan
is paused, and raises `Cancelled` once this attempt is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, cast

from broadcasters.events import AgentMessage, InputKind, MessageType
from plan_engine.errors import in_words
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.plan import Step
from plan_engine.run.step_reporter import Voice

__all__ = ["NO_DEFAULT", "Answer", "Asking", "Context", "Question", "Stream", "ToolUse"]

NO_DEFAULT: Final[Any] = object()
_YES: Final = frozenset({"yes", "y", "true", "approve", "approved", "accept", "accepted", "ok"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered, who, and when. It is true when the answer means yes."""

    value: Any
    by: str | None = None
    at: str | None = None

    def __bool__(self) -> bool:
        value = self.value
        if isinstance(value, dict):
            said = cast("dict[str, Any]", value)
            value = said.get("approved", said.get("value"))
        return value is True or (isinstance(value, str) and value.strip().lower() in _YES)


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked."""

    kind: InputKind
    prompt: str
    options: Sequence[Any] | None = None
    schema: Mapping[str, Any] | None = None
    expires_in: float | None = None
    default: Any = NO_DEFAULT


class Asking(Protocol):
    """Whoever can put a question to a person and wait for the answer."""

    async def ask(self, voice: Voice, question: Question) -> Answer: ...


class Stream:
    """A message that is said in pieces."""

    def __init__(self, voice: Voice, message_id: str) -> None:
        self._voice = voice
        self.message_id = message_id

    async def write(self, text: str) -> None:
        """Add text. Pieces are rolled up into few events."""
        await self._voice.write(self.message_id, text)


class ToolUse:
    """A tool in use. `result` is told when the block is left."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.result: Any = None


class Context:
    """Everything an agent knows and can do. One for each attempt of a step."""

    def __init__(
        self,
        voice: Voice,
        asking: Asking,
        given: Mapping[str, Any],
        results: Mapping[str, Any],
        owner: str | None,
        model: LanguageModel,
    ) -> None:
        self._voice = voice
        self._asking = asking
        self.input = given
        """What the plan was started with."""
        self.results = results
        """What the steps that this one needs returned, by their ids; a skipped one is missing."""
        self.owner = owner
        """Whose plan it is, if anybody's."""
        self.model = model
        """The language model to speak through."""

    @property
    def plan_id(self) -> str:
        return self._voice.plan_id

    @property
    def step(self) -> Step:
        return self._voice.step

    @property
    def attempt(self) -> int:
        """1 the first time. A restart of the worker begins a new attempt, too, unless this one waited for a person."""
        return self._voice.attempt

    @property
    def max_attempts(self) -> int:
        return self._voice.max_attempts

    @property
    def cancelled(self) -> bool:
        """Is this attempt over? For loops that tell nothing; everything else raises `Cancelled`."""
        return self._voice.closed

    @property
    def key(self) -> str:
        """The same in every attempt of this step of this plan: an idempotency key for what it does to the world."""
        return f"{self.plan_id}/{self.step.id}"

    # ---- saying

    async def think(self, text: str, *, agent: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """What the agent is thinking about."""
        await self._say("thinking", text, agent, data)

    async def act(self, text: str, *, agent: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """What the agent does now."""
        await self._say("action", text, agent, data)

    async def say(self, text: str, *, agent: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """What the agent found or made: a result, for people."""
        await self._say("result", text, agent, data)

    async def _say(self, kind: MessageType, text: str, agent: str | None, data: Mapping[str, Any] | None) -> None:
        said = {"agent_name": agent or self.step.agent_name, "content": text, "message_type": kind, "data": data}
        await self._voice.say(AgentMessage, **said)

    @asynccontextmanager
    async def stream(self, kind: MessageType = "result", *, agent: str | None = None) -> AsyncGenerator[Stream]:
        """Say something in pieces, as a model produces it: `async with ctx.stream() as s: await s.write("…")`.

        When the block is left by an exception, people see that the message broke off."""
        message_id = await self._voice.open_message(agent or self.step.agent_name, kind)
        try:
            yield Stream(self._voice, message_id)
        except BaseException as error:
            await self._voice.close_message(message_id, error)
            raise
        await self._voice.close_message(message_id)

    async def progress(self, percent: float, text: str | None = None, *, data: Mapping[str, Any] | None = None) -> None:
        """How far this step is, 0 to 100, and what it is at, in words for people."""
        await self._voice.progress(percent, text, data)

    @asynccontextmanager
    async def tool(self, name: str, /, *, agent: str | None = None, **arguments: Any) -> AsyncGenerator[ToolUse]:
        """Tell that a tool is used: `async with ctx.tool("sql", query=q) as use: use.result = run(q)`."""
        use = ToolUse(await self._voice.open_tool(agent or self.step.agent_name, name, arguments or None))
        try:
            yield use
        except Exception as error:
            await self._voice.close_tool(use.call_id, "error", in_words(error))
            raise
        await self._voice.close_tool(use.call_id, "completed", use.result)

    async def artifact(
        self, name: str, mime_type: str, *, url: str | None = None, data: Any = None, artifact_id: str | None = None
    ) -> None:
        """Show something that was made: where it is, or, if it is small, the thing itself. Said again under the same
        id (without one: the step's and the name), it is the same thing in a newer version. Another attempt that makes
        the very same thing doesn't show it again."""
        made = {"artifact_id": artifact_id or f"{self.step.id}/{name}", "name": name, "mime_type": mime_type}
        await self._voice.made({**made, "url": url, "data": data})

    # ---- asking

    async def ask(
        self,
        prompt: str,
        *,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Ask a person a question, and wait for the answer. See `await_input`."""
        answer = await self.await_input("clarification", prompt, schema=schema, expires_in=expires_in, default=default)
        return answer.value

    async def choose(
        self,
        prompt: str,
        options: Sequence[Any],
        *,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Let a person choose one of the options (values, or objects with `value` and `label`); the value chosen."""
        answer = await self.await_input("choice", prompt, options=options, expires_in=expires_in, default=default)
        return answer.value

    async def approve(
        self,
        prompt: str,
        *,
        options: Sequence[Any] = ("yes", "no"),
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Answer:
        """Ask a person to agree: `if await ctx.approve("Send it?"):`. The answer knows who gave it, and when."""
        return await self.await_input("approval", prompt, options=options, expires_in=expires_in, default=default)

    async def await_input(
        self,
        kind: InputKind,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Answer:
        """Ask a person, and wait: for days, and through restarts, if need be. The first answer is the answer.

        When nobody answers within `expires_in` seconds (counted from when it was first asked), `default` is the answer,
        or, without one, `Expired` is raised. The same question asked again in a later attempt of this step keeps the
        answer it had; asked again in the same attempt, it is a new question."""
        seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        return await self._asking.ask(self._voice, Question(kind, prompt, options, schema, seconds, default))

    # ---- waiting

    async def sleep(self, seconds: float) -> None:
        """Do nothing for a while, and then for as long as the plan is paused."""
        await asyncio.sleep(seconds)
        await self._voice.gate()

    async def checkpoint(self) -> None:
        """Tell nothing, but wait while the plan is paused, and raise `Cancelled` once this attempt is over."""
        await self._voice.gate()
