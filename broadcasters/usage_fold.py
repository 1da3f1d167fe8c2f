"""The sums of usage in a snapshot. Each event adds what it reports, so parts that were left out make no difference."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from broadcasters.events import PlanEvent
from broadcasters.snapshot import AgentUsage, UsageSum
from broadcasters.usage import EXACT, Usage

__all__ = ["plus", "plus_for_agent", "plus_reported"]

MAX_ENTRIES: Final = 32
"""Pairs of agent and model with a sum of their own. Those after them share the one without agent and model."""
MAX_CURRENCIES: Final = 8
"""Currencies in one sum; costs in further ones are left out."""

_COUNTS: Final = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "requests")

Sum = TypeVar("Sum", bound=UsageSum)


def plus(total: Sum, usage: Usage) -> Sum:
    """The sum with this usage added."""
    changes: dict[str, Any] = {
        name: (getattr(total, name) or 0) + count for name in _COUNTS if (count := getattr(usage, name)) is not None
    }
    if usage.model is not None:
        changes["model"] = usage.model
    if usage.cost is not None:
        changes["costs"] = _with_cost(total.costs or {}, usage.currency or "USD", usage.cost)
    return total.model_copy(update=changes)


def _with_cost(costs: dict[str, Decimal], currency: str, cost: Decimal) -> dict[str, Decimal]:
    if currency not in costs and len(costs) >= MAX_CURRENCIES:
        return costs
    return {**costs, currency: EXACT.add(costs.get(currency, Decimal(0)), cost).normalize(EXACT)}


def plus_for_agent(sums: Sequence[AgentUsage], agent_name: str | None, usage: Usage) -> tuple[AgentUsage, ...]:
    """The sums of agents and models with this usage added."""
    at = _index(sums, agent_name, usage.model)
    if at == len(sums) >= MAX_ENTRIES:
        agent_name, usage = None, usage.model_copy(update={"model": None})
        at = _index(sums, None, None)
    known = sums[at] if at < len(sums) else AgentUsage(agent_name=agent_name)
    return (*sums[:at], plus(known, usage), *sums[at + 1 :])


def plus_reported(sums: tuple[AgentUsage, ...], event: PlanEvent) -> tuple[AgentUsage, ...]:
    """The sums of models with the usage that this event reports, if any."""
    usage: Usage | None = getattr(event, "usage", None)
    return sums if usage is None else plus_for_agent(sums, None, usage)


def _index(sums: Sequence[AgentUsage], agent_name: str | None, model: str | None) -> int:
    """The index of their sum; the number of sums if there is none yet."""
    pairs = [(one.agent_name, one.model) for one in sums]
    return pairs.index((agent_name, model)) if (agent_name, model) in pairs else len(sums)
