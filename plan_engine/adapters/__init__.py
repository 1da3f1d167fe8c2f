"""Somebody's existing agent code, shown as a plan in one line. What each adapter tells is in docs/ADAPTERS.md.

    from plan_engine.adapters.langgraph import run_langgraph              # pip install 'plancast[langgraph]'
    from plan_engine.adapters.pydantic_ai import run_pydantic_ai          # pip install 'plancast[pydantic-ai]'
    from plan_engine.adapters.openai_agents import run_openai_agent       # pip install 'plancast[openai-agents]'
    from plan_engine.adapters.agent_framework import run_agent, run_workflow  # 'plancast[agent-framework]'
    from plan_engine.adapters.progress import progress_callback           # needs nothing

Each `run_…` takes first where it is told: a plan's id (a plan of its own, said through a broadcaster), or the context
of an engine's step (then it is part of that step). This module itself imports none of them.
"""
