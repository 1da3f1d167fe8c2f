"""A role: an agent as a template casts it, with its instructions, its tools, and what it says when offline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Generic, TypeVar

from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ModelHTTPError
from pydantic_ai.messages import AgentStreamEvent, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.usage import UsageLimits

from broadcasters.events import MessageType
from plan_engine.errors import StepFailed
from plan_engine.models.choice import model_for
from plan_engine.models.offline import Script
from plan_engine.run.context import Context, Stream

__all__ = ["Role"]

Output = TypeVar("Output")
_LIMITS: Final = UsageLimits(request_limit=12)
"""A model that goes round in circles is stopped."""


class Role(Generic[Output]):
    """`output` is what its turns come to: `str`, or a pydantic model. Tools are async functions whose first parameter is a
    `RunContext[Context]`; they tell of their use through `ctx.deps.tool(…)` themselves. `script` is for the offline model.
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
        """What it makes of the prompt, said to nobody. Raises `StepFailed` when the model can't be had."""
        return await self._run(ctx, prompt)

    async def speak(self, ctx: Context, prompt: str, kind: MessageType = "result") -> Output:
        """The same by a role whose output is text, told as it is spoken. Raises `StepFailed` when the model can't be had."""
        async with AsyncExitStack() as saying:
            messages: list[Stream] = []

            async def hear(_: RunContext[Context], events: AsyncIterable[AgentStreamEvent]) -> None:
                async for event in events:
                    if text := _text(event):
                        messages[:] = messages or [await saying.enter_async_context(ctx.stream(kind, agent=self.name))]
                        await messages[0].write(text)

            return await self._run(ctx, prompt, event_stream_handler=hear)

    async def _run(self, ctx: Context, prompt: str, **how: Any) -> Output:
        model = await asyncio.to_thread(model_for, ctx.model, self._script)  # imports much when it is first asked for
        try:
            done = await self._agent.run(prompt, deps=ctx, model=model, usage_limits=_LIMITS, **how)
        except AgentRunError as error:
            raise StepFailed(_in_words(error)) from error
        output: Output = done.output
        return output


def _text(event: AgentStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _in_words(error: AgentRunError) -> str:
    match error:
        case ModelHTTPError():
            return f"The model {error.model_name} refused to answer (status {error.status_code})"
        case ModelAPIError():
            return f"The model {error.model_name} could not be reached"
        case _:
            return "The model's answer was of no use"
