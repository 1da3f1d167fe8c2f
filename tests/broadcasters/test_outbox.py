from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Coroutine
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broadcasters import (
    Broadcaster,
    BroadcasterClosed,
    LogFull,
    LogMisconfigured,
    LogUnavailable,
    OutboxFull,
    Position,
    supervision,
)
from broadcasters.events import AgentMessage, build
from broadcasters.log import log_of
from broadcasters.snapshot import AgentUsage
from tests.broadcasters.faults import Fault, FaultyLog, until

PLAN = "plan-1"


def _event(plan_id: str, content: str) -> AgentMessage:
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "A", "content": content})


def sending(b: Broadcaster, *contents: str, plan_id: str = PLAN) -> list[asyncio.Task[Position]]:
    return [asyncio.create_task(b.send_agent_message(plan_id, "A", content)) for content in contents]


async def outcome(task: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        await task
    return caught.value


def cut_short() -> None:
    """Cancel the tasks of the outbox, as a program does that cancels all tasks."""
    for task in asyncio.all_tasks():
        if task.get_name().startswith("outbox of"):
            task.cancel()


class TestBatches:
    async def test_events_of_one_turn_go_out_as_one_append(self, log: FaultyLog, b: Broadcaster) -> None:
        places = await asyncio.gather(*sending(b, "one", "two", "three"))
        assert [place.offset for place in places] == [1, 2, 3]
        assert [call.entries for call in log.calls] == [3]
        assert await log.contents(PLAN) == ["one", "two", "three"]

    async def test_senders_in_a_loop_keep_together(self, log: FaultyLog, b: Broadcaster) -> None:
        async def sender() -> None:
            for _ in range(5):
                await b.send_agent_message(PLAN, "A", "again")

        await asyncio.gather(*(sender() for _ in range(8)))
        assert [call.entries for call in log.calls] == [8] * 5

    async def test_a_sender_answered_just_now_joins_the_next_append(self, log: FaultyLog, b: Broadcaster) -> None:
        async def sender() -> None:
            for _ in range(2):
                await b.send_agent_message(PLAN, "A", "again")

        await asyncio.gather(*(sender() for _ in range(300)))
        assert [call.entries for call in log.calls] == [256, 256, 88]

    async def test_an_append_is_bounded_in_events(self, log: FaultyLog, b: Broadcaster) -> None:
        await asyncio.gather(*sending(b, *(str(n) for n in range(600))))
        assert [call.entries for call in log.calls] == [256, 256, 88]
        assert await log.contents(PLAN) == [str(n) for n in range(600)]

    async def test_an_append_is_bounded_in_bytes(self, log: FaultyLog, b: Broadcaster) -> None:
        await asyncio.gather(*sending(b, *("x" * 200_000 for _ in range(12))))
        assert [call.entries for call in log.calls] == [5, 5, 2]

    async def test_a_run_is_never_cut(self, log: FaultyLog, b: Broadcaster) -> None:
        log.gate.clear()
        tasks = sending(b, "first")
        await until(lambda: log.calls)
        tasks += sending(b, *(str(n) for n in range(200)))
        await until(lambda: b.statistics().queued_events == 201)
        run = [asyncio.create_task(b.send_all(PLAN, [_event(PLAN, "together") for _ in range(100)]))]
        await until(lambda: b.statistics().queued_events == 301)
        log.gate.set()
        await asyncio.gather(*run, *tasks)
        assert [call.entries for call in log.calls] == [1, 200, 100]

    async def test_a_run_waits_for_room_as_a_whole(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log, max_events=4) as b:
            log.gate.clear()
            tasks = sending(b, "first", "second", "third", "fourth")
            await until(lambda: log.calls)
            run = [asyncio.create_task(b.send_all(PLAN, [_event(PLAN, "together") for _ in range(6)]))]
            await until(lambda: b.statistics().waiting_senders == 6)
            log.gate.set()
            await asyncio.gather(*run, *tasks)
        assert [call.entries for call in log.calls] == [4, 6]

    async def test_one_append_a_plan_is_under_way_and_plans_go_side_by_side(
        self, log: FaultyLog, b: Broadcaster
    ) -> None:
        log.gate.clear()
        tasks = sending(b, "one") + sending(b, "elsewhere", plan_id="plan-2")
        await until(lambda: len(log.calls) == 2)
        tasks += sending(b, "two")
        await asyncio.sleep(0)
        assert log.under_way == {PLAN: 1, "plan-2": 1}
        log.gate.set()
        await asyncio.gather(*tasks)
        assert log.most_under_way == 1
        assert await log.contents(PLAN) == ["one", "two"]


class TestRetries:
    async def test_an_append_whose_reply_was_lost_is_repeated_and_stored_once(
        self, log: FaultyLog, b: Broadcaster
    ) -> None:
        log.faults.extend(["lost", "lost"])
        places = await asyncio.gather(*sending(b, "one", "two"))
        assert [place.offset for place in places] == [1, 2]
        assert await log.contents(PLAN) == ["one", "two"]
        assert {call.seq for call in log.calls} == {1}
        assert b.statistics().retries == 2

    async def test_back_before_the_deadline_all_is_delivered_once_and_in_order(
        self, log: FaultyLog, b: Broadcaster
    ) -> None:
        log.error = LogUnavailable("away")
        tasks = sending(b, "one", "two")
        await until(lambda: len(log.calls) >= 2)
        tasks += sending(b, "three")
        await until(lambda: len(log.calls) >= 3)
        log.error = None
        assert [place.offset for place in await asyncio.gather(*tasks)] == [1, 2, 3]
        assert await log.contents(PLAN) == ["one", "two", "three"]

    async def test_an_event_keeps_its_id_when_it_is_tried_again(self, log: FaultyLog, b: Broadcaster) -> None:
        log.faults.append("lost")
        await asyncio.gather(*sending(b, "one", "two"))
        assert [event["id"] for event in await log.events(PLAN)] == ["tester.1", "tester.2"]

    async def test_a_full_log_fails_the_events_of_that_append_only(self, log: FaultyLog, b: Broadcaster) -> None:
        log.error = LogFull("no room")
        first, second = sending(b, "one", "two")
        assert isinstance(await outcome(first), LogFull)
        assert isinstance(await outcome(second), LogFull)
        log.error = None
        assert (await b.send_agent_message(PLAN, "A", "three")).offset == 1

    async def test_each_sender_gets_an_error_of_its_own(self, log: FaultyLog, b: Broadcaster) -> None:
        log.error = LogMisconfigured("wrong password")
        first, second = [await outcome(task) for task in sending(b, "one", "two")]
        assert first is not second
        assert first.__cause__ is second.__cause__ is log.error

    async def test_a_refusal_after_an_unanswered_try_leaves_open_what_was_stored(
        self, log: FaultyLog, b: Broadcaster
    ) -> None:
        log.faults.append("lost")
        (task,) = sending(b, "one")
        await until(lambda: len(log.calls) == 1 and not log.under_way[PLAN])
        log.error = LogFull("no room")
        error = await outcome(task)
        assert type(error) is LogUnavailable
        assert "unknown" in str(error)

    async def test_an_unexpected_exception_of_the_log_reaches_the_sender(self, log: FaultyLog, b: Broadcaster) -> None:
        log.error = ZeroDivisionError()
        assert isinstance(await outcome(b.send_agent_message(PLAN, "A", "one")), ZeroDivisionError)
        log.error = None
        assert (await b.send_agent_message(PLAN, "A", "two")).offset == 1


class TestDeadlines:
    async def test_the_error_says_whether_the_event_was_sent(self, log: FaultyLog, hasty: Broadcaster) -> None:
        log.gate.clear()
        (sent,) = sending(hasty, "sent")
        await until(lambda: log.calls)
        (queued,) = sending(hasty, "queued")
        assert "unknown" in str(await outcome(sent))
        assert "not sent" in str(await outcome(queued))
        assert hasty.statistics().longest_wait == 0, "no sender waits any more"
        log.gate.set()
        (later,) = sending(hasty, "later")
        assert (await later).offset == 2
        assert await log.contents(PLAN) == ["sent", "later"]
        assert hasty.statistics().given_up == 2

    async def test_with_a_key_the_error_says_that_sending_again_is_safe(
        self, log: FaultyLog, hasty: Broadcaster
    ) -> None:
        log.error = LogUnavailable("away")
        error = await outcome(hasty.send_agent_message(PLAN, "A", "one", key="k"))
        assert "key" in str(error)
        assert "away" in str(error)

    async def test_an_append_without_waiting_senders_is_not_repeated(self, log: FaultyLog, hasty: Broadcaster) -> None:
        log.error = LogUnavailable("away")
        assert isinstance(await outcome(hasty.send_agent_message(PLAN, "A", "one")), LogUnavailable)
        await until(lambda: hasty.statistics().queued_events == 0)
        log.error = None
        assert (await hasty.send_agent_message(PLAN, "A", "two")).offset == 1
        assert await log.contents(PLAN) == ["two"]

    async def test_an_append_without_waiting_senders_delays_no_other(
        self, log: FaultyLog, hasty: Broadcaster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("broadcasters.outbox.pauses", lambda _: repeat(3600.0))
        log.faults.extend(["refused", "refused"])
        assert isinstance(await outcome(hasty.send_agent_message(PLAN, "A", "given up")), LogUnavailable)
        (cancelled,) = sending(hasty, "cancelled")
        await until(lambda: len(log.calls) == 2)
        cancelled.cancel()
        (task,) = sending(hasty, "next")
        assert (await task).offset == 1

    async def test_one_deadline_passes_and_the_others_of_that_append_are_delivered(self, log: FaultyLog) -> None:
        log.faults.append("fine")
        log.faults.extend(["refused"] * 200)
        log.gate.clear()
        async with Broadcaster(log=log, deadline=1.0) as b:
            (opener,) = sending(b, "opener")
            await until(lambda: log.calls)
            (early,) = sending(b, "early")
            await until(lambda: b.statistics().longest_wait > 0.5)
            (late,) = sending(b, "late")
            await asyncio.sleep(0)
            log.gate.set()
            await opener
            assert "unknown" in str(await outcome(early))
            log.faults.clear()
            assert (await late).offset == 3
        assert [call.entries for call in log.calls] == [1] + [2] * (len(log.calls) - 1)
        assert await log.contents(PLAN) == ["opener", "early", "late"]

    async def test_an_abandoned_append_that_arrives_late_is_not_stored_after_later_ones(
        self, log: FaultyLog, hasty: Broadcaster
    ) -> None:
        log.faults.extend(["refused"] * 50)
        assert isinstance(await outcome(hasty.send_agent_message(PLAN, "A", "abandoned")), LogUnavailable)
        await until(lambda: hasty.statistics().queued_events == 0)
        abandoned = log.calls[-1]
        log.faults.clear()
        await hasty.send_agent_message(PLAN, "A", "later")
        assert log.calls[-1].seq > abandoned.seq


class TestCancelledSenders:
    async def test_what_was_not_sent_is_withdrawn(self, log: FaultyLog, b: Broadcaster) -> None:
        log.gate.clear()
        (first,) = sending(b, "first")
        await until(lambda: log.calls)
        second, third = sending(b, "second", "third")
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert b.statistics().queued_events == 2
        log.gate.set()
        await asyncio.gather(first, third)
        assert await log.contents(PLAN) == ["first", "third"]

    async def test_an_append_under_way_is_stored_and_its_other_senders_are_answered(
        self, log: FaultyLog, b: Broadcaster
    ) -> None:
        log.gate.clear()
        first, second = sending(b, "first", "second")
        await until(lambda: log.calls)
        first.cancel()
        await asyncio.wait([first])
        log.gate.set()
        assert (await second).offset == 2
        assert await log.contents(PLAN) == ["first", "second"]

    async def test_when_all_senders_are_cancelled_an_unanswered_append_is_not_repeated(
        self, log: FaultyLog, b: Broadcaster
    ) -> None:
        log.error = LogUnavailable("away")
        (task,) = sending(b, "one")
        await until(lambda: log.calls)
        task.cancel()
        await until(lambda: b.statistics().queued_events == 0)
        log.error = None
        assert (await b.send_agent_message(PLAN, "A", "two")).offset == 1

    async def test_a_whole_batch_is_withdrawn(self, log: FaultyLog, b: Broadcaster) -> None:
        log.gate.clear()
        (first,) = sending(b, "first")
        await until(lambda: log.calls)
        task = asyncio.create_task(b.send_all(PLAN, [_event(PLAN, str(n)) for n in range(3)]))
        await until(lambda: b.statistics().queued_events == 4)
        task.cancel()
        await until(lambda: b.statistics().queued_events == 1)
        log.gate.set()
        await first
        assert await log.contents(PLAN) == ["first"]


class TestRoom:
    async def test_when_it_is_full_senders_wait_in_order(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log, max_events=4) as b:
            log.gate.clear()
            tasks = sending(b, *(str(n) for n in range(10)))
            await until(lambda: b.statistics().waiting_senders == 6)
            assert b.statistics().queued_events == 4
            log.gate.set()
            assert [place.offset for place in await asyncio.gather(*tasks)] == list(range(1, 11))
        assert await log.contents(PLAN) == [str(n) for n in range(10)]

    async def test_bytes_are_bounded_too(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log, max_bytes=300_000) as b:
            log.gate.clear()
            tasks = sending(b, *("x" * 100_000 for _ in range(4)))
            await until(lambda: b.statistics().waiting_senders == 2)
            assert b.statistics().queued_bytes <= 300_000
            log.gate.set()
            await asyncio.gather(*tasks)

    async def test_without_room_until_the_deadline_the_error_is_outbox_full(
        self, log: FaultyLog, hasty: Broadcaster
    ) -> None:
        log.gate.clear()
        tasks = sending(hasty, *(str(n) for n in range(5)))
        error = await outcome(tasks[4])
        assert isinstance(error, OutboxFull)
        assert "not sent" in str(error)
        for task in tasks[:4]:
            assert not isinstance(await outcome(task), OutboxFull)

    async def test_no_event_overtakes_those_that_wait(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log, max_bytes=300_000) as b:
            log.gate.clear()
            tasks = sending(b, "a" * 200_000, "b" * 200_000, "c")
            await until(lambda: b.statistics().waiting_senders == 2)
            log.gate.set()
            await asyncio.gather(*tasks)
        assert [said[0] for said in await log.contents(PLAN)] == ["a", "b", "c"]

    async def test_an_event_that_was_given_up_frees_its_room(self, log: FaultyLog, hasty: Broadcaster) -> None:
        log.gate.clear()
        tasks = sending(hasty, "sent")
        await until(lambda: log.calls)
        tasks += sending(hasty, "queued", "queued too")
        for task in tasks:
            assert isinstance(await outcome(task), LogUnavailable)
        assert hasty.statistics().queued_events == 1  # the log was sent it, and has not answered yet
        log.gate.set()
        await until(lambda: hasty.statistics().queued_bytes == 0)

    async def test_a_cancelled_sender_leaves_the_queue_and_frees_its_room(self, log: FaultyLog, b: Broadcaster) -> None:
        async with Broadcaster(log=log, max_events=2) as b:
            log.gate.clear()
            sent, *rest = sending(b, "sent")
            await until(lambda: log.calls)
            queued, waiting, last = sending(b, "queued", "waiting", "last")
            await until(lambda: b.statistics().waiting_senders == 2)
            waiting.cancel()
            await until(lambda: b.statistics().waiting_senders == 1)
            queued.cancel()
            await until(lambda: b.statistics().waiting_senders == 0)
            log.gate.set()
            await asyncio.gather(sent, last, *rest)
        assert await log.contents(PLAN) == ["sent", "last"]

    @pytest.mark.parametrize(
        "limits", [{"deadline": 0}, {"deadline": float("nan")}, {"max_events": 0}, {"max_bytes": 1000}]
    )
    async def test_limits_that_let_nothing_through_are_refused(self, log: FaultyLog, limits: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            Broadcaster(log=log, **limits)


class TestStatistics:
    async def test_they_count_queued_and_appended_events(self, log: FaultyLog, b: Broadcaster) -> None:
        assert b.statistics().longest_wait == 0
        log.gate.clear()
        tasks = sending(b, "one")
        await until(lambda: log.calls)
        tasks += sending(b, "two", "three")
        await asyncio.sleep(0)
        now = b.statistics()
        assert (now.queued_events, now.events_under_way, now.appended) == (3, 1, 0)
        assert now.longest_wait > 0
        log.gate.set()
        await asyncio.gather(*tasks)
        after = b.statistics()
        assert (after.queued_events, after.queued_bytes, after.appends, after.appended) == (0, 0, 2, 3)

    async def test_usage_is_summed_by_model_once_the_log_has_the_event(self, log: FaultyLog, b: Broadcaster) -> None:
        log.faults.append("lost")
        await b.send_agent_message(PLAN, "A", "one", usage={"model": "m", "input_tokens": 5, "cost": "0.1"})
        assert b.statistics().usage == (AgentUsage(model="m", input_tokens=5, costs={"USD": Decimal("0.1")}),)
        log.error = LogFull("no room")
        await outcome(b.send_agent_message(PLAN, "A", "two", usage={"model": "m", "input_tokens": 7}))
        log.error = None
        await b.send_step_update(PLAN, "s", "completed", usage={"model": "m", "input_tokens": 1, "cost": "0.2"})
        await b.send_tool_call(PLAN, "B", "c", "look", "completed", usage={"output_tokens": 2})
        await b.send_plan_update(PLAN, status="completed")
        assert b.statistics().usage == (
            AgentUsage(model="m", input_tokens=6, costs={"USD": Decimal("0.3")}),
            AgentUsage(output_tokens=2),
        )


class TestClosing:
    async def test_queued_events_are_appended_first(self, log: FaultyLog) -> None:
        log.error = LogUnavailable("away")
        b = Broadcaster(log=log)
        tasks = sending(b, "one", "two")
        await until(lambda: log.calls)
        closing = asyncio.create_task(b.close())
        await asyncio.sleep(0)
        log.error = None
        await closing
        assert [place.offset for place in await asyncio.gather(*tasks)] == [1, 2]

    async def test_then_no_event_is_accepted(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log) as b:
            pass
        with pytest.raises(BroadcasterClosed):
            await b.send_agent_message(PLAN, "A", "too late")
        await b.close()

    async def test_it_waits_no_longer_than_the_deadline(self, log: FaultyLog, hasty: Broadcaster) -> None:
        log.gate.clear()
        (task,) = sending(hasty, "never answered")
        await until(lambda: log.calls)
        await hasty.close()
        assert isinstance(await outcome(task), LogUnavailable)
        assert hasty.statistics().queued_events == 0

    async def test_cancelled_it_ends_at_once(self, log: FaultyLog) -> None:
        b = Broadcaster(log=log, max_events=2)
        log.gate.clear()
        tasks = sending(b, "sent")
        await until(lambda: log.calls)
        tasks += sending(b, "queued", "waiting")
        await asyncio.sleep(0)
        closing = asyncio.create_task(b.close())
        await asyncio.sleep(0)
        closing.cancel()
        errors = [await outcome(task) for task in tasks]
        assert [type(error) for error in errors] == [BroadcasterClosed] * 3
        assert ["unknown" in str(error) for error in errors] == [True, False, False]

    async def test_a_task_cancelled_from_outside_leaves_no_sender_waiting(self, log: FaultyLog, b: Broadcaster) -> None:
        log.gate.clear()
        tasks = sending(b, "sent")
        await until(lambda: log.calls)
        cut_short()
        assert isinstance(await outcome(tasks[0]), BroadcasterClosed)
        log.gate.set()
        assert (await b.send_agent_message(PLAN, "A", "next")).offset == 1
        assert b.statistics().queued_events == 0

    async def test_an_event_sent_at_that_moment_is_delivered(self, log: FaultyLog, b: Broadcaster) -> None:
        """`asyncio.run` cancels all tasks at once: an agent's, which then reports it, and those of the outbox."""
        log.gate.clear()
        sent = sending(b, "sent")
        await until(lambda: log.calls)
        cut_short()
        last_words = sending(b, "I was", "cancelled")
        assert isinstance(await outcome(sent[0]), BroadcasterClosed)
        log.gate.set()
        assert [place.offset for place in await asyncio.gather(*last_words)] == [1, 2]
        assert b.statistics().queued_events == 0

    def test_it_belongs_to_one_event_loop(self, log_url: str) -> None:
        b = Broadcaster(log_url)
        asyncio.run(_send_and_close(b))
        with pytest.raises(RuntimeError, match="event loop"):
            asyncio.run(_send_and_close(b))


async def _send_and_close(b: Broadcaster) -> None:
    try:
        await b.send_agent_message(PLAN, "A", "hello")
    finally:
        await b._log.close()


# ---- any faults

SENDERS = 8
fault_lists = st.lists(st.sampled_from(["fine", "refused", "lost", "late"]), max_size=60)
sizes = st.lists(st.sampled_from([1, 50, 3_000, 150_000]), min_size=1, max_size=6)


def check_with_faults(faults: list[Fault], plans: list[list[int]], deadline: float, seed: int) -> None:
    with TemporaryDirectory() as folder, patch.object(supervision, "LONGEST", 0.02):
        asyncio.run(_check_with_faults(f"sqlite:///{Path(folder) / 'plans.db'}", faults, plans, deadline, seed))


async def _check_with_faults(url: str, faults: list[Fault], plans: list[list[int]], deadline: float, seed: int) -> None:
    log = FaultyLog(log_of(url))
    await log.open()
    log.faults = deque(faults)
    chance = random.Random(seed)
    acknowledged: dict[str, Position] = {}
    given_up: set[str] = set()

    async with Broadcaster(log=log, deadline=deadline, max_events=5) as b:

        async def sender(who: int, lengths: list[int]) -> None:
            for n, length in enumerate(lengths):
                names = [f"{who}.{n}.{part}." for part in range(chance.choice([1, 1, 3]))]
                try:
                    places = await b.send_all(
                        plan := f"plan-{who % 2}", [_event(plan, name + "x" * length) for name in names]
                    )
                except LogUnavailable:
                    given_up.update(names)
                else:
                    acknowledged.update(zip(names, places, strict=True))
                    assert [place.offset - places[0].offset for place in places] == [*range(len(names))]
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)

        await asyncio.gather(*(sender(who, lengths) for who, lengths in enumerate(plans)))
        assert b.statistics().waiting_senders == 0
    await log.settled()
    names = {plan: [said.rstrip("x") for said in await log.contents(plan)] for plan in ("plan-0", "plan-1")}
    await log.close()

    assert all(_whole(said) for said in names.values())
    counts = Counter(names["plan-0"] + names["plan-1"])
    assert all(counts[name] == 1 for name in acknowledged)
    assert all(counts[name] <= 1 for name in given_up)
    assert set(counts) <= acknowledged.keys() | given_up
    assert log.most_under_way <= 1
    for who in range(SENDERS):
        mine = [name for name in names[f"plan-{who % 2}"] if name.startswith(f"{who}.")]
        assert mine == sorted(mine)
    for name, place in acknowledged.items():
        assert names[f"plan-{int(name[0]) % 2}"][place.offset - 1] == name


def _whole(said: list[str]) -> bool:
    """The events of a run are next to each other, whether they were acknowledged or not."""
    begins = [name.endswith(".0.") for name in said]
    runs = [name.rpartition(".")[0].rpartition(".") for name in said]
    return all(
        begin or (runs[at][0] == runs[at - 1][0] and int(runs[at][2]) == int(runs[at - 1][2]) + 1)
        for at, begin in enumerate(begins)
    )


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    faults=fault_lists,
    plans=st.lists(sizes, min_size=SENDERS, max_size=SENDERS),
    deadline=st.sampled_from([0.05, 0.3, 20.0]),
    seed=st.integers(0, 1000),
)
def test_with_any_faults_every_acknowledged_event_is_there_once_and_in_its_senders_order(
    faults: list[Fault], plans: list[list[int]], deadline: float, seed: int
) -> None:
    check_with_faults(faults, plans, deadline, seed)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(
    faults=fault_lists,
    plans=st.lists(sizes, min_size=SENDERS, max_size=SENDERS),
    deadline=st.sampled_from([0.05, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
def test_with_many_faults(faults: list[Fault], plans: list[list[int]], deadline: float, seed: int) -> None:
    check_with_faults(faults, plans, deadline, seed)
