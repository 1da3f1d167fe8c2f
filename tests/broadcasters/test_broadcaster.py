from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import broadcasters
from broadcasters import Broadcaster, BroadcasterClosed, InvalidEvent, LogMisconfigured, LogUnavailable, Position
from broadcasters.events import AgentMessage, PlanUpdate, build
from broadcasters.log import LazyLog, log_of
from broadcasters.log.contract import CHECKPOINT_EVERY
from broadcasters.log.sqlite import file as sqlite_file
from tests.broadcasters.faults import FaultyLog
from tests.servers import eventually

PLAN = "plan-1"


async def last(log: FaultyLog, plan_id: str = PLAN) -> dict[str, Any]:
    """The last event's type and data, without plan_id and timestamp."""
    event = (await log.events(plan_id))[-1]
    data = {field: value for field, value in event["data"].items() if field not in {"plan_id", "timestamp"}}
    return {"type": event["type"], **data}


class TestTheSeedsCalls:
    """Every call that the seed's functions accept has the same meaning here."""

    async def test_plan_update_by_position(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_plan_update(PLAN, "step-1", "Data Analyst", "Looking…", "completed", "result")
        assert await last(log) == {
            "type": "plan_update",
            "step_id": "step-1",
            "agent_name": "Data Analyst",
            "content": "Looking…",
            "status": "completed",
            "message_type": "result",
        }

    async def test_plan_update_by_keyword_with_defaults(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_plan_update(plan_id=PLAN, step_id="", agent_name="A", content="c")
        assert await last(log) == {
            "type": "plan_update",
            "agent_name": "A",
            "content": "c",
            "status": "in_progress",
            "message_type": "action",
        }

    async def test_agent_message(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_agent_message(PLAN, "A", "hm")
        assert await last(log) == {
            "type": "agent_message",
            "agent_name": "A",
            "content": "hm",
            "message_type": "thinking",
        }
        await b.send_agent_message(PLAN, "A", "done", "result")
        assert (await last(log))["message_type"] == "result"

    async def test_step_update(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_step_update(PLAN, "step-1", "in_progress", "working")
        assert await last(log) == {
            "type": "step_update",
            "step_id": "step-1",
            "status": "in_progress",
            "content": "working",
        }
        await b.send_step_update(PLAN, "step-1", "completed")
        assert (await last(log))["content"] == ""


class TestVerbs:
    async def test_a_position_is_returned_once_the_event_is_in_the_log(self, log: FaultyLog, b: Broadcaster) -> None:
        place = await b.send_plan_update(PLAN)
        assert isinstance(place, Position)
        assert place == (await log.head(PLAN)).position

    async def test_everything_of_a_plan_update(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_plan_update(
            PLAN, title="T", progress=5, data={"n": (1, 2)}, owner="o", labels=("x", "y"), message_type=None
        )
        assert await last(log) == {
            "type": "plan_update",
            "status": "in_progress",
            "title": "T",
            "progress": 5.0,
            "data": {"n": [1, 2]},
            "owner": "o",
            "labels": ["x", "y"],
        }
        (entry,) = (await log.plans(owner="o")).plans
        assert (entry.plan_id, entry.title, entry.labels) == (PLAN, "T", ("x", "y"))

    async def test_everything_of_a_step_update(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_step_update(
            PLAN,
            "s",
            "retrying",
            title="T",
            progress=1,
            attempt=2,
            max_attempts=3,
            needs=("r",),
            agent_name="A",
            data={},
        )
        assert await last(log) == {
            "type": "step_update",
            "step_id": "s",
            "status": "retrying",
            "content": "",
            "title": "T",
            "progress": 1.0,
            "attempt": 2,
            "max_attempts": 3,
            "needs": ["r"],
            "agent_name": "A",
            "data": {},
        }

    async def test_tool_call(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_tool_call(PLAN, "A", "c-1", "search", arguments={"q": 1}, step_id="s")
        assert await last(log) == {
            "type": "tool_call",
            "agent_name": "A",
            "call_id": "c-1",
            "tool_name": "search",
            "phase": "started",
            "arguments": {"q": 1},
            "step_id": "s",
        }
        await b.send_tool_call(PLAN, "A", "c-1", "search", "completed", result=[1])
        assert (await last(log))["result"] == [1]

    async def test_artifact(self, log: FaultyLog, b: Broadcaster) -> None:
        await b.send_artifact(PLAN, "a-1", "report.pdf", "application/pdf", url="https://x/y")
        assert await last(log) == {
            "type": "artifact",
            "artifact_id": "a-1",
            "name": "report.pdf",
            "mime_type": "application/pdf",
            "url": "https://x/y",
        }

    async def test_input_request_and_response(self, log: FaultyLog, b: Broadcaster) -> None:
        moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
        await b.send_input_request(
            PLAN, "r-1", "choice", "Which?", options=("a", "b"), schema={"type": "string"}, expires_at=moment
        )
        assert await last(log) == {
            "type": "input_request",
            "request_id": "r-1",
            "kind": "choice",
            "prompt": "Which?",
            "options": ["a", "b"],
            "schema": {"type": "string"},
            "expires_at": "2026-01-31T12:00:00.000Z",
        }
        await b.send_input_response(PLAN, "r-1", "a", by="Ada", at=moment)
        assert await last(log) == {
            "type": "input_response",
            "request_id": "r-1",
            "answer": "a",
            "by": "Ada",
            "at": "2026-01-31T12:00:00.000Z",
        }

    @pytest.mark.parametrize(
        ("say", "field"),
        [
            (lambda b: b.send_plan_update("a b"), "plan_id"),
            (lambda b: b.send_plan_update(PLAN, status="begun"), "status"),
            (lambda b: b.send_plan_update(PLAN, labels="one"), "labels"),
            (lambda b: b.send_plan_update(PLAN, timestamp=datetime(2026, 1, 1)), "timestamp"),
            (lambda b: b.send_agent_message(PLAN, "", "c"), "agent_name"),
            (lambda b: b.send_agent_message(PLAN, "A", "\ud800"), "content"),
            (lambda b: b.send_agent_message(PLAN, "A", "x" * 300_000), "content"),
            (lambda b: b.send_step_update(PLAN, "s", "completed", progress=float("nan")), "progress"),
            (lambda b: b.send_artifact(PLAN, "a", "n", "m", data="x" * 300_000), "artifact"),
            (lambda b: b.send_plan_update(PLAN, key=""), "key"),
            (lambda b: b.send_plan_update(PLAN, key="k" * 257), "key"),
            (lambda b: b.send_plan_update(PLAN, key="line\nbreak"), "key"),
            (lambda b: b.send({"type": "plan_update"}), "event"),
        ],
    )
    async def test_what_is_invalid_is_refused_before_anything_is_sent(
        self, log: FaultyLog, b: Broadcaster, say: Callable[[Broadcaster], Any], field: str
    ) -> None:
        with pytest.raises(InvalidEvent) as refused:
            await say(b)
        assert refused.value.field.partition(".")[0] == field
        assert log.calls == []

    async def test_ids_are_the_producers_name_and_its_count(self, log: FaultyLog, b: Broadcaster) -> None:
        await asyncio.gather(b.send_plan_update(PLAN), b.send_plan_update("plan-2"))
        ids = [(await log.events(plan_id))[0]["id"] for plan_id in (PLAN, "plan-2")]
        assert ids == ["tester.1", "tester.2"]

    @pytest.mark.parametrize("producer", ["", 'an "agent"', "DOMAIN\\agent", "an\nagent", "a" * 129, "\ud800"])
    async def test_a_name_that_an_id_can_not_contain_is_refused(self, log: FaultyLog, producer: str) -> None:
        with pytest.raises(ValueError, match="producer"):
            Broadcaster(log=log, producer=producer)

    async def test_a_name_that_another_has_used_is_noticed(self, log: FaultyLog) -> None:
        """Such as by a program that is restarted with a fixed name."""
        async with Broadcaster(log=log, producer="given") as b:
            for _ in range(3):
                await b.send_plan_update(PLAN)
        async with Broadcaster(log=log, producer="given") as again:
            with pytest.raises(LogMisconfigured, match="'given'"):
                await again.send_plan_update(PLAN)

    async def test_two_broadcasters_never_share_a_name(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log) as one, Broadcaster(log=log) as other:
            await one.send_plan_update(PLAN)
            await other.send_plan_update(PLAN)
        first, second = (call.producer for call in log.calls)
        assert first != second
        assert len(first) * 5.95 >= 72  # bits

    async def test_under_one_key_there_is_one_event_from_any_sender(self, log: FaultyLog, b: Broadcaster) -> None:
        place = await b.send_agent_message(PLAN, "A", "once", key="run-1.step-2")
        async with Broadcaster(log=log) as other:
            assert await other.send_agent_message(PLAN, "A", "once", key="run-1.step-2") == place
        assert await log.contents(PLAN) == ["once"]


class TestSendAll:
    async def test_they_stand_side_by_side(self, log: FaultyLog, b: Broadcaster) -> None:
        events = [build(AgentMessage, {"plan_id": PLAN, "agent_name": "A", "content": str(n)}) for n in range(5)]
        places = await b.send_all(PLAN, iter(events))
        assert [place.offset for place in places] == [1, 2, 3, 4, 5]
        assert [call.entries for call in log.calls] == [5]
        assert list(await b.send_all(PLAN, [])) == []

    async def test_with_a_key_the_whole_call_may_be_repeated(self, log: FaultyLog, b: Broadcaster) -> None:
        events = [build(AgentMessage, {"plan_id": PLAN, "agent_name": "A", "content": str(n)}) for n in range(3)]
        assert await b.send_all(PLAN, events, key="k") == await b.send_all(PLAN, events, key="k")
        assert await log.contents(PLAN) == ["0", "1", "2"]

    async def test_all_are_checked_before_the_first_is_sent(self, log: FaultyLog, b: Broadcaster) -> None:
        mine, other = build(PlanUpdate, {"plan_id": PLAN}), build(PlanUpdate, {"plan_id": "plan-2"})
        with pytest.raises(InvalidEvent, match="plan-2"):
            await b.send_all(PLAN, [mine, other])
        assert log.calls == []

    async def test_too_much_for_one_append_goes_in_several_or_not_at_all(self, log: FaultyLog, b: Broadcaster) -> None:
        events = [build(PlanUpdate, {"plan_id": PLAN})] * 300
        with pytest.raises(InvalidEvent, match="256"):
            await b.send_all(PLAN, events, whole=True)
        assert log.calls == []
        await b.send_all(PLAN, events)
        assert [call.entries for call in log.calls] == [256, 44]


class TestOpening:
    async def test_an_unknown_url_is_found_at_once(self) -> None:
        with pytest.raises(LogMisconfigured, match="PLANCAST_LOG"):
            Broadcaster("carrier-pigeon://")

    async def test_a_url_that_can_not_be_read_is_found_at_once(self) -> None:
        with pytest.raises(LogMisconfigured, match="PLANCAST_LOG") as caught:
            Broadcaster("redis://agent:hun[ter2@cache")
        assert "hun" not in str(caught.value)

    async def test_a_line_break_after_a_url_is_ignored(self, log_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PLANCAST_LOG", f"{log_url}\n")
        async with Broadcaster() as b, Broadcaster(log_url) as same:
            await b.send_plan_update(PLAN)
            assert (await same.send_plan_update(PLAN)).offset == 2

    async def test_without_a_home_it_asks_for_a_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def homeless() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("PLANCAST_LOG", raising=False)
        monkeypatch.setattr(Path, "home", homeless)
        with pytest.raises(LogMisconfigured, match="PLANCAST_LOG"):
            Broadcaster()

    async def test_a_url_or_a_log_but_not_both(self, log: FaultyLog, log_url: str) -> None:
        with pytest.raises(ValueError):
            Broadcaster(log_url, log=log)

    async def test_opening_a_log_that_can_not_be_opened_raises(self) -> None:
        with pytest.raises(LogMisconfigured):
            async with Broadcaster("sqlite:////dev/null/plans.db"):
                pytest.fail("opened")

    async def test_the_first_event_opens_it(self, log_url: str) -> None:
        b = Broadcaster(log_url)
        assert (await b.send_plan_update(PLAN)).offset == 1
        await b.close()

    async def test_the_sender_gets_the_error_of_opening_the_log(self) -> None:
        b = Broadcaster("sqlite:////dev/null/plans.db")
        with pytest.raises(LogMisconfigured):
            await b.send_plan_update(PLAN)
        await b.close()

    async def test_without_a_server_it_is_unavailable_at_the_deadline(self, free_port: int) -> None:
        with pytest.raises(LogUnavailable, match=r"0\.3 s"):
            async with Broadcaster(f"redis://127.0.0.1:{free_port}", deadline=0.3):
                pytest.fail("opened")
        b = Broadcaster(f"redis://127.0.0.1:{free_port}", deadline=0.3)
        with pytest.raises(LogUnavailable, match="not sent"):
            await b.send_plan_update(PLAN)
        await b.close()

    async def test_a_lent_log_is_left_open(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log) as b:
            await b.send_plan_update(PLAN)
        assert (await log.head(PLAN)).offset == 1


class TestReading:
    async def test_its_log_can_be_read(self, log_url: str) -> None:
        async with Broadcaster(log_url) as b:
            place = await b.send_plan_update(PLAN)
            async with b.reading() as log:
                assert (await log.head(PLAN)).position == place

    async def test_the_log_is_not_closed_while_it_is_read(self, log_url: str) -> None:
        async with Broadcaster(log_url) as b:
            async with b.reading() as log:
                holding = asyncio.create_task(b.hold())
                await asyncio.sleep(0)
                assert (await log.head(PLAN)).offset == 0
                assert not holding.done()
            await holding
            b.resume()


def threads_of_logs() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("plancast-log")}


class TestHolding:
    async def test_while_held_the_log_is_closed_and_events_wait(self, log_url: str) -> None:
        before = {*threading.enumerate()}
        async with Broadcaster(log_url) as b:
            await b.send_plan_update(PLAN)
            await b.hold()
            assert threads_of_logs() - before == set()
            waiting = asyncio.create_task(b.send_plan_update(PLAN))
            await asyncio.sleep(0)
            b.resume()
            assert (await waiting).offset == 2

    async def test_it_waits_for_what_is_under_way(self, log: FaultyLog) -> None:
        lazy = LazyLog(log, lambda: log)
        assert await lazy.enter() is log
        holding = asyncio.create_task(lazy.hold())
        await asyncio.sleep(0)
        assert not holding.done()
        lazy.leave()
        await holding

    async def test_a_reader_that_outlives_it_does_not_open_the_log_again(self, log_url: str) -> None:
        """A bug once: a run that went on after `close` left the threads of a log behind."""
        before = {*threading.enumerate()}
        b = Broadcaster(log_url)
        opening = asyncio.create_task(b.reading().__aenter__())
        await asyncio.sleep(0)
        await b.close()
        with pytest.raises(BroadcasterClosed):
            await opening
        for reads in (b.reading, b.following):
            with pytest.raises(BroadcasterClosed, match="use one that is open"):
                async with reads():
                    pass
        assert threads_of_logs() - before == set()

    async def test_held_while_opening(self, log_url: str) -> None:
        lazy = LazyLog(None, lambda: log_of(log_url))
        entering = asyncio.create_task(lazy.enter())
        await asyncio.sleep(0)
        await lazy.hold()
        lazy.resume()
        log = await entering
        assert (await log.head(PLAN)).offset == 0
        lazy.leave()
        await lazy.close()


class TestCheckpoints:
    async def test_a_checkpoint_is_taken_when_it_is_due(self, log: FaultyLog) -> None:
        async with Broadcaster(log=log) as b:
            await asyncio.gather(*(b.send_agent_message(PLAN, "A", "hm") for _ in range(CHECKPOINT_EVERY)))
        kept = await log.checkpoint(PLAN)
        assert kept is not None
        assert kept.position.offset == CHECKPOINT_EVERY

    async def test_when_it_fails_senders_do_not_notice(
        self, log: FaultyLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def refuse(*_: object) -> bool:
            raise LogUnavailable("no checkpoint today")

        monkeypatch.setattr(log, "keep_checkpoint", refuse)
        with caplog.at_level(logging.WARNING, "broadcasters"):
            async with Broadcaster(log=log) as b:
                for _ in range(3):
                    await asyncio.gather(*(b.send_agent_message(PLAN, "A", "hm") for _ in range(CHECKPOINT_EVERY)))
        assert "no checkpoint today" in caplog.text
        assert (await log.head(PLAN)).offset == 3 * CHECKPOINT_EVERY


class TestTheDefault:
    @pytest.fixture(autouse=True)
    def configured(self, log_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("PLANCAST_LOG", log_url)
        before = threading.active_count()
        yield
        assert threading.active_count() == before

    def test_it_is_closed_with_each_event_loop(self) -> None:
        offsets = [asyncio.run(broadcasters.send_plan_update(PLAN)).offset for _ in range(3)]
        assert offsets == [1, 2, 3]
        assert threading.active_count() == 1

    def test_it_ends_with_an_event_loop_that_was_just_closed(
        self, log_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in many Celery tasks, which don't close async generators first, as `asyncio.run` does."""
        monkeypatch.setattr(sqlite_file, "LOOK_S", 0.05)

        def speak(url: str) -> None:
            monkeypatch.setenv("PLANCAST_LOG", url)
            loop = asyncio.new_event_loop()
            loop.run_until_complete(broadcasters.send_plan_update(PLAN))
            loop.close()

        for _ in range(3):
            speak(f"{log_url}?ttl=never")  # then there is no pending task that asyncio would complain about
        asyncio.run(broadcasters.send_plan_update(PLAN))  # the last one is dropped when the next one opens
        eventually("its threads have ended", lambda: gc.collect() >= 0 and threading.active_count() == 1)

    async def test_all_verbs_use_it(self) -> None:
        before = {thread.name for thread in threading.enumerate()}
        await broadcasters.send_agent_message(PLAN, "A", "c")
        await broadcasters.send_step_update(PLAN, "s", "pending")
        await broadcasters.send_all(PLAN, [build(PlanUpdate, {"plan_id": PLAN})])
        async with broadcasters.message(PLAN, "A") as m:
            await m.write("…")
        assert (await broadcasters.send(build(PlanUpdate, {"plan_id": PLAN}))).offset == 5
        await broadcasters.close_default()
        assert {thread.name for thread in threading.enumerate()} == before
        assert (await broadcasters.send_plan_update(PLAN)).offset == 6
        await broadcasters.close_default()
        await broadcasters.close_default()

    async def test_many_tasks_can_open_it_at_once(self) -> None:
        places = await asyncio.gather(*(broadcasters.send_plan_update(PLAN) for _ in range(20)))
        assert sorted(place.offset for place in places) == list(range(1, 21))
        await broadcasters.close_default()

    def test_a_main_that_ends_early_leaves_no_thread(self) -> None:
        async def main() -> None:
            asyncio.create_task(broadcasters.send_plan_update(PLAN)).add_done_callback(lambda _: None)
            await asyncio.sleep(0)

        asyncio.run(main())
        asyncio.run(main())
        assert threading.active_count() == 1

    def test_two_threads_have_two_event_loops(self) -> None:
        places = [asyncio.run(broadcasters.send_plan_update(PLAN))]

        def speak() -> None:
            places.append(asyncio.run(broadcasters.send_plan_update(PLAN)))

        threads = [threading.Thread(target=speak) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(place.offset for place in places) == [1, 2, 3, 4, 5]


class TestPublicNames:
    def test_each_is_there(self) -> None:
        for name in broadcasters.__all__:
            assert getattr(broadcasters, name) is not None
        assert dir(broadcasters) == sorted(broadcasters.__all__)
        with pytest.raises(AttributeError):
            broadcasters.nonsense  # noqa: B018

    def test_the_verbs_are_coroutine_functions_with_their_own_signatures(self) -> None:
        for name in broadcasters.__all__:
            if name.startswith("send"):
                verb = getattr(broadcasters, name)
                assert inspect.iscoroutinefunction(verb)
                assert "key" in inspect.signature(verb).parameters

    @pytest.mark.parametrize(
        ("code", "unwanted"),
        [
            ("import broadcasters", ["pydantic", "redis", "hiredis", "httpx", "asyncio", "fastapi"]),
            (
                "from broadcasters import send_plan_update",
                ["redis", "hiredis", "httpx", "fastapi", "starlette", "sqlite3"],
            ),
        ],
    )
    def test_importing_them_is_light(self, code: str, unwanted: list[str]) -> None:
        show = f"{code}; import sys, json; print(json.dumps([m for m in {unwanted} if m in sys.modules]))"
        done = subprocess.run([sys.executable, "-c", show], capture_output=True, check=True, env={**os.environ})
        assert json.loads(done.stdout) == []
