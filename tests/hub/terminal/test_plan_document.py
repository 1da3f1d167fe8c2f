"""A plan as a Markdown document."""

from __future__ import annotations

from broadcasters.events import AgentMessage, PlanEvent, build
from broadcasters.fold import fold
from broadcasters.snapshot import empty
from hub.terminal.plan_document import markdown


def message(**usage: object) -> PlanEvent:
    fields = {"plan_id": "plan-1", "agent_name": "A", "content": "x", "timestamp": "2026-01-31T09:00:00.000Z"}
    return build(AgentMessage, {**fields, "usage": usage or None})


def test_the_head_has_the_tokens_and_the_cost() -> None:
    """C-USE-2"""
    events = [message(input_tokens=1_200, cost="0.10"), message(output_tokens=34, cost="0.000001"), message()]
    plan = fold(empty("plan-1"), 1, events)
    assert markdown(plan).splitlines()[2].endswith(" · 1,234 tokens · 0.100001 USD")
    assert "tokens" not in markdown(fold(empty("plan-1"), 1, [message()]))
