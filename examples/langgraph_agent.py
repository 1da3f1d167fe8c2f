"""A LangGraph graph shown as a plan with one call. Its questions are answered on the plan's page.

python examples/langgraph_agent.py [PLAN_ID]     # in another terminal: plancast serve
"""

import asyncio
import sys
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from plan_engine.adapters.langgraph import run_langgraph


class Offer(TypedDict, total=False):
    month: str
    orders: int
    sent: bool


def count_orders(state: Offer) -> Offer:
    return {"orders": {"May": 12}.get(state["month"], 0)}


def send_offer(state: Offer) -> Offer:
    answer = interrupt({"question": f"{state['orders']} orders. Send the offer?", "options": ["yes", "no"]})
    return {"sent": answer == "yes"}


graph: Any = StateGraph(Offer).add_node(count_orders).add_node(send_offer)
graph = graph.add_edge(START, "count_orders").add_edge("count_orders", "send_offer")
agent = graph.compile(checkpointer=InMemorySaver())  # use one on disk to continue after a restart

if __name__ == "__main__":
    plan_id = sys.argv[1] if len(sys.argv) > 1 else "may-offer-1"
    print(f"Answer at http://127.0.0.1:8000/plan/{plan_id}", flush=True)
    print(asyncio.run(run_langgraph(plan_id, agent, {"month": "May"}, title="May offer")))
