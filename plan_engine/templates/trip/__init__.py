"""A trip by chat: what the traveller says changes places, requirements and a plan by days.

What there is comes with the message and goes back changed, or unchanged when nothing was wanted. Offline it is all done by
plain rules and a small gazetteer; a real model understands more, and finds places in the same gazetteer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.templates.trip.steps import listen, plan_days, scout, settle
from plan_engine.templates.trip.wishes import TripRequest

__all__ = ["TripRequest", "trip"]


@template(
    "trip",
    title="Plan a trip",
    about="Say where and for how long; add, remove or replace places; the plan by days follows.",
    input=TripRequest,
)
def trip(given: TripRequest) -> Plan:
    """Four steps, one after the other; what each came to is what the chat shows."""
    steps = [
        Step("intents", "Understand what is wanted", listen, agent_name="Concierge"),
        Step("pois", "Find places", scout, ["intents"], weight=3, agent_name="Scout"),
        Step(
            "requirements", "Keep in mind what matters", settle, ["intents", "pois"], weight=0.5, agent_name="Concierge"
        ),
        Step(
            "itinerary",
            "Lay out the days",
            plan_days,
            ["intents", "pois", "requirements"],
            weight=3,
            agent_name="Planner",
        ),
    ]
    words = given.message.strip() or "A trip"
    return Plan(words if len(words) <= 80 else f"{words[:79]}…", steps, ["trip"], _state)


def _state(results: Mapping[str, Any]) -> dict[str, Any]:
    """How things stand now, by the names that a request has for them."""
    return {"plan" if step_id == "itinerary" else step_id: result for step_id, result in results.items()}
