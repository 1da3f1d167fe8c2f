"""Agents behind another protocol's server, shown as plans: the server's stream is read, and published as it arrives.

    from plan_engine.adapters.relay.ag_ui import run_ag_ui
    from plan_engine.adapters.relay.ai_sdk import run_ai_sdk
    from plan_engine.adapters.relay.langgraph import run_langgraph_server   # pip install 'plancast[langgraph]'

    await run_ag_ui("plan-1", "https://agent.example/run", "Write the report")

So an agent in any language has a durable log without a change: pages that reload, several viewers, questions that are kept.
On a command line: `plancast relay`.
"""
