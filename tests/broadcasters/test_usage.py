"""Usage: what agents may report, how it is sent, and that its sums are exact whatever happens to the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from broadcasters import Broadcaster, InvalidEvent, Usage, blocking
from broadcasters.checkpointing import snapshot_of, take_checkpoint
from broadcasters.events import AgentMessage, PlanEvent, StepUpdate, ToolCall, build, parse
from broadcasters.fold import fold
from broadcasters.log.contract import Entry, Facts
from broadcasters.snapshot import Snapshot, UsageSum, decode, empty, encode
from tests.broadcasters.faults import FaultyLog
from tests.broadcasters.strategies import PLAN_ID, stories

COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "requests")
PLAN = "plan-1"


async def sums(log: FaultyLog) -> UsageSum | None:
    snapshot, _ = await snapshot_of(log, PLAN)
    return snapshot.usage


# --- the model


@pytest.mark.parametrize(
    ("cost", "sent"),
    [
        (Decimal("0.0120"), "0.012"),
        ("10.0", "10"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (3, "3"),
        ("-0", "0"),
        ("0.1234567890125", "0.123456789012"),
        ("999999999.999999999999", "999999999.999999999999"),
    ],
)
def test_a_cost_is_sent_as_the_decimal_number_it_is(cost: Any, sent: str) -> None:
    """C-USE-1"""
    event = build(AgentMessage, {"plan_id": PLAN, "agent_name": "A", "content": "x", "usage": {"cost": cost}})
    payload = event.payload("1")
    assert json.loads(payload)["data"]["usage"] == {"cost": sent}
    assert parse(payload) == event


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ({"cost": "a lot"}, "usage.cost"),
        ({"cost": -1}, "usage.cost"),
        ({"cost": "1e9"}, "usage.cost"),
        ({"cost": float("nan")}, "usage.cost"),
        ({"cost": "Infinity"}, "usage.cost"),
        ({"cost": True}, "usage.cost"),
        ({"cost": [1]}, "usage.cost"),
        ({"currency": "usd"}, "usage.currency"),
        ({"input_tokens": -1}, "usage.input_tokens"),
        ({"input_tokens": 1.5}, "usage.input_tokens"),
        ({"output_tokens": 10**9 + 1}, "usage.output_tokens"),
        ({"requests": "1"}, "usage.requests"),
        ({"model": ""}, "usage.model"),
        ("1200 tokens", "usage"),
    ],
)
async def test_a_wrong_field_is_named(b: Broadcaster, log: FaultyLog, usage: Any, field: str) -> None:
    with pytest.raises(InvalidEvent, match=rf"\b{field}\b"):
        await b.send_agent_message(PLAN, "A", "x", usage=usage)
    assert await log.events(PLAN) == []


def test_a_cost_is_computed_only_from_the_prices_that_are_given() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=200, cached_tokens=400)
    assert usage.cost is None
    assert usage.priced("2.50", 10).cost == Decimal("0.0045")
    cheaper = usage.priced("2.50", 10, cached_price=Decimal("0.25"), currency="EUR")
    assert (cheaper.cost, cheaper.currency) == (Decimal("0.0036"), "EUR")
    assert Usage(input_tokens=5).priced(1, 1).cost is None, "the output is unknown"
    with pytest.raises(InvalidEvent, match="price"):
        usage.priced("cheap", 1)


# --- the sums


def expected(events: Sequence[PlanEvent | None]) -> UsageSum | None:
    """The plan's sum by other arithmetic."""
    total: dict[str, Any] = {}
    costs: dict[str, Fraction] = {}
    for event in events:
        usage = event.usage if isinstance(event, AgentMessage | StepUpdate | ToolCall) else None
        if usage is None:
            continue
        if usage.model is not None:
            total["model"] = usage.model
        total |= {name: total.get(name, 0) + n for name in COUNTS if (n := getattr(usage, name)) is not None}
        if usage.cost is not None:
            currency = usage.currency or "USD"
            costs[currency] = costs.get(currency, Fraction(0)) + Fraction(usage.cost)
            total["costs"] = costs
        total["any"] = True
    if not total:
        return None
    exact = {currency: Decimal(cost.numerator) / cost.denominator for currency, cost in costs.items()}
    return UsageSum(**{**total, "costs": exact} if costs else total)


def added(sums: Sequence[UsageSum], name: str) -> int:
    return sum(getattr(one, name) or 0 for one in sums)


@given(stories)
def test_sums_are_those_of_all_events_whatever_was_left_out(story: list[PlanEvent | None]) -> None:
    """C-USE-2"""
    snapshot = fold(empty(PLAN_ID), 1, story, 800)
    assert snapshot.usage == expected(story)
    for name in COUNTS:
        assert added(snapshot.usage_by_agent or (), name) == added([snapshot.usage or UsageSum()], name)
    whole = fold(empty(PLAN_ID), 1, story)
    assert (snapshot.usage, snapshot.usage_by_agent) == (whole.usage, whole.usage_by_agent)
    if all(event.step_id for event in story if isinstance(event, AgentMessage | ToolCall) and event.usage):
        assert [step.usage for step in snapshot.steps] == [step.usage for step in whole.steps]


