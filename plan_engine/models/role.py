"""Roles: a template's agents, with their instructions, tools and offline scripts; and the model they use."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Generic, Self, TypeVar

from pydantic_ai import Agent, RunContext, capture_run_messages
from pydantic_ai.exceptions import AgentRunError, ModelAPIError
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model
from pydantic_ai.usage import UsageLimits

from broadcasters.events import MessageType
from plan_engine.model.language_model import LanguageModel
from plan_engine.models.model_usage import usages_in
from plan_engine.models.offline import Script, offline_model
from plan_engine.models.online import SETTINGS, ModelFailed, online_model
from plan_engine.run.context import Context, Stream

__all__ = ["Role", "check_model", "introduce", "model_for", "prompt_of"]

Output = TypeVar("Output")
logger: Final = logging.getLogger(__name__)
_LIMITS: Final = UsageLimits(request_limit=12)
"""Stops a model that goes round in circles."""
_PAUSES_S: Final = (0.5, 2.0)
"""The pauses before a request is sent again, where the provider names none."""
_SHOWN_S: Final = 2.0
"""A pause of this length is reported."""


def model_for(chosen: LanguageModel, script: Script) -> Model:
    """Pydantic AI's model for an engine's language model; the offline model answers from `script`.

    Raises:
        ModelMisconfigured: the model can't be used here.
    """
    return offline_model(script, chosen.pace) if chosen.offline else online_model(chosen.name)


def check_model(chosen: LanguageModel) -> None:
    """Check that the model can be used here, without sending it anything. Raises `ModelMisconfigured`."""
    if not chosen.offline:
        online_model(chosen.name)


async def introduce(ctx: Context) -> None:
    """Report which model is used. A template's first agent does so before anything else."""
    text = (
        "I'm the offline model: I answer from a script. Set PLANCAST_MODEL to use a real one."
        if ctx.model.offline
        else f"The model is {ctx.model.name}."
    )
    await ctx.think(text, data={"model": ctx.model.name})


def prompt_of(**parts: Any) -> str:
    """A prompt of named parts, one a line, as JSON. A script reads them with `ScriptInput.part`."""
    return "\n".join(f"{name.capitalize()}: {json.dumps(part, ensure_ascii=False)}" for name, part in parts.items())


class Role(Generic[Output]):
    """An agent of a template.

    Args:
        name: its name for people.
        instructions: its system prompt.
        script: what it answers when the offline model is used.
        output: the type of its answers: `str`, or a pydantic model.
        tools: async functions whose first parameter is a `RunContext[Context]`; they report their use with
            `ctx.deps.tool(…)`.
        retries: how often the model may correct an invalid answer.
    """

    def __init__(
        self,
        name: str,
        instructions: str,
        *,
        script: Script,
        output: type[Output],
        tools: Sequence[Callable[..., Any]] = (),
        retries: int = 2,
    ) -> None:
        self.name = name
        self.instructions = instructions
        self.script = script
        self._agent = Agent[Context, Output](
            name=name, instructions=instructions, output_type=output, deps_type=Context, tools=tools, retries=retries
        )

    async def answer(self, ctx: Context, prompt: str) -> Output:
        """The role's answer to a prompt, without reporting it. Raises `StepFailed` when the model is unavailable."""
        return await self._answer(ctx, prompt)

    async def speak(self, ctx: Context, prompt: str, kind: MessageType = "result") -> Output:
        """As `answer`, for a role whose output is text: streams the answer as a message while the model produces it."""
        async with _Speech(ctx, kind, self.name) as speech:
            return await self._answer(ctx, prompt, speech)

    async def _answer(self, ctx: Context, prompt: str, speech: _Speech | None = None) -> Output:
        """Run the agent. A request that the model didn't answer is sent again, with what happened in the run before it."""
        history: list[ModelMessage] = []
        async with await asyncio.to_thread(model_for, ctx.model, self.script) as model:  # its first call imports much
            for pause in (*_PAUSES_S, None):
                with capture_run_messages() as messages:
                    try:
                        async with self._reporting_usage(ctx, messages, len(history)):
                            return await self._run(ctx, model, prompt, history, speech)
                    except AgentRunError as error:
                        failed = ModelFailed(error)
                        if pause is None or not failed.again:
                            raise failed from error
                        logger.warning("%s of plan %s: %s (%s)", self.name, ctx.plan_id, failed, error)
                history = _unanswered(messages)
                if speech:
                    speech.cut(failed)
                await self._wait(ctx, failed, pause)
        raise AssertionError("the last try returns or raises")

    async def _run(
        self, ctx: Context, model: Model, prompt: str, history: Sequence[ModelMessage], speech: _Speech | None
    ) -> Output:
        done = await self._agent.run(
            None if history else prompt,
            message_history=history,
            deps=ctx,
            model=model,
            model_settings=SETTINGS,
            usage_limits=_LIMITS,
            event_stream_handler=speech.forward if speech else None,
        )
        if speech and model.provider and done.response.finish_reason is None:
            raise ModelAPIError(model.model_name, "the stream ended without a finish reason")
        if speech:
            await speech.finish()
        output: Output = done.output
        return output

    @asynccontextmanager
    async def _reporting_usage(
        self, ctx: Context, messages: Sequence[ModelMessage], first: int
    ) -> AsyncGenerator[None]:
        """Report what the model used for the messages from the first of this run on, however the run ends. If the plan is
        stopping, the end of the step sends it. What Pydantic AI estimates for the offline model is none."""
        try:
            yield
        finally:
            used = () if ctx.model.offline else usages_in(messages[first:])
            await asyncio.gather(*(ctx.report_usage(usage, agent=self.name) for usage in used))

    async def _wait(self, ctx: Context, failed: ModelFailed, pause: float) -> None:
        seconds = pause if failed.wait is None else failed.wait
        if seconds >= _SHOWN_S:
            await ctx.think(f"{failed}. I'll try again in {seconds:g} s.", agent=self.name)
        await ctx.sleep(seconds)


