"""What a plan is: steps with titles for people, each done by an agent, and the order between them."""

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
"""`async def agent(ctx: Context)`, or `def agent(ctx: BlockingContext)`, which runs in a thread of its own. What it returns
is the step's result, for people and for the steps that need it; it must be convertible to JSON."""

OnFailure = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Args:
        id: 1 to 64 characters of A-Z a-z 0-9 . _ -
        title: what people see.
        agent: the function that does the work: `async def agent(ctx: Context)`, or `def agent(ctx: BlockingContext)`, which
            runs in a thread.
        needs: ids of the steps whose results the agent gets. The step begins when all of them are done; steps that don't
            need each other run in parallel.
        retries: how many more attempts it has after the first one failed.
        backoff: seconds before the first retry; doubles with each further one, up to a minute.
        timeout: seconds that one attempt may work, not counting the time it waits for people or the log, or is paused.
        weight: its share of the plan's progress.
        on_failure: "fail" ends the plan; "skip" continues without this step and those that need it.
        agent_name: the agent's name for people. Default: made of the function's name.

    Raises:
        BadPlan: an argument is invalid; the message says which, and what to change.

    Example:
        Step("figures", "Collect the figures", collect, needs=["orders"], retries=2, timeout=60)
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
            raise BadPlan(f"step {self.id!r}: needs must be a list of step ids, as in needs=[{self.needs!r}]")
        object.__setattr__(self, "needs", tuple(dict.fromkeys(self.needs)))
        if not self.agent_name:
            object.__setattr__(self, "agent_name", _name_of(self.agent))
        for problem in _problems(self):
            raise BadPlan(f"step {self.id!r}: {problem}")

    @property
    def synchronous(self) -> bool:
        """Whether its agent runs in a thread."""
        call = getattr(self.agent, "__call__", None)  # noqa: B004 - an object whose __call__ is async is async
        return not (inspect.iscoroutinefunction(self.agent) or inspect.iscoroutinefunction(call))

    def pause_after(self, failures: int) -> float:
        """Seconds to wait before the next attempt, after this many failed ones."""
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
        problems.append("its id must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
    if not 1 <= len(step.title) <= 1024:
        problems.append(f"its title must have 1 to 1,024 characters; it has {len(step.title):,}")
    if not callable(agent):
        problems.append(f"its agent must be a function that takes a context; got {agent!r:.200}")
    if not 0 <= step.retries <= 100:
        problems.append(f"retries must be 0 to 100; got {step.retries!r}")
    if not (math.isfinite(step.backoff) and step.backoff >= 0):
        problems.append(f"backoff must be a number of seconds; got {step.backoff!r}")
    if step.timeout is not None and not (math.isfinite(step.timeout) and step.timeout > 0):
        problems.append(f"timeout must be more than 0 seconds, or None; got {step.timeout!r}")
    if not (math.isfinite(step.weight) and step.weight >= 0):
        problems.append(f"weight must be 0 or more; got {step.weight!r}")
    if step.on_failure not in ("fail", "skip"):
        problems.append(f'on_failure must be "fail" or "skip"; got {step.on_failure!r}')
    if len(step.needs) > 256:
        problems.append(f"it may need at most 256 steps; it needs {len(step.needs)}")
    return problems


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: steps in the order people see them.

    A template makes the plan for each run, and again when another worker takes a run over: the same input must give the same
    steps.

    Args:
        title: what people see.
        steps: 1 to 10,000 steps.
        labels: up to 16 texts by which lists of plans can be filtered.
        result: makes the plan's result from the steps' results by step id; skipped steps are missing. Default: the results
            of the steps that no other step needs; the result itself if there is one such step, otherwise by step id.
        request: what a person wrote to start the plan. It is recorded in the log, cut off after 16 KiB, and clients show it.
            Default: the only required text field of the template's input model, or else its only text field. Give "" to
            record nothing.
        input: what to show as the plan's input, recorded in the log unless it takes more than 16 KiB. Default: what the plan
            was started with, without the fields that the input model marks as `writeOnly`. Give {} to record nothing.

    Raises:
        BadPlan: the steps can't be run; the message names the step at fault, and what to change.

    Example:
        Plan("Write a report", [Step("look", "Look it up", look), Step("write", "Write it", write, needs=["look"])])
    """

    title: str
    steps: Sequence[Step]
    labels: Sequence[str] = ()
    result: Callable[[Mapping[str, Any]], Any] | None = None
    request: str | None = None
    input: Mapping[str, Any] | None = None
    dependents: Mapping[str, Sequence[str]] = field(init=False, repr=False, compare=False)
    """The steps that need each step, by step id."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "labels", tuple(self.labels))
        if not 1 <= len(self.title) <= 1024:
            raise BadPlan(f"a plan's title must have 1 to 1,024 characters; it has {len(self.title):,}")
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise BadPlan(f"a plan must have 1 to {MAX_STEPS:,} steps; it has {len(self.steps):,}")
        if len(self.labels) > 16 or not all(1 <= len(label) <= 256 for label in self.labels):
            raise BadPlan(f"a plan may have at most 16 labels, each of 1 to 256 characters; got {self.labels!r:.200}")
        object.__setattr__(self, "dependents", _dependents(self.steps))
        _check_order(self.steps, self.dependents)

    def result_of(self, results: Mapping[str, Any]) -> Any:
        """The plan's result, made from the results of its steps by step id."""
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
                raise BadPlan(f"step {step.id!r} needs {need!r}, but there is no such step")
            dependents[need].append(step.id)
    return dependents


def _check_order(steps: Sequence[Step], dependents: Mapping[str, Sequence[str]]) -> None:
    """Raise `BadPlan` if steps need each other in a circle: those are never free to begin."""
    missing = {step.id: len(step.needs) for step in steps}
    free = [step_id for step_id, needs in missing.items() if not needs]
    for step_id in free:
        del missing[step_id]
        for dependent in dependents[step_id]:
            missing[dependent] -= 1
            if not missing[dependent]:
                free.append(dependent)
    if missing:
        raise BadPlan(f"these steps need each other in a circle: {_circle(steps, missing)}")


def _circle(steps: Sequence[Step], missing: Mapping[str, int]) -> str:
    """Follow unmet needs until one repeats."""
    needs = {step.id: step.needs for step in steps}
    path = [next(iter(missing))]
    while (need := next(need for need in needs[path[-1]] if need in missing)) not in path:
        path.append(need)
    return " → ".join([*path[path.index(need) :], need])
