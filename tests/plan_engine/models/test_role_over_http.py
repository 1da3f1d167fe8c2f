"""Roles on a model over HTTP: its errors as reasons for people, and requests that are sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import RunContext

from plan_engine import Context, Engine, Plan, Step, Template
from plan_engine.models import LanguageModel, Role, role
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import DEADLINE_S, EngineHarness, statuses
from tests.servers.model import Cut, Fault, ModelServer, Refusal
from tests.servers.model_apis import Call, ChatRequest, Reply

TEXT = "One two three, four five six."
Message = tuple[str, str | None]


async def count(run: RunContext[Context]) -> int:
    async with run.deps.tool("count"):
        return 6


speaker = Role("Speaker", "You count.", output=str, script=lambda _: "never used", tools=[count])


async def _speak(ctx: Context) -> str:
    return await speaker.speak(ctx, ctx.input["prompt"])


SPEAKING = Template("speak", "Speak", "", lambda _: Plan("Speak", [Step("a", "Speak", _speak)]))


class Answers:
    """The server's answers: TEXT, unless others are given; a prompt about a tool is answered with its use first."""

    def __init__(self) -> None:
        self.next: list[str] = []

    def __call__(self, request: ChatRequest) -> Reply:
        if "tool" in str(request.messages[1]["content"]) and request.messages[-1]["role"] != "tool":
            return Call("count")
        return self.next.pop(0) if self.next else TEXT


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
async def server(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[ModelServer]:
    monkeypatch.setattr(role, "_PAUSES_S", (0.0, 0.0))
    async with ModelServer(answers) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.origin)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
        yield server


class Asked:
    """Plans with one role that speaks, one after the other."""

    def __init__(self, engine: Engine, harness: EngineHarness, server: ModelServer) -> None:
        self._engine, self._harness, self._server = engine, harness, server
        self._count = 0

    async def plan(self, *faults: Fault | None, prompt: str = "Count!") -> tuple[Any, list[Event]]:
        """The outcome and events of a plan whose requests meet these faults."""
        self._count += 1
        self._server.requests.clear()
        self._server.next(*faults)
        await self._engine.start("speak", {"prompt": prompt}, f"p{self._count}")
        outcome = await self._harness.outcome(self._engine, f"p{self._count}")
        return outcome, await self._harness.events(f"p{self._count}")


@asynccontextmanager
async def asking(harness: EngineHarness, server: ModelServer, model: str = "openai:counter") -> AsyncGenerator[Asked]:
    async with harness.engine(SPEAKING, model=LanguageModel(model)) as engine:
        yield Asked(engine, harness, server)


def _messages(events: Sequence[Event]) -> Iterator[Message]:
    """The results, each with the error that it was closed with, if any."""
    parts = [event.data for event in events if event.type == "agent_message" and event.data["message_type"] == "result"]
    for message_id in dict.fromkeys(part["message_id"] for part in parts):
        mine = [part for part in parts if part["message_id"] == message_id]
        yield "".join(part["content"] for part in mine), mine[-1].get("error")


async def test_errors_of_the_model_are_reasons_for_people(harness: EngineHarness, server: ModelServer) -> None:
    async with asking(harness, server) as asked:
        for faults, reason in (
            ([Refusal(401)], "refused the API key (status 401); check the key, and its access to the model"),
            ([Refusal(404)], "check PLANCAST_MODEL and the address"),
            ([Refusal(400, "temperature is not supported")], "request (status 400): temperature is not supported"),
            ([Refusal(429, code="insufficient_quota")], "The model counter is out of quota or credit (status 429)"),
            ([Refusal(429, retry_after=3600)], "too many requests (status 429), and asks to wait 3600 s"),
            ([Refusal(500)] * 3, "The model counter failed (status 500)"),
            ([Cut(2)] * 3, "could not be reached, or the connection broke before its answer was complete"),
        ):
            outcome, events = await asked.plan(*faults)
            assert outcome.status == "error"
            assert str(outcome.message).startswith("“Speak” failed: ")
            assert reason in str(outcome.message)
            assert len(server.requests) == len(faults), "what can't succeed isn't sent again"
            assert statuses(events, "a")[-1] == "error"


