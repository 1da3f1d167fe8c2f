"""A model server's answers for the templates: those of the roles' offline scripts, found by their system prompts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from plan_engine.models import Role, Script, ScriptInput, Use
from plan_engine.templates import business_operations, data_query, exhibition, insight_chat, team, trip
from tests.servers.model_apis import Call, ChatRequest, Reply

__all__ = ["answer_by_script"]

OF_A_TEAM: Final = "an agent of a team"


def answer_by_script(request: ChatRequest) -> Reply:
    """What the role that asks would answer offline."""
    match _script_of(request.system)(_script_input(request)):
        case str(text):
            return text
        case Use(tool, arguments):
            assert tool in request.tools
            return Call(tool, arguments)
        case BaseModel() as output:
            [name] = [tool for tool in request.tools if tool.startswith("final_result")]
            return Call(name, output.model_dump(mode="json"))


def _script_of(system: str) -> Script:
    scripts = [role.script for role in _roles() if role.instructions in system]
    if not scripts and OF_A_TEAM in system:
        work: Script = _module("team")._work
        return work
    [script] = scripts
    return script


def _roles() -> Iterator[Role[Any]]:
    for template in (business_operations, data_query, exhibition, insight_chat, team, trip):
        yield from (value for value in vars(_module(template.name)).values() if isinstance(value, Role))


def _module(template: str) -> Any:
    return sys.modules[f"plan_engine.templates.{template}"]


def _script_input(request: ChatRequest) -> ScriptInput:
    prompt = next(str(one["content"]) for one in request.messages if one["role"] == "user")
    returned, refused = dict[str, list[Any]](), 0
    for tool, content in _returns(request.messages):
        if tool.startswith("final_result"):
            refused += 1
        else:
            returned.setdefault(tool, []).append(content)
    return ScriptInput(prompt, returned, refused)


def _returns(messages: Any) -> Iterator[tuple[str, Any]]:
    """What tools returned, with their names."""
    names: dict[str, str] = {}
    for message in messages:
        calls: list[Mapping[str, Any]] = message.get("tool_calls") or []
        names |= {call["id"]: call["function"]["name"] for call in calls}
        if message["role"] == "tool":
            yield names[message["tool_call_id"]], json.loads(message["content"])
