"""Roles: a template's agents, with their instructions, tools and offline scripts; and the model they use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Generic, TypeVar

from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.messages import AgentStreamEvent, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import Model, infer_model
from pydantic_ai.usage import UsageLimits

from broadcasters.events import MessageType
from plan_engine.errors import StepFailed
from plan_engine.model.language_model import LanguageModel
from plan_engine.models.offline import Script, offline_model
from plan_engine.run.context import Context, Stream

__all__ = ["ModelMisconfigured", "Role", "check_model", "introduce", "model_for", "prompt_of"]

Output = TypeVar("Output")
_LIMITS: Final = UsageLimits(request_limit=12)
"""Stops a model that goes round in circles."""


class ModelMisconfigured(StepFailed):
    """PLANCAST_MODEL names no model that can be used here. The operator must change it; the message says why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"PLANCAST_MODEL is {name!r}, and that model can't be used: {why} "
            f"(Without PLANCAST_MODEL the offline model answers.)",
            retry=False,
        )


def model_for(chosen: LanguageModel, script: Script) -> Model:
    """Pydantic AI's model for an engine's language model; the offline model answers from `script`.

    Raises:
        ModelMisconfigured: the model can't be used here.
    """
    return offline_model(script, chosen.pace) if chosen.offline else _named(chosen.name)


def check_model(chosen: LanguageModel) -> None:
    """Check that the model can be used here, without sending it anything. Raises `ModelMisconfigured`."""
    if not chosen.offline:
        _named(chosen.name)


def _named(name: str) -> Model:
    try:
        return infer_model(name)
    except (UserError, ImportError, ValueError) as error:
        raise ModelMisconfigured(name, _first_sentence(str(error))) from error


def _first_sentence(text: str) -> str:
    """What is wrong. The rest is advice about Pydantic AI, which readers of this error may not know."""
    sentence = text.partition(". ")[0].strip().rstrip(".")
    return f"{sentence}."


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
        self._script = script
        self._agent = Agent[Context, Output](
            name=name, instructions=instructions, output_type=output, deps_type=Context, tools=tools, retries=retries
        )

    async def answer(self, ctx: Context, prompt: str) -> Output:
        """The role's answer to a prompt, without reporting it. Raises `StepFailed` when the model is unavailable."""
        return await self._run(ctx, prompt)

    async def speak(self, ctx: Context, prompt: str, kind: MessageType = "result") -> Output:
        """As `answer`, for a role whose output is text: streams the answer as a message while the model produces it."""
        async with AsyncExitStack() as stack:
            messages: list[Stream] = []

            async def forward(_: RunContext[Context], events: AsyncIterable[AgentStreamEvent]) -> None:
                async for event in events:
                    if text := _text(event):
                        messages[:] = messages or [await stack.enter_async_context(ctx.stream(kind, agent=self.name))]
                        await messages[0].write(text)

            return await self._run(ctx, prompt, event_stream_handler=forward)

    async def _run(self, ctx: Context, prompt: str, **options: Any) -> Output:
        model = await asyncio.to_thread(model_for, ctx.model, self._script)  # its first call imports much
        try:
            done = await self._agent.run(prompt, deps=ctx, model=model, usage_limits=_LIMITS, **options)
        except AgentRunError as error:
            raise StepFailed(_for_people(error)) from error
        output: Output = done.output
        return output


def _text(event: AgentStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _for_people(error: AgentRunError) -> str:
    match error:
        case ModelHTTPError():
            return f"The model {error.model_name} refused to answer (status {error.status_code})"
        case ModelAPIError():
            return f"The model {error.model_name} could not be reached"
        case _:
            return "The model's answer could not be used"
