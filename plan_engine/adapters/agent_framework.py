"""Microsoft Agent Framework, shown as plans: an agent's words, tools and approvals; a workflow's executors as steps.

    response = await run_agent("plan-1", agent, "How did we sell in May?")
    outputs = await run_workflow("plan-2", workflow, "How did we sell in May?")

Neither is taken up after a crash: called again, it begins anew, in the same plan.
"""

from __future__ import annotations

from plan_engine.adapters.missing import missing

try:
    from plan_engine.adapters.agent_framework_agent import run_agent
    from plan_engine.adapters.agent_framework_workflow import run_workflow
except ModuleNotFoundError as error:
    raise missing(error, "agent-framework", "agent_framework") from None

__all__ = ["run_agent", "run_workflow"]
