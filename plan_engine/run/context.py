"""What an agent is given: its input, and the ways to report to people and to ask them.

Each method that reports something returns once that is durable in the plan's log. Every method waits while the plan is
paused, and raises `Cancelled` once this attempt is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from broadcasters.events import AgentMessage, InputKind, MessageType
from broadcasters.usage import UsageFields
from plan_engine.errors import in_words
from plan_engine.model.interaction import NO_DEFAULT, Answer, InputQuestion
from plan_engine.model.language_model import LanguageModel
from plan_engine.model.plan import Step
from plan_engine.run.questions import Questions
from plan_engine.run.step_reporter import StepReporter

__all__ = ["Context", "Stream", "ToolUse"]


class Stream:
    """A message sent piece by piece. Made by `Context.stream`."""

    def __init__(self, reporter: StepReporter, message_id: str) -> None:
        self._reporter = reporter
        self.message_id = message_id

    async def write(self, text: str) -> None:
        """Add text. Returns before the text is durable; pieces are rolled up into few events.

        Args:
            text: the text to append to the message.

        Raises:
            InvalidEvent: `text` isn't a string that can be encoded.
            Cancelled: this attempt is over.
        """
        await self._reporter.write(self.message_id, text)

    def report_usage(self, usage: UsageFields) -> None:
        """Report what was used of a model for this message. It is sent with the message's last part.

        Args:
            usage: a `Usage`, or its fields. It replaces what an earlier call reported.

        Raises:
            InvalidEvent: a field is wrong.
        """
        self._reporter.report_message_usage(self.message_id, usage)


class ToolUse:
    """A tool in use. Made by `Context.tool`.

    Attributes:
        call_id: the id of the call.
        result: what the tool returned, set by the agent; reported when the block is left.
        usage: what the tool itself used of a model, likewise.
    """

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.result: Any = None
        self.usage: UsageFields | None = None


class Context:
    """What an agent knows and can do. One for each attempt of a step.

    Attributes:
        input: what the plan was started with.
        results: the results of the steps that this one needs, by step id; a skipped step is missing.
        owner: the owner of the plan, if it has one.
        model: the language model to use.

    Example:
        async def look_up(ctx: Context) -> dict[str, int]:
            await ctx.think("Which month do they mean?")
            async with ctx.tool("orders", month="May") as use:
                use.result = await count_orders("May")
            return {"orders": use.result}
    """

    def __init__(
        self,
        reporter: StepReporter,
        questions: Questions,
        given: Mapping[str, Any],
        results: Mapping[str, Any],
        owner: str | None,
        model: LanguageModel,
    ) -> None:
        self._reporter = reporter
        self._questions = questions
        self.input = given
        self.results = results
        self.owner = owner
        self.model = model

    @property
    def plan_id(self) -> str:
        """The id of the plan."""
        return self._reporter.plan_id

    @property
    def step(self) -> Step:
        """The step that the agent works on."""
        return self._reporter.step

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1. A restart of the worker begins a new one, unless the step waited for a
        person."""
        return self._reporter.attempt

    @property
    def max_attempts(self) -> int:
        """The number of attempts this step has, counting those that restarts of its workers ended."""
        return self._reporter.max_attempts

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is over. For loops that call nothing here; every method raises `Cancelled`."""
        return self._reporter.closed

    @property
    def key(self) -> str:
        """An idempotency key for this step's effects on other systems: the same in every attempt."""
        return f"{self.plan_id}/{self.step.id}"

    # ---- reporting

    async def think(
        self,
        text: str,
        *,
        agent: str | None = None,
        data: Mapping[str, Any] | None = None,
        usage: UsageFields | None = None,
    ) -> None:
        """Report a thought, as a `thinking` message.

        Args:
            text: the message, for people.
            agent: the agent's name; by default the step's `agent_name`.
            data: anything for programs, as JSON.
            usage: what was used of a model for it, and nothing else reports.
        """
        await self._message("thinking", text, agent, data, usage)

    async def act(
        self,
        text: str,
        *,
        agent: str | None = None,
        data: Mapping[str, Any] | None = None,
        usage: UsageFields | None = None,
    ) -> None:
        """Report what the agent does now, as an `action` message. Arguments as for `think`."""
        await self._message("action", text, agent, data, usage)

    async def say(
        self,
        text: str,
        *,
        agent: str | None = None,
        data: Mapping[str, Any] | None = None,
        usage: UsageFields | None = None,
    ) -> None:
        """Report what the agent found or made, as a `result` message. Arguments as for `think`."""
        await self._message("result", text, agent, data, usage)

    async def _message(
        self,
        kind: MessageType,
        text: str,
        agent: str | None,
        data: Mapping[str, Any] | None,
        usage: UsageFields | None,
    ) -> None:
        fields = {"agent_name": agent or self.step.agent_name, "content": text, "message_type": kind, "data": data}
        await self._reporter.report(AgentMessage, **fields, usage=usage)

    async def report_usage(self, usage: UsageFields, *, agent: str | None = None) -> None:
        """Report what was used of a model, where no message or tool call reports it. It adds to the step's sum.

        Args:
            usage: a `Usage`, or its fields: what was used since the last report, not a total.
            agent: the agent that used it, by name; by default the step's `agent_name`.
        """
        await self._reporter.report_usage(usage, agent or self.step.agent_name)

    @asynccontextmanager
    async def stream(self, kind: MessageType = "result", *, agent: str | None = None) -> AsyncGenerator[Stream]:
        """Send one message piece by piece, as a model produces it.

        The message is closed when the block is left: with an error mark if an exception leaves it.

        Args:
            kind: "thinking", "action" or "result".
            agent: the agent's name; by default the step's `agent_name`.

        Example:
            async with ctx.stream() as message:
                async for token in tokens:
                    await message.write(token)
        """
        message_id = await self._reporter.open_message(agent or self.step.agent_name, kind)
        try:
            yield Stream(self._reporter, message_id)
        except BaseException as error:
            await self._reporter.close_message(message_id, error)
            raise
        await self._reporter.close_message(message_id)

    async def progress(self, percent: float, text: str | None = None, *, data: Mapping[str, Any] | None = None) -> None:
        """Report the step's progress.

        Args:
            percent: 0 to 100.
            text: what is being done now, for people.
            data: anything for programs, as JSON.
        """
        await self._reporter.progress(percent, text, data)

    @asynccontextmanager
    async def tool(self, name: str, /, *, agent: str | None = None, **arguments: Any) -> AsyncGenerator[ToolUse]:
        """Report a tool call: started, and then completed, or failed if an exception leaves the block.

        Args:
            name: the tool's name.
            agent: the agent's name; by default the step's `agent_name`.
            **arguments: the call's arguments, as JSON.

        Example:
            async with ctx.tool("sql", query=q) as use:
                use.result = await run(q)
        """
        use = ToolUse(await self._reporter.open_tool(agent or self.step.agent_name, name, arguments or None))
        try:
            yield use
        except Exception as error:
            await self._reporter.close_tool(use.call_id, "error", in_words(error), use.usage)
            raise
        except BaseException:
            self._reporter.count_tool_usage(use.call_id, use.usage)
            raise
        await self._reporter.close_tool(use.call_id, "completed", use.result, use.usage)

    async def artifact(
        self, name: str, mime_type: str, *, url: str | None = None, data: Any = None, artifact_id: str | None = None
    ) -> None:
        """Show something the agent made. A later attempt that makes the identical artifact doesn't show it again.

        Args:
            name: its name, as of a file.
            mime_type: its media type.
            url: where it can be fetched.
            data: the artifact itself, if it is small.
            artifact_id: a later artifact with the same id is a newer version of it; by default made of step and name.
        """
        ids = {"artifact_id": artifact_id or f"{self.step.id}/{name}", "name": name, "mime_type": mime_type}
        await self._reporter.artifact({**ids, "url": url, "data": data})

    # ---- asking

    async def ask(
        self,
        prompt: str,
        *,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Ask a person an open question.

        Args:
            prompt: the question.
            schema: the JSON schema that an answer must match.
            expires_in: how long to wait, counted from when it was first asked.
            default: the answer when that time is over.

        Returns:
            The answer's value. See `await_input` for the rest.

        Raises:
            Expired: no answer in time, and no default.
        """
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
        """Let a person choose one of several options.

        Args:
            prompt: the question.
            options: values, or objects with `value` and `label`.
            expires_in: how long to wait, counted from when it was first asked.
            default: the answer when that time is over.

        Returns:
            The value chosen.

        Raises:
            Expired: no answer in time, and no default.
        """
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
        """Ask a person for approval: `if await ctx.approve("Send it?"): …`.

        Args:
            prompt: the question.
            options: what can be answered.
            expires_in: how long to wait, counted from when it was first asked.
            default: the answer when that time is over.

        Returns:
            The answer, truthy if it means yes; it has also who answered, and when.

        Raises:
            Expired: no answer in time, and no default.
        """
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
        """Ask a person, and wait for the first answer: for days, and across restarts, if need be.

        A question that an earlier attempt of this step asked keeps its answer. The same question asked twice in one attempt
        is two questions.

        Args:
            kind: "clarification", "choice" or "approval".
            prompt: the question.
            options: the possible answers.
            schema: the JSON schema that an answer must match.
            expires_in: how long to wait, in seconds or as a timedelta, counted from when it was first asked.
            default: the answer when that time is over.

        Returns:
            The answer: its value, who gave it, and when.

        Raises:
            Expired: no answer in time, and no default.
            Cancelled: this attempt is over.
        """
        seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        return await self._questions.ask(self._reporter, InputQuestion(kind, prompt, options, schema, seconds, default))

    # ---- waiting

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, and then while the plan is paused. Raises `Cancelled` once this attempt is over."""
        await asyncio.sleep(seconds)
        await self._reporter.gate()

    async def checkpoint(self) -> None:
        """Report nothing, but wait while the plan is paused. Raises `Cancelled` once this attempt is over."""
        await self._reporter.gate()
