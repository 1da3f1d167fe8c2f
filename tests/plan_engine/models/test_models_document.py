"""docs/MODELS.md: each setting answers over HTTP, and the program runs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext

from plan_engine.models.online import online_model
from tests.servers.model import ModelServer
from tests.servers.model_apis import Call, ChatRequest, Reply

DOCUMENT: Final = (Path(__file__).parents[3] / "docs/MODELS.md").read_text()
SETTINGS: Final = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
PROGRAMS: Final = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
PATHS: Final = {
    "openai:gpt-5": "/v1/chat/completions",
    "openai-responses:my-model": "/v1/responses",
    "anthropic:claude-sonnet-5": "/v1/messages",
    "azure:my-deployment": "/openai/v1/chat/completions",
    "azure:my-deployment of 2024-10-21": "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21",
    "ollama:qwen3": "/v1/chat/completions",
    "vllm:Qwen/Qwen3-8B": "/v1/chat/completions",
    "openai:my-model": "/v1/chat/completions",
}
"""Where the requests of each setting arrive."""


class Weather(BaseModel):
    degrees: int


def thermometer() -> int:
    """The temperature outside, in degrees."""
    return 24


def _answer(request: ChatRequest) -> Reply:
    """Uses the tool, and then answers with what it returned: as a value if there is a type for it, otherwise as text."""
    returned = [str(message["content"]) for message in request.messages if message["role"] == "tool"]
    if not returned:
        return Call("thermometer")
    if request.typed:
        return json.dumps({"degrees": int(returned[0])})
    outputs = [tool for tool in request.tools if tool.startswith("final_result")]
    return Call(outputs[0], {"degrees": int(returned[0])}) if outputs else f"It is {returned[0]} degrees."


def _set(monkeypatch: pytest.MonkeyPatch, setting: str, server: ModelServer) -> str:
    """Set the variables, with the server's address for those of the document. Returns the model's name."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    variables = dict(line.split("=", 1) for line in setting.splitlines())
    if not any("://" in value for value in variables.values()):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.origin)
    for name, value in variables.items():
        monkeypatch.setenv(name, re.sub(r"https?://[^/]+", server.origin, value).replace("…", "key"))
    return variables["PLANCAST_MODEL"]


def test_each_provider_of_the_document_is_tried() -> None:
    assert len(SETTINGS) == len(PATHS)


@pytest.mark.parametrize(("setting", "path"), [*zip(SETTINGS, PATHS.values(), strict=False)], ids=[*PATHS])
async def test_a_setting_reaches_its_provider(setting: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[Any] = []

    async def forward(_: RunContext[object], events: AsyncIterable[Any]) -> None:
        pieces.extend([event async for event in events])

    async with ModelServer(_answer) as server:
        name = _set(monkeypatch, setting, server)
        async with online_model(name) as model:
            text = Agent(model, tools=[thermometer])
            typed = Agent(model, output_type=Weather, tools=[thermometer])
            said = await text.run("How warm is it?", event_stream_handler=forward)
            assert said.output == "It is 24 degrees."
            assert (await typed.run("How warm is it?")).output == Weather(degrees=24)
    assert len(pieces) > 3
    assert said.usage.requests == 2
    assert said.usage.input_tokens > said.usage.output_tokens > 3
    assert {request.path for request in server.requests} == {path}
    assert {request.model for request in server.requests} <= {name.partition(":")[2]}
    assert [request.streamed for request in server.requests[:2]] == [True, True]
    assert len(server.requests) == 4


def test_the_program_runs_without_a_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANCAST_LOG", f"sqlite:///{tmp_path}/plans.db")
    monkeypatch.setenv("PLANCAST_ENGINE_DB", f"sqlite:///{tmp_path}/engine.db")
    [program] = PROGRAMS
    exec(compile(program, "<docs/MODELS.md>", "exec", dont_inherit=True), {"__name__": "theirs"})
    assert capsys.readouterr().out == "About rain, one could say much.\n"