async def test_an_event_that_is_sent_twice_counts_once_and_trimmed_ones_stay_counted(
    log: FaultyLog, b: Broadcaster
) -> None:
    """C-USE-2"""
    for _ in range(2):
        await b.send_agent_message(PLAN, "A", "x", usage=Usage(output_tokens=5, cost=Decimal("0.1")), key="once")
        await b.send_step_update(PLAN, "s", "completed", usage={"output_tokens": 7, "cost": "0.2"}, key="step")
    assert await take_checkpoint(log, PLAN, window=0)
    assert (await log.read(PLAN, 0)).payloads == []
    await b.send_tool_call(PLAN, "A", "c", "ask", "completed", usage={"output_tokens": 1}, key="call")
    assert await sums(log) == UsageSum(output_tokens=13, costs={"USD": Decimal("0.3")})


def test_a_checkpoint_of_older_code_is_folded_on_from() -> None:
    older = {
        "version": 1,
        "plan_id": PLAN_ID,
        "offset": 2,
        "status": "in_progress",
        "steps": [{"step_id": "s", "offset": 1, "status": "in_progress"}],
        "messages": [
            {
                "message_id": "m",
                "offset": 2,
                "at": "2026-01-31T09:00:00.000Z",
                "agent_name": "A",
                "content": "so far",
                "message_type": "thinking",
                "step_id": "s",
                "streaming": True,
            }
        ],
        "weight": 200,
    }
    before = decode(json.dumps(older).encode())
    assert before.usage is None
    assert json.loads(encode(before)).keys() >= older.keys()
    assert not json.loads(encode(before)).keys() & {"usage", "usage_by_agent"}
    fields = {"plan_id": PLAN_ID, "agent_name": "A", "content": ".", "message_id": "m", "append": True}
    after = fold(before, 3, [build(AgentMessage, {**fields, "usage": {"output_tokens": 4}})])
    assert after.usage == after.steps[0].usage == after.messages[0].usage == UsageSum(output_tokens=4)


async def test_the_log_of_older_code_is_read_and_newer_members_are_ignored(log: FaultyLog) -> None:
    def written(**more: Any) -> bytes:
        data = {"plan_id": PLAN, "timestamp": "2026-01-31T09:00:00.000Z", "agent_name": "A", "content": "x", **more}
        return b'{"type":"agent_message","id":"1","data":%b}' % json.dumps(data).encode()

    newer = written(usage={"output_tokens": 3, "joules": 5})
    await log.append(PLAN, "other", 1, [Entry(written()), Entry(newer)], Facts())
    snapshot, _ = await snapshot_of(log, PLAN)
    assert [message.usage for message in snapshot.messages] == [None, UsageSum(output_tokens=3)]


# --- streamed messages


async def test_a_streamed_message_has_its_usage_in_its_last_part(log: FaultyLog, b: Broadcaster) -> None:
    """C-USE-1"""
    async with b.message(PLAN, "A") as message:
        await message.write("one ")
        message.report_usage({"output_tokens": 1})
        await log.until_text(PLAN, "one ")
        await message.write("two")
        message.report_usage(Usage(model="gpt-5", output_tokens=2))
        with pytest.raises(InvalidEvent, match=r"usage\.output_tokens"):
            message.report_usage({"output_tokens": -1})
    parts = [event["data"] for event in await log.events(PLAN)]
    assert [part.get("usage") for part in parts] == [None] * (len(parts) - 1) + [{"model": "gpt-5", "output_tokens": 2}]
    assert len(parts) > 1


async def test_a_message_that_is_interrupted_reports_what_it_used(log: FaultyLog, b: Broadcaster) -> None:
    async def fail() -> None:
        async with b.message(PLAN, "A") as message:
            message.report_usage({"output_tokens": 2})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await sums(log) == UsageSum(output_tokens=2)


def test_blocking_calls_report_usage(log_url: str) -> None:
    with blocking.Broadcaster(log_url) as broadcaster:
        broadcaster.send_agent_message(PLAN, "A", "x", usage=Usage(output_tokens=1))
        broadcaster.send_step_update(PLAN, "s", "completed", usage={"output_tokens": 10})
        broadcaster.send_tool_call(PLAN, "A", "c", "ask", "completed", usage={"output_tokens": 100})
        with broadcaster.message(PLAN, "B") as message:
            message.write("y")
            message.report_usage({"output_tokens": 1000})

    async def read() -> Snapshot:
        async with Broadcaster(log_url) as reader, reader.reading() as log:
            return (await snapshot_of(log, PLAN))[0]

    snapshot = asyncio.run(read())
    assert snapshot.usage == UsageSum(output_tokens=1111)
    assert [(one.agent_name, one.output_tokens) for one in snapshot.usage_by_agent or ()] == [
        ("A", 101),
        (None, 10),
        ("B", 1000),
    ]
