"""Existing agent code, shown as a plan in one line. docs/ADAPTERS.md lists the events that each adapter sends.

    from plan_engine.adapters.langgraph import run_langgraph              # pip install 'plancast[langgraph]'
    from plan_engine.adapters.pydantic_ai import run_pydantic_ai          # pip install 'plancast[pydantic-ai]'
    from plan_engine.adapters.openai_agents import run_openai_agent       # pip install 'plancast[openai-agents]'
    from plan_engine.adapters.agent_framework import run_agent, run_workflow  # 'plancast[agent-framework]'
    from plan_engine.adapters.progress import progress_callback           # needs nothing

The first argument of each `run_…` is where the run is reported: a plan's id (the run is a plan of its own, sent through a
broadcaster), or the context of an engine's step (the run is part of that step). This module imports no framework.
"""