def _unanswered(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """A run up to its last request, which got no complete answer."""
    last = max(at for at, message in enumerate(messages) if isinstance(message, ModelRequest))
    return [*messages[: last + 1]]


class _Speech:
    """What a role says, as a message of the plan.

    A model whose stream was cut is asked again. What its new answer has in common with what was published is not published
    again; if it is another answer, the message is closed as broken off, and a new one begins.
    """

    def __init__(self, ctx: Context, kind: MessageType, agent: str) -> None:
        self._ctx, self._agent = ctx, agent
        self._kind: MessageType = kind
        self._open = AsyncExitStack()
        self._message: Stream | None = None
        self._published = ""
        """The text of the answer under way that was published."""
        self._before = ""
        """What was published of an answer that was cut, until the new answer has repeated it."""
        self._held = ""
        """The new answer, while it repeats that."""
        self._why: BaseException = asyncio.CancelledError()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._open.__aexit__(*raised)

    async def forward(self, _: RunContext[Context], events: AsyncIterable[AgentStreamEvent]) -> None:
        """Publish the text of one answer of the model."""
        before, self._published = self._published, ""
        async for event in events:
            if text := _text(event):
                await self._receive(text)
        self._published = self._published or before  # these events may be those of tools

    async def finish(self) -> None:
        """The answer is complete: publish it if it is only the beginning of what was published before a cut."""
        if self._before:
            await self._begin_again()

    def cut(self, why: BaseException) -> None:
        """The answer under way was cut; the next one answers the same request."""
        self._before, self._held, self._why = self._before or self._published, "", why

    async def _receive(self, text: str) -> None:
        if not self._before:
            await self._publish(text)
            return
        self._held += text
        if self._held.startswith(self._before):
            rest = self._held[len(self._before) :]
            self._published, self._before = self._before, ""
            await self._publish(rest)
        elif not self._before.startswith(self._held):
            await self._begin_again()

    async def _begin_again(self) -> None:
        """The new answer is another one: close the message as broken off, and publish the new answer."""
        await self._open.__aexit__(type(self._why), self._why, None)
        text, self._message, self._before, self._published = self._held, None, "", ""
        await self._publish(text)

    async def _publish(self, text: str) -> None:
        if not text:
            return
        if self._message is None:
            self._message = await self._open.enter_async_context(self._ctx.stream(self._kind, agent=self._agent))
        await self._message.write(text)
        self._published += text


def _text(event: AgentStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""
