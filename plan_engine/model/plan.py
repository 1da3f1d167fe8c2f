"""What a plan is: steps that people understand, each done by an agent, some of them after others."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, cast

from plan_engine.errors import BadPlan

__all__ = ["MAX_STEPS", "Agent", "OnFailure", "Plan", "Step"]

MAX_STEPS: Final = 10_000
LONGEST_BACKOFF: Final = 60.0
_step_id = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

Agent = Callable[[Any], Any]
"""`async def agent(ctx: Context)`, or `def agent(ctx: BlockingContext)`, which runs in a thread of its own. What it
returns is the step's result, for the steps that need it and for people: anything that JSON can say."""

OnFailure = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    `title` is for people. `needs` names the steps whose results the agent gets; it begins when all of them are done,
    beside whatever else can begin. `retries`: so many more times it is tried, after `backoff` seconds, then twice as
    many, and so on up to a minute. `timeout`: seconds that the agent may work in one attempt, not counting the time it
    waits for a person or for the log, or is paused. `weight`: its share of the plan's progress. `on_failure`: "fail"
    ends the plan, "skip" goes on without this step and without those that need it. `agent_name` is who people hear
    speak; else the agent's own name.
    """

    id: str
    title: str
    agent: Agent
    needs: Sequence[str] = ()
    retries: int = 0
    backoff: float = 1.0
    timeout: float | None = None
    weight: float = 1.0
    on_failure: OnFailure = "fail"
    agent_name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.needs, str):
            raise BadPlan(f"step {self.id!r}: needs is a list of step ids, as in needs=[{self.needs!r}]")
        object.__setattr__(self, "needs", tuple(dict.fromkeys(self.needs)))
        if not self.agent_name:
            object.__setattr__(self, "agent_name", _name_of(self.agent))
        for problem in _problems(self):
            raise BadPlan(f"step {self.id!r}: {problem}")

    @property
    def synchronous(self) -> bool:
        """Does its agent run in a thread?"""
        call = getattr(self.agent, "__call__", None)  # noqa: B004 - an object whose __call__ is async is async
        return not (inspect.iscoroutinefunction(self.agent) or inspect.iscoroutinefunction(call))

    def pause_after(self, failures: int) -> float:
        """Seconds to wait before the next attempt, when so many have failed."""
        return min(LONGEST_BACKOFF, self.backoff * 2.0 ** min(failures - 1, 30))


def _name_of(agent: Any) -> str:
    if isinstance(agent, partial):
        return _name_of(cast("Any", agent).func)
    name = str(getattr(agent, "__name__", type(agent).__name__))
    return name.strip("_<>").replace("_", " ").capitalize() or "Agent"


def _problems(step: Step) -> list[str]:
    problems: list[str] = []
    agent: object = step.agent
    if not _step_id.match(step.id):
        problems.append("an id is 1 to 64 of A-Z a-z 0-9 . _ -")
    if not 1 <= len(step.title) <= 1024:
        problems.append("people want a title, of at most 1,024 characters")
    if not callable(agent):
        problems.append("its agent is a function of a context")
    if not 0 <= step.retries <= 100:
        problems.append("retries are 0 to 100")
    if not (math.isfinite(step.backoff) and step.backoff >= 0):
        problems.append("backoff is a number of seconds")
    if step.timeout is not None and not (math.isfinite(step.timeout) and step.timeout > 0):
        problems.append("timeout is a number of seconds, or None")
    if not (math.isfinite(step.weight) and step.weight >= 0):
        problems.append("weight is a number, 0 or more")
    if step.on_failure not in ("fail", "skip"):
        problems.append('on_failure is "fail" or "skip"')
    if len(step.needs) > 256:
        problems.append("it needs more than 256 steps")
    return problems


@dataclass(frozen=True, slots=True)
class Plan:
    """Some steps, in the order people see them. Made anew for each run, and again by whoever takes a run over: the same
    input must give the same steps.

    `result` makes the plan's result from the steps' results (those of skipped steps are missing). Without it: what the
    steps returned that no other step needs; if that is one, as it is, otherwise by step id.
    """

    title: str
    steps: Sequence[Step]
    labels: Sequence[str] = ()
    result: Callable[[Mapping[str, Any]], Any] | None = None
    dependents: Mapping[str, Sequence[str]] = field(init=False, repr=False, compare=False)
    """By step id: the steps that need it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "labels", tuple(self.labels))
        if not 1 <= len(self.title) <= 1024:
            raise BadPlan("a plan has a title for people, of at most 1,024 characters")
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise BadPlan(f"a plan has 1 to {MAX_STEPS:,} steps, not {len(self.steps):,}")
        if len(self.labels) > 16 or not all(1 <= len(label) <= 256 for label in self.labels):
            raise BadPlan(f"a plan has at most 16 labels of 1 to 256 characters, not {self.labels!r:.200}")
        object.__setattr__(self, "dependents", _dependents(self.steps))
        _check_order(self.steps, self.dependents)

    def result_of(self, results: Mapping[str, Any]) -> Any:
        """What the plan came to."""
        if self.result is not None:
            return self.result(results)
        last = {step.id: results[step.id] for step in self.steps if step.id in results and not self.dependents[step.id]}
        return next(iter(last.values())) if len(last) == 1 else last


def _dependents(steps: Sequence[Step]) -> Mapping[str, Sequence[str]]:
    dependents: dict[str, list[str]] = {}
    for step in steps:
        if step.id in dependents:
            raise BadPlan(f"two steps have the id {step.id!r}; give one of them another")
        dependents[step.id] = []
    for step in steps:
        for need in step.needs:
            if need not in dependents:
                raise BadPlan(f"step {step.id!r} needs {need!r}, and there is no such step")
            dependents[need].append(step.id)
    return dependents


def _check_order(steps: Sequence[Step], dependents: Mapping[str, Sequence[str]]) -> None:
    """Whatever can't be reached from the beginning waits for itself."""
    missing = {step.id: len(step.needs) for step in steps}
    free = [step_id for step_id, needs in missing.items() if not needs]
    for step_id in free:
        del missing[step_id]
        for dependent in dependents[step_id]:
            missing[dependent] -= 1
            if not missing[dependent]:
                free.append(dependent)
    if missing:
        raise BadPlan(f"these steps wait for each other in a circle: {_circle(steps, missing)}")


def _circle(steps: Sequence[Step], missing: Mapping[str, int]) -> str:
    """Follow a need that is missing too until one comes up again."""
    needs = {step.id: step.needs for step in steps}
    path = [next(iter(missing))]
    while (need := next(need for need in needs[path[-1]] if need in missing)) not in path:
        path.append(need)
    return " → ".join([*path[path.index(need) :], need])
