from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Coroutine
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
from tests.broadcasters.weather import Weather, WeatherLog, until

PLAN = "plan-1"


def _says(plan_id: str, content: str) -> AgentMessage:
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "A", "content": content})


def saying(b: Broadcaster, *contents: str, plan_id: str = PLAN) -> list[asyncio.Task[Position]]:
    return [asyncio.create_task(b.send_agent_message(plan_id, "A", content)) for content in contents]


async def outcome(task: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        await task
    return caught.value


def cut_short() -> None:
    """Somebody cancels all tasks there are, the outbox's among them."""
    for task in asyncio.all_tasks():
        if task.get_name().startswith("outbox of"):
            task.cancel()


class TestBatches:
    async def test_what_is_said_in_one_turn_goes_out_as_one_append(self, log: WeatherLog, b: Broadcaster) -> None:
        places = await asyncio.gather(*saying(b, "one", "two", "three"))
        assert [place.offset for place in places] == [1, 2, 3]
        assert [call.entries for call in log.calls] == [3]
        assert await log.said(PLAN) == ["one", "two", "three"]

    async def test_senders_in_a_loop_keep_together(self, log: WeatherLog, b: Broadcaster) -> None:
        async def sender() -> None:
            for _ in range(5):
                await b.send_agent_message(PLAN, "A", "again")

        await asyncio.gather(*(sender() for _ in range(8)))
        assert [call.entries for call in log.calls] == [8] * 5

    async def test_who_was_answered_just_now_goes_out_with_those_who_waited(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        async def sender() -> None:
            for _ in range(2):
                await b.send_agent_message(PLAN, "A", "again")

        await asyncio.gather(*(sender() for _ in range(300)))
        assert [call.entries for call in log.calls] == [256, 256, 88]

    async def test_an_append_is_bounded_in_events(self, log: WeatherLog, b: Broadcaster) -> None:
        await asyncio.gather(*saying(b, *(str(n) for n in range(600))))
        assert [call.entries for call in log.calls] == [256, 256, 88]
        assert await log.said(PLAN) == [str(n) for n in range(600)]

    async def test_an_append_is_bounded_in_bytes(self, log: WeatherLog, b: Broadcaster) -> None:
        await asyncio.gather(*saying(b, *("x" * 200_000 for _ in range(12))))
        assert [call.entries for call in log.calls] == [5, 5, 2]

    async def test_what_is_said_as_one_is_never_cut(self, log: WeatherLog, b: Broadcaster) -> None:
        log.gate.clear()
        tasks = saying(b, "first")
        await until(lambda: log.calls)
        tasks += saying(b, *(str(n) for n in range(200)))
        await until(lambda: b.statistics().queued_events == 201)
        run = [asyncio.create_task(b.send_all(PLAN, [_says(PLAN, "together") for _ in range(100)]))]
        await until(lambda: b.statistics().queued_events == 301)
        log.gate.set()
        await asyncio.gather(*run, *tasks)
        assert [call.entries for call in log.calls] == [1, 200, 100]

    async def test_what_is_said_as_one_waits_for_room_as_one(self, log: WeatherLog) -> None:
        async with Broadcaster(log=log, max_events=4) as b:
            log.gate.clear()
            tasks = saying(b, "first", "second", "third", "fourth")
            await until(lambda: log.calls)
            run = [asyncio.create_task(b.send_all(PLAN, [_says(PLAN, "together") for _ in range(6)]))]
            await until(lambda: b.statistics().waiting_senders == 6)
            log.gate.set()
            await asyncio.gather(*run, *tasks)
        assert [call.entries for call in log.calls] == [4, 6]

    async def test_one_append_a_plan_is_under_way_and_plans_go_side_by_side(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.gate.clear()
        tasks = saying(b, "one") + saying(b, "elsewhere", plan_id="plan-2")
        await until(lambda: len(log.calls) == 2)
        tasks += saying(b, "two")
        await asyncio.sleep(0)
        assert log.under_way == {PLAN: 1, "plan-2": 1}
        log.gate.set()
        await asyncio.gather(*tasks)
        assert log.most_under_way == 1
        assert await log.said(PLAN) == ["one", "two"]


class TestRetries:
    async def test_a_lost_reply_is_asked_for_again_and_nothing_is_stored_twice(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.forecast.extend(["lost", "lost"])
        places = await asyncio.gather(*saying(b, "one", "two"))
        assert [place.offset for place in places] == [1, 2]
        assert await log.said(PLAN) == ["one", "two"]
        assert {call.seq for call in log.calls} == {1}
        assert b.statistics().retries == 2

    async def test_back_before_the_deadline_all_is_delivered_once_and_in_order(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.error = LogUnavailable("away")
        tasks = saying(b, "one", "two")
        await until(lambda: len(log.calls) >= 2)
        tasks += saying(b, "three")
        await until(lambda: len(log.calls) >= 3)
        log.error = None
        assert [place.offset for place in await asyncio.gather(*tasks)] == [1, 2, 3]
        assert await log.said(PLAN) == ["one", "two", "three"]

    async def test_an_event_keeps_its_id_when_it_is_tried_again(self, log: WeatherLog, b: Broadcaster) -> None:
        log.forecast.append("lost")
        await asyncio.gather(*saying(b, "one", "two"))
        assert [event["id"] for event in await log.events(PLAN)] == ["tester.1", "tester.2"]

    async def test_a_full_log_is_told_to_those_in_that_append_and_the_next_goes_on(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.error = LogFull("no room")
        first, second = saying(b, "one", "two")
        assert isinstance(await outcome(first), LogFull)
        assert isinstance(await outcome(second), LogFull)
        log.error = None
        assert (await b.send_agent_message(PLAN, "A", "three")).offset == 1

    async def test_each_sender_gets_an_error_of_its_own(self, log: WeatherLog, b: Broadcaster) -> None:
        log.error = LogMisconfigured("wrong password")
        first, second = [await outcome(task) for task in saying(b, "one", "two")]
        assert first is not second
        assert first.__cause__ is second.__cause__ is log.error

    async def test_a_refusal_after_an_unanswered_try_leaves_open_what_was_stored(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.forecast.append("lost")
        (task,) = saying(b, "one")
        await until(lambda: len(log.calls) == 1 and not log.under_way[PLAN])
        log.error = LogFull("no room")
        error = await outcome(task)
        assert type(error) is LogUnavailable
        assert "unknown" in str(error)

    async def test_what_the_log_raises_by_mistake_reaches_the_sender(self, log: WeatherLog, b: Broadcaster) -> None:
        log.error = ZeroDivisionError()
        assert isinstance(await outcome(b.send_agent_message(PLAN, "A", "one")), ZeroDivisionError)
        log.error = None
        assert (await b.send_agent_message(PLAN, "A", "two")).offset == 1


class TestDeadlines:
    async def test_what_was_sent_is_unknown_and_what_was_not_is_safe_to_say_again(
        self, log: WeatherLog, hasty: Broadcaster
    ) -> None:
        log.gate.clear()
        (sent,) = saying(hasty, "sent")
        await until(lambda: log.calls)
        (queued,) = saying(hasty, "queued")
        assert "unknown" in str(await outcome(sent))
        assert "not sent" in str(await outcome(queued))
        assert hasty.statistics().longest_wait == 0, "nobody waits any more"
        log.gate.set()
        (later,) = saying(hasty, "later")
        assert (await later).offset == 2
        assert await log.said(PLAN) == ["sent", "later"]
        assert hasty.statistics().given_up == 2

    async def test_with_a_key_the_error_says_how_to_be_certain(self, log: WeatherLog, hasty: Broadcaster) -> None:
        log.error = LogUnavailable("away")
        error = await outcome(hasty.send_agent_message(PLAN, "A", "one", key="k"))
        assert "key" in str(error)
        assert "away" in str(error)

    async def test_an_append_nobody_waits_for_any_more_is_not_repeated(
        self, log: WeatherLog, hasty: Broadcaster
    ) -> None:
        log.error = LogUnavailable("away")
        assert isinstance(await outcome(hasty.send_agent_message(PLAN, "A", "one")), LogUnavailable)
        await until(lambda: hasty.statistics().queued_events == 0)
        log.error = None
        assert (await hasty.send_agent_message(PLAN, "A", "two")).offset == 1
        assert await log.said(PLAN) == ["two"]

    async def test_an_append_nobody_waits_for_any_more_holds_up_nobody(
        self, log: WeatherLog, hasty: Broadcaster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("broadcasters.outbox.pauses", lambda _: repeat(3600.0))
        log.forecast.extend(["refused", "refused"])
        assert isinstance(await outcome(hasty.send_agent_message(PLAN, "A", "given up")), LogUnavailable)
        (cancelled,) = saying(hasty, "cancelled")
        await until(lambda: len(log.calls) == 2)
        cancelled.cancel()
        (task,) = saying(hasty, "next")
        assert (await task).offset == 1

    async def test_one_deadline_passes_and_the_others_of_that_append_are_delivered(self, log: WeatherLog) -> None:
        log.forecast.append("fine")
        log.forecast.extend(["refused"] * 200)
        log.gate.clear()
        async with Broadcaster(log=log, deadline=1.0) as b:
            (opener,) = saying(b, "opener")
            await until(lambda: log.calls)
            (early,) = saying(b, "early")
            await until(lambda: b.statistics().longest_wait > 0.5)
            (late,) = saying(b, "late")
            await asyncio.sleep(0)
            log.gate.set()
            await opener
            assert "unknown" in str(await outcome(early))
            log.forecast.clear()
            assert (await late).offset == 3
        assert [call.entries for call in log.calls] == [1] + [2] * (len(log.calls) - 1)
        assert await log.said(PLAN) == ["opener", "early", "late"]

    async def test_what_arrives_late_of_an_abandoned_append_is_not_stored_behind_later_ones(
        self, log: WeatherLog, hasty: Broadcaster
    ) -> None:
        log.forecast.extend(["refused"] * 50)
        assert isinstance(await outcome(hasty.send_agent_message(PLAN, "A", "abandoned")), LogUnavailable)
        await until(lambda: hasty.statistics().queued_events == 0)
        abandoned = log.calls[-1]
        log.forecast.clear()
        await hasty.send_agent_message(PLAN, "A", "later")
        assert log.calls[-1].seq > abandoned.seq


class TestCancelledSenders:
    async def test_what_was_not_sent_is_withdrawn(self, log: WeatherLog, b: Broadcaster) -> None:
        log.gate.clear()
        (first,) = saying(b, "first")
        await until(lambda: log.calls)
        second, third = saying(b, "second", "third")
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert b.statistics().queued_events == 2
        log.gate.set()
        await asyncio.gather(first, third)
        assert await log.said(PLAN) == ["first", "third"]

    async def test_what_is_under_way_is_stored_and_its_neighbours_are_told(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.gate.clear()
        first, second = saying(b, "first", "second")
        await until(lambda: log.calls)
        first.cancel()
        await asyncio.wait([first])
        log.gate.set()
        assert (await second).offset == 2
        assert await log.said(PLAN) == ["first", "second"]

    async def test_when_all_are_gone_an_unanswered_append_is_not_repeated(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        log.error = LogUnavailable("away")
        (task,) = saying(b, "one")
        await until(lambda: log.calls)
        task.cancel()
        await until(lambda: b.statistics().queued_events == 0)
        log.error = None
        assert (await b.send_agent_message(PLAN, "A", "two")).offset == 1

    async def test_a_whole_batch_is_withdrawn(self, log: WeatherLog, b: Broadcaster) -> None:
        log.gate.clear()
        (first,) = saying(b, "first")
        await until(lambda: log.calls)
        task = asyncio.create_task(b.send_all(PLAN, [_says(PLAN, str(n)) for n in range(3)]))
        await until(lambda: b.statistics().queued_events == 4)
        task.cancel()
        await until(lambda: b.statistics().queued_events == 1)
        log.gate.set()
        await first
        assert await log.said(PLAN) == ["first"]


class TestRoom:
    async def test_when_it_is_full_senders_wait_in_order(self, log: WeatherLog) -> None:
        async with Broadcaster(log=log, max_events=4) as b:
            log.gate.clear()
            tasks = saying(b, *(str(n) for n in range(10)))
            await until(lambda: b.statistics().waiting_senders == 6)
            assert b.statistics().queued_events == 4
            log.gate.set()
            assert [place.offset for place in await asyncio.gather(*tasks)] == list(range(1, 11))
        assert await log.said(PLAN) == [str(n) for n in range(10)]

    async def test_bytes_are_bounded_too(self, log: WeatherLog) -> None:
        async with Broadcaster(log=log, max_bytes=300_000) as b:
            log.gate.clear()
            tasks = saying(b, *("x" * 100_000 for _ in range(4)))
            await until(lambda: b.statistics().waiting_senders == 2)
            assert b.statistics().queued_bytes <= 300_000
            log.gate.set()
            await asyncio.gather(*tasks)

    async def test_whoever_found_no_room_until_the_deadline_is_told_that_nothing_was_sent(
        self, log: WeatherLog, hasty: Broadcaster
    ) -> None:
        log.gate.clear()
        tasks = saying(hasty, *(str(n) for n in range(5)))
        error = await outcome(tasks[4])
        assert isinstance(error, OutboxFull)
        assert "not sent" in str(error)
        for task in tasks[:4]:
            assert not isinstance(await outcome(task), OutboxFull)

    async def test_nobody_overtakes_those_who_wait(self, log: WeatherLog) -> None:
        async with Broadcaster(log=log, max_bytes=300_000) as b:
            log.gate.clear()
            tasks = saying(b, "a" * 200_000, "b" * 200_000, "c")
            await until(lambda: b.statistics().waiting_senders == 2)
            log.gate.set()
            await asyncio.gather(*tasks)
        assert [said[0] for said in await log.said(PLAN)] == ["a", "b", "c"]

    async def test_what_was_given_up_gives_its_room_back(self, log: WeatherLog, hasty: Broadcaster) -> None:
        log.gate.clear()
        tasks = saying(hasty, "sent")
        await until(lambda: log.calls)
        tasks += saying(hasty, "queued", "queued too")
        for task in tasks:
            assert isinstance(await outcome(task), LogUnavailable)
        assert hasty.statistics().queued_events == 1  # the log has it, and has not answered yet
        log.gate.set()
        await until(lambda: hasty.statistics().queued_bytes == 0)

    async def test_a_cancelled_sender_leaves_the_line_and_gives_its_room_back(
        self, log: WeatherLog, b: Broadcaster
    ) -> None:
        async with Broadcaster(log=log, max_events=2) as b:
            log.gate.clear()
            sent, *rest = saying(b, "sent")
            await until(lambda: log.calls)
            queued, waiting, last = saying(b, "queued", "waiting", "last")
            await until(lambda: b.statistics().waiting_senders == 2)
            waiting.cancel()
            await until(lambda: b.statistics().waiting_senders == 1)
            queued.cancel()
            await until(lambda: b.statistics().waiting_senders == 0)
            log.gate.set()
            await asyncio.gather(sent, last, *rest)
        assert await log.said(PLAN) == ["sent", "last"]

    @pytest.mark.parametrize(
        "limits", [{"deadline": 0}, {"deadline": float("nan")}, {"max_events": 0}, {"max_bytes": 1000}]
    )
    async def test_limits_that_let_nothing_through_are_refused(self, log: WeatherLog, limits: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            Broadcaster(log=log, **limits)


class TestStatistics:
    async def test_they_say_how_it_stands(self, log: WeatherLog, b: Broadcaster) -> None:
        assert b.statistics().longest_wait == 0
        log.gate.clear()
        tasks = saying(b, "one")
        await until(lambda: log.calls)
        tasks += saying(b, "two", "three")
        await asyncio.sleep(0)
        now = b.statistics()
        assert (now.queued_events, now.events_under_way, now.appended) == (3, 1, 0)
        assert now.longest_wait > 0
        log.gate.set()
        await asyncio.gather(*tasks)
        after = b.statistics()
        assert (after.queued_events, after.queued_bytes, after.appends, after.appended) == (0, 0, 2, 3)


class TestClosing:
    async def test_what_was_said_is_brought_to_the_log_first(self, log: WeatherLog) -> None:
        log.error = LogUnavailable("away")
        b = Broadcaster(log=log)
        tasks = saying(b, "one", "two")
        await until(lambda: log.calls)
        closing = asyncio.create_task(b.close())
        await asyncio.sleep(0)
        log.error = None
        await closing
        assert [place.offset for place in await asyncio.gather(*tasks)] == [1, 2]

    async def test_then_nothing_more_is_taken(self, log: WeatherLog) -> None:
        async with Broadcaster(log=log) as b:
            pass
        with pytest.raises(BroadcasterClosed):
            await b.send_agent_message(PLAN, "A", "too late")
        await b.close()

    async def test_it_waits_no_longer_than_the_deadline(self, log: WeatherLog, hasty: Broadcaster) -> None:
        log.gate.clear()
        (task,) = saying(hasty, "never answered")
        await until(lambda: log.calls)
        await hasty.close()
        assert isinstance(await outcome(task), LogUnavailable)
        assert hasty.statistics().queued_events == 0

    async def test_cancelled_it_lets_go_at_once(self, log: WeatherLog) -> None:
        b = Broadcaster(log=log, max_events=2)
        log.gate.clear()
        tasks = saying(b, "sent")
        await until(lambda: log.calls)
        tasks += saying(b, "queued", "waiting")
        await asyncio.sleep(0)
        closing = asyncio.create_task(b.close())
        await asyncio.sleep(0)
        closing.cancel()
        errors = [await outcome(task) for task in tasks]
        assert [type(error) for error in errors] == [BroadcasterClosed] * 3
        assert ["unknown" in str(error) for error in errors] == [True, False, False]

    async def test_a_task_cut_short_by_others_leaves_nobody_waiting(self, log: WeatherLog, b: Broadcaster) -> None:
        log.gate.clear()
        tasks = saying(b, "sent")
        await until(lambda: log.calls)
        cut_short()
        assert isinstance(await outcome(tasks[0]), BroadcasterClosed)
        log.gate.set()
        assert (await b.send_agent_message(PLAN, "A", "next")).offset == 1
        assert b.statistics().queued_events == 0

    async def test_what_is_said_at_that_moment_is_delivered(self, log: WeatherLog, b: Broadcaster) -> None:
        """`asyncio.run` cancels all tasks at once: an agent's, which then says so, and those of the outbox."""
        log.gate.clear()
        sent = saying(b, "sent")
        await until(lambda: log.calls)
        cut_short()
        last_words = saying(b, "I was", "cancelled")
        assert isinstance(await outcome(sent[0]), BroadcasterClosed)
        log.gate.set()
        assert [place.offset for place in await asyncio.gather(*last_words)] == [1, 2]
        assert b.statistics().queued_events == 0

    def test_it_belongs_to_one_event_loop(self, log_url: str) -> None:
        b = Broadcaster(log_url)
        asyncio.run(_send_and_let_go(b))
        with pytest.raises(RuntimeError, match="event loop"):
            asyncio.run(_send_and_let_go(b))


async def _send_and_let_go(b: Broadcaster) -> None:
    try:
        await b.send_agent_message(PLAN, "A", "hello")
    finally:
        await b._log.close()


# ---- any weather

SENDERS = 8
weathers = st.lists(st.sampled_from(["fine", "refused", "lost", "late"]), max_size=60)
sizes = st.lists(st.sampled_from([1, 50, 3_000, 150_000]), min_size=1, max_size=6)


def storm(forecast: list[Weather], plans: list[list[int]], deadline: float, seed: int) -> None:
    with TemporaryDirectory() as folder, patch.object(supervision, "LONGEST", 0.02):
        asyncio.run(_storm(f"sqlite:///{Path(folder) / 'plans.db'}", forecast, plans, deadline, seed))


async def _storm(url: str, forecast: list[Weather], plans: list[list[int]], deadline: float, seed: int) -> None:
    log = WeatherLog(log_of(url))
    await log.open()
    log.forecast = deque(forecast)
    chance = random.Random(seed)
    acknowledged: dict[str, Position] = {}
    given_up: set[str] = set()

    async with Broadcaster(log=log, deadline=deadline, max_events=5) as b:

        async def sender(who: int, lengths: list[int]) -> None:
            for n, length in enumerate(lengths):
                names = [f"{who}.{n}.{part}." for part in range(chance.choice([1, 1, 3]))]
                try:
                    places = await b.send_all(
                        plan := f"plan-{who % 2}", [_says(plan, name + "x" * length) for name in names]
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
    await log.calm()
    names = {plan: [said.rstrip("x") for said in await log.said(plan)] for plan in ("plan-0", "plan-1")}
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
    """The parts of what was said as one stand side by side, whatever became of their acknowledgement."""
    begins = [name.endswith(".0.") for name in said]
    runs = [name.rpartition(".")[0].rpartition(".") for name in said]
    return all(
        begin or (runs[at][0] == runs[at - 1][0] and int(runs[at][2]) == int(runs[at - 1][2]) + 1)
        for at, begin in enumerate(begins)
    )


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    forecast=weathers,
    plans=st.lists(sizes, min_size=SENDERS, max_size=SENDERS),
    deadline=st.sampled_from([0.05, 0.3, 20.0]),
    seed=st.integers(0, 1000),
)
def test_in_any_weather_every_acknowledged_event_is_there_once_and_in_its_senders_order(
    forecast: list[Weather], plans: list[list[int]], deadline: float, seed: int
) -> None:
    storm(forecast, plans, deadline, seed)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(
    forecast=weathers,
    plans=st.lists(sizes, min_size=SENDERS, max_size=SENDERS),
    deadline=st.sampled_from([0.05, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
def test_in_much_weather(forecast: list[Weather], plans: list[list[int]], deadline: float, seed: int) -> None:
    storm(forecast, plans, deadline, seed)
