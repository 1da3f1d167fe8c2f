"""An agent of each framework that looks at the orders with a tool and then advises. `hangs`: in the middle of its advice.

python -m tests.plan_engine.adapters.crashing FRAMEWORK LOG_URL PLAN_ID FOLDER hangs|goes-on
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Executor,
    FileCheckpointStorage,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    tool,
)

from broadcasters import Broadcaster
from plan_engine.adapters.agent_framework import run_agent, run_workflow

__all__ = ["ADVICE", "FRAMEWORKS", "LOOKS"]

LOOKS = "Let me look at May."
ADVICE = ("I suggest ", "ten percent.")

Run = Callable[[str, Broadcaster, Path, bool], Coroutine[Any, Any, Any]]


async def advice(hangs: bool) -> AsyncIterator[str]:
    yield ADVICE[0]
    if hangs:
        await asyncio.Event().wait()
    yield ADVICE[1]


def orders(month: str) -> str:
    """How many orders there were."""
    return f"12 in {month}"


async def langgraph(plan_id: str, b: Broadcaster, folder: Path, hangs: bool, *, saves: bool = True) -> Any:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.tools import tool as langchain_tool
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.prebuilt import ToolNode

    from plan_engine.adapters.langgraph import run_langgraph
    from tests.plan_engine.adapters.graphs import Shop, chain

    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "advisor"

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            raise AssertionError("it streams")

        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            async for word in advice(hangs):
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    class FileSaver(InMemorySaver):
        """Keeps its checkpoints in a file."""

        def __init__(self, file: Path) -> None:
            super().__init__()
            self._file = file
            if file.exists():
                storage, self.writes, self.blobs = pickle.loads(file.read_bytes())
                for thread, namespaces in storage.items():
                    self.storage[thread].update(namespaces)

        def put(self, *args: Any, **more: Any) -> Any:
            try:
                return super().put(*args, **more)
            finally:
                self._write()

        def put_writes(self, *args: Any, **more: Any) -> None:
            super().put_writes(*args, **more)
            self._write()

        def _write(self) -> None:
            storage = {thread: dict(namespaces) for thread, namespaces in self.storage.items()}
            new = self._file.with_suffix(".new")
            new.write_bytes(pickle.dumps((storage, self.writes, self.blobs)))
            new.rename(self._file)

    def look(_: Shop) -> Shop:
        calls = [{"name": "orders", "args": {"month": "May"}, "id": "call-1"}]
        return {"messages": [AIMessage(LOOKS, tool_calls=calls)]}

    async def advise(state: Shop) -> Shop:
        return {"messages": [await Model().ainvoke(state["messages"])]}

    nodes = {"look": look, "tools": ToolNode([langchain_tool(orders)]), "advise": advise}
    graph = chain(nodes, FileSaver(folder / "checkpoints") if saves else None)
    return await run_langgraph(plan_id, graph, {}, broadcaster=b)


async def langgraph_without_checkpoints(plan_id: str, b: Broadcaster, folder: Path, hangs: bool) -> Any:
    return await langgraph(plan_id, b, folder, hangs, saves=False)


async def pydantic_ai(plan_id: str, b: Broadcaster, _: Path, hangs: bool) -> Any:
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

    from plan_engine.adapters.pydantic_ai import run_pydantic_ai

    async def model(messages: list[Any], _: AgentInfo) -> AsyncIterator[Any]:
        if len(messages) == 1:
            yield LOOKS
            yield {1: DeltaToolCall(name="orders", json_args='{"month": "May"}')}
        else:
            async for word in advice(hangs):
                yield word

    agent = PydanticAgent(FunctionModel(stream_function=model), tools=[orders])
    return await run_pydantic_ai(plan_id, agent, "How is May?", broadcaster=b)


async def openai_agents(plan_id: str, b: Broadcaster, folder: Path, hangs: bool, *, saves: bool = True) -> Any:
    from agents import Agent as SdkAgent
    from agents import RunConfig, SQLiteSession, function_tool
    from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
    from openai.types.responses import ResponseTextDeltaEvent

    from plan_engine.adapters.openai_agents import run_openai_agent

    async def events(_: Any) -> AsyncIterator[Any]:
        async for word in advice(hangs):
            yield ResponseTextDeltaEvent(
                content_index=0,
                delta=word,
                item_id="m",
                logprobs=[],
                output_index=0,
                sequence_number=1,
                type="response.output_text.delta",
            )

    session = SQLiteSession("thread", folder / "session.db") if saves else None
    saved = await session.get_items() if session is not None else []
    looks = [assistant_message(LOOKS), function_call("orders", {"month": "May"}, call_id=f"call-{len(saved)}-{hangs}")]
    advises: Any = ModelStep(stream_events=events) if hangs else [assistant_message("".join(ADVICE))]
    steps = [advises] if any("output" in item for item in saved) else [looks, advises]
    agent: SdkAgent[Any] = SdkAgent(name="Analyst", tools=[function_tool(orders)], model=ScriptedModel(steps))
    options: dict[str, Any] = {"run_config": RunConfig(tracing_disabled=True), "session": session}
    return await run_openai_agent(plan_id, agent, "How is May?", broadcaster=b, **options)


async def openai_agents_without_session(plan_id: str, b: Broadcaster, folder: Path, hangs: bool) -> Any:
    return await openai_agents(plan_id, b, folder, hangs, saves=False)


async def agent_framework(plan_id: str, b: Broadcaster, _: Path, hangs: bool) -> Any:
    agent = Agent(framework_client(hangs), name="Analyst", tools=[tool(orders, approval_mode="never_require")])
    return await run_agent(plan_id, agent, "How is May?", broadcaster=b)


def framework_client(hangs: bool) -> Any:
    class Client(FunctionInvocationLayer[Any], BaseChatClient[Any]):
        def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
            async def updates() -> AsyncIterator[ChatResponseUpdate]:
                if any(one.type == "function_result" for message in messages for one in message.contents):
                    async for word in advice(hangs):
                        yield ChatResponseUpdate(contents=[Content.from_text(word)], message_id="m2")
                    return
                call = Content.from_function_call(f"call-{hangs}", "orders", arguments={"month": "May"})
                yield ChatResponseUpdate(contents=[Content.from_text(LOOKS), call], message_id="m1")

            return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

    return Client()


async def workflow(plan_id: str, b: Broadcaster, folder: Path, hangs: bool, *, saves: bool = True) -> Any:
    """The agent is the second of two executors."""

    class Greet(Executor):
        @handler
        async def run(self, text: str, context: WorkflowContext[Message, str]) -> None:
            assert hangs or not saves, "it was done before the crash"
            await context.yield_output("Hello!")
            await context.send_message(Message("user", [text]))

    greet = Greet(id="greet")
    analyst = Agent(framework_client(hangs), name="Analyst", tools=[tool(orders, approval_mode="never_require")])
    built = WorkflowBuilder(name="sales", start_executor=greet).add_edge(greet, analyst).build()
    storage = FileCheckpointStorage(folder) if saves else None
    return await run_workflow(plan_id, built, "How is May?", broadcaster=b, checkpoint_storage=storage)


async def workflow_without_checkpoints(plan_id: str, b: Broadcaster, folder: Path, hangs: bool) -> Any:
    return await workflow(plan_id, b, folder, hangs, saves=False)


FRAMEWORKS: dict[str, Run] = {
    run.__name__: run
    for run in (
        langgraph,
        langgraph_without_checkpoints,
        pydantic_ai,
        openai_agents,
        openai_agents_without_session,
        agent_framework,
        workflow,
        workflow_without_checkpoints,
    )
}


async def main(name: str, log_url: str, plan_id: str, folder: str, hangs: str) -> None:
    async with Broadcaster(log_url) as b:
        await FRAMEWORKS[name](plan_id, b, Path(folder), hangs == "hangs")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
