"""Events of every type in any order, with few ids, so that they concern the same parts, and many kinds of text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from broadcasters.events import (
    EVENTS,
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
    WorkerUpdate,
    build,
    timestamp,
)
from broadcasters.usage import Usage

PLAN_ID = "plan-1"

ids = st.sampled_from(["a", "b", "c", "@3", "@@5"])
agents = st.sampled_from(["Data Analyst", "Business Advisor", "Agentin Zoë 🎈"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["", "Looking… ", '"\\\n\0', "😀"]
)
moments = st.builds(
    lambda ms: timestamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)),
    st.integers(-5_000, 5_000) | st.sampled_from([-(10**12), 10**12]),
)
percents = st.floats(0, 100) | st.integers(0, 100).map(float)
attempts = st.integers(1, 4)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
counts = st.integers(0, 10**9) | st.sampled_from([0, 7])
costs = st.sampled_from(["0", "0.1", "0.000000000001", "999999999.999999999999"]) | st.decimals(0, 10, places=12)
json_objects = st.dictionaries(texts, json_values, max_size=3)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, which is the same as a missing field, or one of the values."""
    return st.none() | values


usages = maybe(
    st.builds(
        Usage,
        model=maybe(st.sampled_from(["gpt-5", "claude"])),
        input_tokens=maybe(counts),
        output_tokens=maybe(counts),
        cached_tokens=maybe(counts),
        reasoning_tokens=maybe(counts),
        requests=maybe(st.integers(0, 1_000_000)),
        cost=maybe(costs),
        currency=maybe(st.sampled_from(["USD", "EUR"])),
    )
)


def _events(cls: type[PlanEvent], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[PlanEvent]:
    known = {name: field.alias or name for name, field in cls.model_fields.items()}
    forgotten = set(known.values()) - set(fields) - {"plan_id", "timestamp"}
    if forgotten:
        raise ValueError(f"{cls.type}: nothing is said of {forgotten}")
    every = {"plan_id": st.just(PLAN_ID), "timestamp": moments, **fields}
    return st.fixed_dictionaries(every).map(lambda said: build(cls, said))


plan_updates = _events(
    PlanUpdate,
    status=st.sampled_from(["pending", "in_progress", "waiting", "completed", "error", "cancelled"]),
    content=maybe(texts),
    step_id=maybe(ids),
    agent_name=maybe(agents),
    message_type=maybe(st.sampled_from(["thinking", "action", "result", "clarification_needed"])),
    title=maybe(texts),
    progress=maybe(percents),
    owner=maybe(st.sampled_from(["ann", "bob"])),
    labels=maybe(st.lists(st.sampled_from(["q3", "q4"]), max_size=2)),
    data=maybe(json_objects),
)
step_updates = _events(
    StepUpdate,
    step_id=ids,
    status=st.sampled_from(
        ["pending", "in_progress", "waiting", "retrying", "completed", "error", "skipped", "cancelled", "stalled"]
    ),
    content=maybe(texts),
    agent_name=maybe(agents),
    title=maybe(texts),
    progress=maybe(percents),
    attempt=maybe(attempts),
    max_attempts=maybe(attempts),
    needs=maybe(st.lists(ids, max_size=2)),
    data=maybe(json_objects),
    usage=usages,
)
agent_messages = _events(
    AgentMessage,
    agent_name=agents,
    content=texts,
    message_type=st.sampled_from(["thinking", "action", "result", "clarification_needed"]),
    step_id=maybe(ids),
    message_id=maybe(ids),
    append=maybe(st.booleans()),
    final=maybe(st.booleans()),
    error=maybe(texts),
    data=maybe(json_objects),
    usage=usages,
)
tokens = _events(
    AgentMessage,
    agent_name=agents,
    content=texts,
    message_type=st.just("thinking"),
    step_id=st.none(),
    message_id=ids,
    append=st.just(True),
    final=st.none(),
    error=st.none(),
    data=st.none(),
    usage=st.none(),
)
tool_calls = _events(
    ToolCall,
    agent_name=agents,
    call_id=ids,
    tool_name=st.sampled_from(["sql", "search"]),
    phase=st.sampled_from(["started", "completed", "error"]),
    arguments=maybe(json_values),
    result=maybe(json_values),
    step_id=maybe(ids),
    usage=usages,
)
input_requests = _events(
    InputRequest,
    request_id=ids,
    kind=st.sampled_from(["approval", "clarification", "choice"]),
    prompt=texts,
    options=maybe(st.lists(json_values, max_size=3)),
    schema=maybe(json_objects),
    step_id=maybe(ids),
    agent_name=maybe(agents),
    expires_at=maybe(moments),
)
input_responses = _events(
    InputResponse,
    request_id=ids,
    answer=maybe(json_values),
    by=maybe(agents),
    at=moments,
    idempotency_key=maybe(st.just("key-1")),
)
artifacts = _events(
    Artifact,
    artifact_id=ids,
    name=st.sampled_from(["orders.csv", "chart.png"]),
    mime_type=st.sampled_from(["text/csv", "image/png"]),
    url=maybe(st.just("https://example.org/1")),
    data=maybe(json_values),
    step_id=maybe(ids),
)

worker_updates = _events(
    WorkerUpdate,
    worker_id=ids,
    state=st.sampled_from(["begun", "alive", "alive", "lost", "released"]),
    name=maybe(agents),
    lease_s=maybe(st.sampled_from([1.0, 30.0])),
    obeys=maybe(st.lists(st.sampled_from(["cancel", "pause", "resume"]), max_size=3)),
)

events: st.SearchStrategy[PlanEvent] = st.one_of(
    plan_updates,
    step_updates,
    agent_messages,
    tokens,
    tool_calls,
    input_requests,
    input_responses,
    artifacts,
    worker_updates,
)
"""Any event of the plan PLAN_ID."""

stories: st.SearchStrategy[list[PlanEvent | None]] = st.lists(st.none() | events, max_size=30)
"""What a log may hold: events in any order, some of them of an unknown type (None)."""

EVERY_KIND = dict(
    zip(
        EVENTS,
        (
            plan_updates,
            step_updates,
            agent_messages,
            tool_calls,
            input_requests,
            input_responses,
            artifacts,
            worker_updates,
        ),
        strict=True,
    )
)
"""A strategy for each type of event."""
