"""The offline model: a Pydantic AI model that answers from a script, word by word, without a network."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.tools import ToolDefinition

from plan_engine.model.language_model import OFFLINE

__all__ = ["Reply", "Script", "ScriptInput", "Use", "offline_model"]

THINKING_S: Final = 0.8
WORD_S: Final = 0.035


@dataclass(frozen=True, slots=True)
class ScriptInput:
    """What a script answers: the prompt of this run of the agent, and what has happened in the run so far."""

    prompt: str
    returned: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])
    """What each tool returned, call by call, by the tool's name."""
    refused: int = 0
    """The number of earlier answers that were rejected."""

    def part(self, name: str) -> Any:
        """A part of a prompt made by `prompt_of`; None if the prompt has no such part."""
        found = re.search(rf"^{name}: (.*)$", self.prompt, re.MULTILINE)
        return json.loads(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Use:
    """A tool to use. What it returned is in `ScriptInput.returned` when the script is called again."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


Reply: TypeAlias = str | BaseModel | Use
"""Text, a value of the agent's output type, or the use of one of its tools."""

Script: TypeAlias = Callable[[ScriptInput], Reply]
"""A pure function, so that every attempt gets the same answer."""


def offline_model(script: Script, pace: float) -> Model:
    """A model that answers from this script, at this pace (`LanguageModel.pace`)."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.sleep(THINKING_S * pace)
        return ModelResponse(parts=[_part(script(_script_input(messages)), info)])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        await asyncio.sleep(THINKING_S * pace)
        part = _part(script(_script_input(messages)), info)
        if isinstance(part, ToolCallPart):
            yield {0: DeltaToolCall(part.tool_name, part.args_as_json_str(), tool_call_id=part.tool_call_id)}
            return
        for word in _words(part.content):
            yield word
            await asyncio.sleep(WORD_S * pace)

    return FunctionModel(answer, stream_function=stream, model_name=OFFLINE)


def _words(text: str) -> Iterator[str]:
    """The text word by word; one empty word if it is empty."""
    yield from re.findall(r"\s*\S+|\s+$", text) or [""]


def _part(reply: Reply, info: AgentInfo) -> TextPart | ToolCallPart:
    match reply:
        case str():
            return TextPart(reply)
        case Use(tool, arguments):
            return ToolCallPart(tool, dict(arguments))
        case BaseModel():
            return ToolCallPart(_output_tool(info.output_tools, type(reply)), reply.model_dump(mode="json"))


def _output_tool(tools: Sequence[ToolDefinition], output: type[BaseModel]) -> str:
    """The tool for an output type. An agent with one output type has one; with several, each is named after its type."""
    for tool in tools:
        if len(tools) == 1 or tool.name.endswith(f"_{output.__name__}"):
            return tool.name
    raise TypeError(f"the script returned a {output.__name__}; expected one of its agent's output types")


def _script_input(messages: Sequence[ModelMessage]) -> ScriptInput:
    """The first request has the prompt; each later one has what tools returned, or why an answer was rejected."""
    prompt, returned, refused = "", dict[str, list[Any]](), 0
    for number, request in enumerate(message for message in messages if isinstance(message, ModelRequest)):
        refused += number > 0 and not any(_returned(part) for part in request.parts)
        for part in request.parts:
            match part:
                case UserPromptPart() if number == 0:
                    prompt = part.content if isinstance(part.content, str) else " ".join(map(str, part.content))
                case ToolReturnPart() if _returned(part):
                    returned.setdefault(part.tool_name, []).append(part.content)
                case _:
                    pass
    return ScriptInput(prompt, returned, refused)


def _returned(part: ModelRequestPart) -> bool:
    return isinstance(part, ToolReturnPart) and part.outcome != "retried"
