"""The rules for events find what they should, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plan_engine.event_rules import Event, violations

Said = tuple[str, dict[str, Any]]


def plan(status: str, **more: Any) -> Said:
    return "plan_update", {"status": status, **more}


def step(status: str, **more: Any) -> Said:
    return "step_update", {"step_id": "a", "status": status, **more}


def says(**more: Any) -> Said:
    return "agent_message", {"step_id": "a", "agent_name": "Ada", "content": "hm", **more}


def tool(phase: str) -> Said:
    return "tool_call", {"step_id": "a", "call_id": "c", "phase": phase}


ASKED: Said = ("input_request", {"step_id": "a", "request_id": "r"})
ANSWERED: Said = ("input_response", {"request_id": "r"})
MADE: Said = ("artifact", {"step_id": "a", "artifact_id": "x", "data": 1})
REQUESTED: Said = ("agent_message", {"agent_name": "maria", "content": "stop", "data": {"state": "requested"}})
BEGIN = [plan("pending"), step("pending"), plan("in_progress"), step("in_progress", attempt=1, max_attempts=1)]
END = [step("completed", attempt=1), plan("completed", progress=100)]


def judged(said: list[Said], *, ended: bool = True) -> list[str]:
    return violations((Event(offset, *each) for offset, each in enumerate(said, 1)), ended=ended)


@pytest.mark.parametrize(
    "middle",
    [
        [],
        [says(), says(content="ha"), tool("started"), tool("completed"), MADE],
        [ASKED, step("waiting"), plan("waiting"), ANSWERED, step("in_progress"), plan("in_progress")],
        [says(message_id="m", append=True), says(message_id="m", append=True, final=True)],
        [step("in_progress", progress=50), plan("in_progress", progress=50)],
        [REQUESTED],
    ],
)
def test_valid_sequences_have_no_violations(middle: list[Said]) -> None:
    assert judged([*BEGIN, *middle, *END]) == []


def test_another_attempt_may_repeat_messages_and_a_person_may_answer_late() -> None:
    again = [
        says(),
        says(message_id="m"),
        step("stalled", attempt=1),
        says(message_id="m", content="", final=True, error="gone"),
        step("retrying", attempt=2, max_attempts=2),
        step("in_progress", attempt=2, max_attempts=2),
        says(),
        step("completed", attempt=2),
        plan("completed", progress=100),
        REQUESTED,
    ]
    assert judged([*BEGIN, *again]) == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([*BEGIN, *END, plan("in_progress")], "after the end of the plan"),
        ([*BEGIN, *END, says()], "after the end of the plan"),
        ([*BEGIN, step("completed"), step("in_progress"), END[1]], "in_progress after completed"),
        ([*BEGIN, END[0], *END], "completed after completed"),
        ([*BEGIN, END[0]], "the plan is left in_progress"),
        ([*BEGIN, END[1]], "step a is left in_progress"),
        ([plan("in_progress"), *END], "in_progress after nothing"),
        ([plan("pending"), plan("pending")], "pending after pending"),
        ([*BEGIN, BEGIN[-1], *END], "in progress twice"),
        ([*BEGIN, step("retrying", attempt=3), *END], "attempt 3 after 1"),
        ([*BEGIN, step("retrying", attempt=1), *END], "attempt 1 after 1"),
        ([*BEGIN, step("retrying", attempt=2, max_attempts=1), *END], "attempt 2 of 1"),
        ([*BEGIN, says(), says(), *END], "said twice in one attempt"),
        ([plan("pending"), step("pending"), says()], "said while step a is pending"),
        ([*BEGIN, says(message_id="m"), *END], "messages left open"),
        ([*BEGIN, says(message_id="m", final=True), says(message_id="m"), *END], "more of a closed message"),
        ([*BEGIN, tool("started"), *END], "tools left open"),
        ([*BEGIN, tool("completed"), *END], "a tool ended that had not started"),
        ([*BEGIN, tool("started"), tool("started"), *END], "a tool started twice"),
        ([*BEGIN, ASKED, ASKED, *END], "asked twice"),
        ([*BEGIN, ASKED, ANSWERED, ANSWERED, *END], "answered twice"),
        ([*BEGIN, ANSWERED, *END], "answered before it was asked"),
        ([*BEGIN, MADE, MADE, *END], "the same artifact twice"),
        ([*BEGIN, plan("in_progress", progress=5), plan("in_progress", progress=4), *END], "progress fell"),
        ([*BEGIN, END[0], plan("completed", progress=90)], "completed at 90 %"),
        ([*BEGIN, ("gossip", {}), *END], "an unknown type"),
    ],
)
def test_violations_are_found(said: list[Said], problem: str) -> None:
    assert any(problem in found for found in judged(said)), judged(said)


def test_a_step_may_not_begin_before_those_it_needs() -> None:
    early = [plan("pending"), ("step_update", {"step_id": "b", "status": "pending", "needs": ["a"]}), *BEGIN[1:3]]
    early += [("step_update", {"step_id": "b", "status": "in_progress"})]
    assert any("begun before ['a']" in found for found in judged(early, ended=False))
