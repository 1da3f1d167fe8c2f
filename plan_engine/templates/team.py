"""Template `team`: a planner drafts what each agent of a team should do, a person approves it, and the agents do it.

The team is part of the input, so that people can bring their own (docs/dialects/macae.md). Each agent has one step, in the
order of the team. An agent whose work depends on something that the request does not say asks a person before it begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, Field, field_validator

from plan_engine.errors import StepFailed
from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import Role, ScriptInput, introduce, prompt_of
from plan_engine.run.context import Context

__all__ = ["MAX_AGENTS", "TeamAgent", "TeamDraft", "TeamDraftStep", "TeamRequest", "team"]

MAX_AGENTS: Final = 6
ANSWER_TIME: Final = timedelta(days=7)
NOT_APPROVED: Final = "Nothing was done: the steps were not approved."


class TeamAgent(BaseModel):
    """An agent of a team, and what it is good at."""

    name: str = Field(min_length=1, max_length=100, pattern=r"\S")
    description: str = Field(default="", max_length=4000)
    system_message: str = Field(default="", max_length=20_000)


_OWN_TEAM: Final = (
    TeamAgent(name="Researcher", description="Finds out what the request needs"),
    TeamAgent(name="Writer", description="Writes the first version"),
    TeamAgent(name="Reviewer", description="Checks the work and names what is missing"),
)


class TeamRequest(BaseModel):
    """A request to a team of agents."""

    request: str = Field(min_length=1, max_length=5000, pattern=r"\S")
    agents: list[TeamAgent] = Field(default_factory=lambda: [*_OWN_TEAM], min_length=1, max_length=MAX_AGENTS)
    team_id: str = Field(default="", max_length=100)
    user_id: str = Field(default="", max_length=100)

    @field_validator("agents")
    @classmethod
    def _names_differ(cls, agents: list[TeamAgent]) -> list[TeamAgent]:
        if len({agent.name for agent in agents}) < len(agents):
            raise ValueError("two agents have the same name; give each its own")
        return agents


class TeamDraftStep(BaseModel):
    """What one agent should do."""

    agent: str
    action: str
    question: str = ""
    """What a person must answer before the agent can begin; empty if nothing."""


class TeamDraft(BaseModel):
    """The steps that a person approves."""

    facts: str
    steps: list[TeamDraftStep]


# ---- offline scripts


def _draft(asked: ScriptInput) -> TeamDraft:
    request: str = asked.part("Request").strip()
    agents: list[dict[str, str]] = asked.part("Agents")
    steps = [
        TeamDraftStep(
            agent=agent["name"], action=f"{agent['description'].strip(' .') or 'Do your part'} for “{request}”"
        )
        for agent in agents
    ]
    if not re.search(r"\d", request):
        steps[0].question = "By when do you need this?"
    return TeamDraft(facts=f"The request is “{request}”. {len(agents)} agents can work on it.", steps=steps)


def _work(asked: ScriptInput) -> str:
    action, answer, earlier = asked.part("Action"), asked.part("Answer"), asked.part("Results")
    lines = [f"My part: {action}. I'm the offline model, so I did no work and found nothing of my own."]
    if answer:
        lines.append(f"You said “{answer}”.")
    if earlier:
        lines.append(f"A real model would build on what {' and '.join(earlier)} found.")
    return " ".join(lines)


def _sum_up(asked: ScriptInput) -> str:
    results: Mapping[str, str] = asked.part("Results")
    parts = "\n".join(f"- **{name}**: {text}" for name, text in results.items())
    return f"# {asked.part('Request').strip()}\n\n{parts}\n\nSet PLANCAST_MODEL to let a real model do the work."


# ---- the roles

_PLANNER: Final = "Planner"
planner: Final[Role[TeamDraft]] = Role(
    _PLANNER,
    "You plan the work of a team of agents. From the request and the agents' descriptions, write one short action for each "
    "agent that is needed, in the order given. `facts` says in a few sentences what is known. If an agent can't begin "
    "without something that only the person who made the request knows, put one question into that step, otherwise leave "
    "it empty.",
    output=TeamDraft,
    script=_draft,
)
summarizer: Final[Role[str]] = Role(
    _PLANNER,
    "You write the final answer to a request, in Markdown, from what the agents of a team found. Add nothing of your own.",
    output=str,
    script=_sum_up,
)


def _role_of(agent: TeamAgent) -> Role[str]:
    about = f"You are {agent.name}, an agent of a team. {agent.description}"
    rules = "Do the action that the prompt names, and nothing else. Build on the results of the agents before you."
    return Role(agent.name, "\n\n".join([about, agent.system_message, rules]), output=str, script=_work)


# ---- the steps


async def _draft_steps(ctx: Context) -> dict[str, Any]:
    await introduce(ctx)
    await ctx.think("I'm looking at who in the team can do what.")
    agents = [{"name": agent["name"], "description": agent["description"]} for agent in ctx.input["agents"]]
    draft = await planner.answer(ctx, prompt_of(request=ctx.input["request"], agents=agents))
    actions = {agent["name"]: [step for step in draft.steps if step.agent == agent["name"]] for agent in agents}
    steps = [_joined(name, found) for name, found in actions.items() if found]
    if not steps:
        raise StepFailed("The planner gave none of the agents anything to do")
    return {"facts": draft.facts, "steps": [step.model_dump() for step in steps]}


def _joined(agent: str, steps: Sequence[TeamDraftStep]) -> TeamDraftStep:
    """All that the agent should do, as one step."""
    questions = [step.question for step in steps if step.question.strip()]
    return TeamDraftStep(agent=agent, action="; ".join(step.action for step in steps), question=" ".join(questions))


async def _ask_for_approval(ctx: Context) -> dict[str, Any]:
    lines = [f"- {step['agent']}: {step['action']}" for step in ctx.results["draft"]["steps"]]
    prompt = "\n".join(["Shall the team do this?", *lines])
    answer = await ctx.approve(prompt, expires_in=ANSWER_TIME, default="no")
    if not answer:
        raise StepFailed("The steps were not approved", retry=False)
    return {"by": answer.by}


async def _do(agent: TeamAgent, ctx: Context) -> str:
    mine = [step for step in ctx.results["draft"]["steps"] if step["agent"] == agent.name]
    if not mine:
        return ""
    answer = ""
    if mine[0]["question"]:
        answer = str(await ctx.ask(mine[0]["question"], expires_in=ANSWER_TIME, default=""))
    await ctx.progress(10, mine[0]["action"])
    prompt = prompt_of(request=ctx.input["request"], action=mine[0]["action"], answer=answer, results=_found(ctx))
    return await _role_of(agent).speak(ctx, prompt)


def _found(ctx: Context) -> dict[str, str]:
    """What the agents found so far, by their names."""
    names = {f"work-{n}": agent["name"] for n, agent in enumerate(ctx.input["agents"], 1)}
    return {names[step_id]: text for step_id, text in ctx.results.items() if step_id in names and text}


async def _write_result(ctx: Context) -> str:
    await ctx.progress(10, "Writing the result")
    text = await summarizer.speak(ctx, prompt_of(request=ctx.input["request"], results=_found(ctx)), "thinking")
    await ctx.artifact("result.md", "text/markdown", data=text)
    return text


def _result_of(results: Mapping[str, Any]) -> str:
    return str(results.get("result", NOT_APPROVED))


def _labels(given: TeamRequest) -> list[str]:
    names = {"user": given.user_id, "team": given.team_id}
    return [f"team:{kind}:{name}" for kind, name in names.items() if name]


@template("team", title="Give a team a task", input=TeamRequest)
def team(given: TeamRequest) -> Plan:
    """A planner drafts what each agent of a team should do. You approve it, and answer what the agents need to know."""
    work = [
        Step(
            f"work-{n}",
            f"{agent.name} works"[:1000],
            partial(_do, agent),
            ["draft", "approval", *(f"work-{before}" for before in range(1, n))],
            retries=1,
            weight=2,
            agent_name=agent.name,
        )
        for n, agent in enumerate(given.agents, 1)
    ]
    steps = [
        Step("draft", "Draft the steps", _draft_steps, retries=1, agent_name=_PLANNER),
        Step("approval", "Ask for approval", _ask_for_approval, ["draft"], on_failure="skip", agent_name=_PLANNER),
        *work,
        Step("result", "Write the result", _write_result, [step.id for step in work], retries=1, agent_name=_PLANNER),
    ]
    return Plan(given.request.strip()[:1000], steps, labels=_labels(given), result=_result_of)
