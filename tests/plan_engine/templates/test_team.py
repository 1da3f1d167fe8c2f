"""The template `team`: a draft for each agent, an approval, the agents' work with a question in its midst, and a result."""

from __future__ import annotations

from typing import Any

import pytest

from plan_engine import UnfitInput
from plan_engine.templates import team
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import EngineHarness, statuses

AGENTS = [
    {"name": "HR Helper", "description": "Knows the rules for new colleagues"},
    {"name": "Tech Support", "description": "Sets up accounts", "system_message": "Be brief."},
]
ONBOARDING = {"request": "Onboard Jessica Smith", "agents": AGENTS, "team_id": "t1", "user_id": "ada"}


def said(events: list[Event], agent: str) -> str:
    """All that the agent said as results."""
    return "".join(
        event.data["content"]
        for event in events
        if event.type == "agent_message" and (event.data["agent_name"], event.data["message_type"]) == (agent, "result")
    )


async def test_a_team_drafts_asks_works_and_reports(harness: EngineHarness) -> None:
    async with harness.engine(team) as engine:
        await engine.start("team", ONBOARDING, "p")
        approval = await harness.until_asked("p")
        drafted = (await harness.snapshot("p")).steps[0]
        assert drafted.data is not None
        assert [step["agent"] for step in drafted.data["steps"]] == ["HR Helper", "Tech Support"]
        assert said(await harness.events_so_far("p"), "HR Helper") == ""  # nothing is done before the approval
        await harness.answer("p", approval, "yes")
        question = await harness.until("p", lambda event: event.data.get("kind") == "clarification")
        assert question.data["agent_name"] == "HR Helper"
        await harness.answer("p", question.data["request_id"], "by Friday")
        outcome = await harness.outcome(engine, "p")
    events = await harness.events("p")
    assert "You said “by Friday”" in said(events, "HR Helper")
    assert "what HR Helper found" in said(events, "Tech Support")
    assert outcome.result.startswith("# Onboard Jessica Smith")
    assert "**Tech Support**" in outcome.result
    assert (await harness.snapshot("p")).labels == ("team:user:ada", "team:team:t1")


async def test_without_approval_no_agent_works(harness: EngineHarness) -> None:
    async with harness.engine(team) as engine:
        await engine.start("team", ONBOARDING, "p")
        await harness.answer("p", await harness.until_asked("p"), "no")
        outcome = await harness.outcome(engine, "p")
    events = await harness.events("p")
    assert outcome.result == "Nothing was done: the steps were not approved."
    assert statuses(events, "work-1") == statuses(events, "result") == ["pending", "skipped"]


async def test_a_request_that_says_enough_needs_no_question(harness: EngineHarness) -> None:
    async with harness.engine(team) as engine:
        await engine.start("team", {"request": "Write two pages by 2026-12-24"}, "p")
        await harness.answer("p", await harness.until_asked("p"), "yes")
        outcome = await harness.outcome(engine, "p")
    assert len((await harness.snapshot("p")).inputs) == 1
    assert all(name in outcome.result for name in ("Researcher", "Writer", "Reviewer"))


@pytest.mark.parametrize(
    "given",
    [
        {"request": " "},
        {"request": "x", "agents": []},
        {"request": "x", "agents": [{"name": f"agent {n}"} for n in range(7)]},
        {"request": "x", "agents": [{"name": "A"}, {"name": "A"}]},
        {"request": "x", "agents": [{"name": ""}]},
    ],
)
def test_invalid_input_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UnfitInput):
        team.fit(given)