async def test_a_refused_request_is_sent_again_when_the_model_says(
    harness: EngineHarness, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role, "_SHOWN_S", 0.05)
    async with asking(harness, server) as asked:
        outcome, events = await asked.plan(Refusal(429, retry_after=0.1), Refusal(503))
    assert (outcome.status, outcome.result, len(server.requests)) == ("completed", TEXT, 3)
    thoughts = [event.data["content"] for event in events if event.data.get("message_type") == "thinking"]
    assert thoughts == [
        "The model counter gets too many requests (status 429), and asks to wait 0.1 s. I'll try again in 0.1 s."
    ]
    assert [*_messages(events)] == [(TEXT, None)]
    assert "retrying" not in statuses(events, "a")


@pytest.mark.parametrize("model", ["openai:counter", "openai-responses:counter", "anthropic:counter"])
@pytest.mark.parametrize("quietly", [False, True])
async def test_text_published_before_a_cut_is_not_published_again(
    quietly: bool, model: str, harness: EngineHarness, server: ModelServer
) -> None:
    async with asking(harness, server, model) as asked:
        outcome, events = await asked.plan(Cut(3, quietly), Cut(2, quietly))
    assert (outcome.result, len(server.requests)) == (TEXT, 3)
    assert [*_messages(events)] == [(TEXT, None)]
    assert [*server.requests[0].messages] == [*server.requests[2].messages], "the same request was sent again"


async def test_another_answer_after_a_cut_is_another_message(
    harness: EngineHarness, server: ModelServer, answers: Answers
) -> None:
    async with asking(harness, server) as asked:
        for other in ("One two and much more.", "One", "1 2 3"):
            answers.next = [TEXT, other]
            outcome, events = await asked.plan(Cut(3))
            assert outcome.result == other
            assert [*_messages(events)] == [("One two three,", "the agent failed: ModelFailed"), (other, None)]


async def test_tools_are_not_called_again_after_a_cut(harness: EngineHarness, server: ModelServer) -> None:
    async with asking(harness, server) as asked:
        outcome, events = await asked.plan(None, Cut(0), Cut(3), prompt="Count with a tool!")
    assert (outcome.result, len(server.requests)) == (TEXT, 4)
    assert [event.data["phase"] for event in events if event.type == "tool_call"] == ["started", "completed"]
    assert [*_messages(events)] == [(TEXT, None)]


async def test_connections_are_closed_after_each_answer(harness: EngineHarness, server: ModelServer) -> None:
    async with asking(harness, server) as asked:
        for _ in range(3):
            await asked.plan(prompt="Count with a tool!")
            async with asyncio.timeout(DEADLINE_S):  # until the server has noticed
                while server.open_connections:
                    await asyncio.sleep(0)
    assert server.connections == 3, "the requests of one answer share a connection"


async def test_the_usage_of_each_response_is_reported(harness: EngineHarness, server: ModelServer) -> None:
    async with asking(harness, server) as asked:
        outcome, events = await asked.plan(prompt="Count with a tool!")
    assert outcome.status == "completed"
    used = [event.data["usage"] for event in events if "usage" in event.data]
    assert len(used) == len(server.requests) == 2
    assert {usage["model"] for usage in used} == {"counter"}
    assert all(usage["input_tokens"] > 0 and usage["output_tokens"] > 0 for usage in used)
    assert not any("cost" in usage for usage in used), "the server has no price"


async def test_the_usage_of_a_plan_that_is_cancelled_is_reported(harness: EngineHarness, server: ModelServer) -> None:
    server.next(None, Refusal(429, retry_after=60))
    async with harness.engine(SPEAKING, model=LanguageModel("openai:counter")) as engine:
        await engine.start("speak", {"prompt": "Count with a tool!"}, "p")
        async with asyncio.timeout(DEADLINE_S):
            while len(server.requests) < 2:
                await asyncio.sleep(0.01)
        await engine.signal("p", "cancel", "maria")
        await harness.outcome(engine, "p")
    usage = (await harness.snapshot("p")).usage
    assert usage is not None
    asked, answered = server.requests[0].usage(Call("count"))
    assert (usage.input_tokens, usage.output_tokens) == (asked, answered)
