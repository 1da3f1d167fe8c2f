"""LangGraph graphs with models that return given messages."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.tools import tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

__all__ = ["Graph", "Shop", "chain", "shop"]

Graph = CompiledStateGraph[Any, Any, Any, Any]


class Shop(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], operator.add]
    notes: Annotated[list[Any], operator.add]


@tool
def orders(month: str) -> str:
    """How many orders there were."""
    if month == "Smarch":
        raise ValueError("there is no such month")
    return f"12 orders in {month}"


def chain(nodes: dict[str, Any], keeper: BaseCheckpointSaver[Any] | None = None, **options: Any) -> Graph:
    """A graph of these nodes, one after the other."""
    graph = StateGraph(Shop)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(checkpointer=keeper, **options)


def shop(keeper: BaseCheckpointSaver[Any], ran: Callable[[str], None] = lambda _: None) -> Graph:
    """An analyst looks at the orders with a tool, an advisor streams a suggestion, and a person has to approve."""
    model = GenericFakeChatModel(messages=iter([AIMessage("I suggest ten percent.")]))

    def look_up(_: Shop) -> Shop:
        ran("look_up")
        get_stream_writer()({"progress": 50, "text": "Halfway through May"})
        calls = [{"name": "orders", "args": {"month": "May"}, "id": "call-1"}]
        return {"messages": [AIMessage("Looking at the orders.", tool_calls=calls)]}

    async def advise(state: Shop) -> Shop:
        ran("advise")
        return {"messages": [await model.ainvoke(state["messages"])]}

    def send(_: Shop) -> Shop:
        answer = interrupt({"question": "Send the offer?", "options": ["yes", "no"]})
        ran("send")
        return {"notes": [f"sent: {answer}"]}

    return chain({"look_up": look_up, "tools": ToolNode([orders]), "advise": advise, "send": send}, keeper)
