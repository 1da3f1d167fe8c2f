from __future__ import annotations

import asyncio
import inspect
import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import flask
import pytest
from werkzeug.serving import make_server

from broadcasters import BroadcasterClosed, InvalidEvent, LogMisconfigured, LogUnavailable, blocking
from broadcasters.blocking import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.events import PlanUpdate, build
from broadcasters.log import log_of
from broadcasters.snapshot import Snapshot

PLAN = "plan-1"


older: set[threading.Thread] = set()
"""Threads of other tests of the same process."""


@pytest.fixture(autouse=True)
def _only_threads_of_the_test() -> None:
    older.clear()
    older.update(threading.enumerate())


def stations() -> list[str]:
    """The names of our threads that this test has started."""
    return [one.name for one in threading.enumerate() if one.name.startswith("plancast") and one not in older]


@pytest.fixture
def b(log_url: str) -> Iterator[Broadcaster]:
    with Broadcaster(log_url) as broadcaster:
        yield broadcaster
    assert stations() == []


@pytest.fixture
def default(log_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PLANCAST_LOG", log_url)
    blocking.close_default()
    yield
    blocking.close_default()
    assert stations() == []


def contents(log_url: str, plan_id: str = PLAN) -> list[str]:
    async def read() -> list[str]:
        log = log_of(log_url)
        await log.open()
        said: list[str] = []
        while page := (await log.read(plan_id, len(said), 1000)).payloads:
            said += [json.loads(payload)["data"].get("content") for payload in page]
        await log.close()
        return said

    return asyncio.run(read())


def folded(log_url: str, plan_id: str = PLAN) -> Snapshot:
    async def fold() -> Snapshot:
        log = log_of(log_url)
        await log.open()
        snapshot, _ = await snapshot_of(log, plan_id)
        await log.close()
        return snapshot

    return asyncio.run(fold())


class TestVerbs:
    def test_each_returns_a_position(self, b: Broadcaster) -> None:
        places = [
            b.send_plan_update(PLAN, "step-1", "A", "Looking…", "in_progress", "action"),
            b.send_agent_message(PLAN, "A", "hm"),
            b.send_step_update(PLAN, "step-1", "completed"),
            b.send_tool_call(PLAN, "A", "c-1", "search"),
            b.send_artifact(PLAN, "a-1", "report.pdf", "application/pdf", url="https://x/y"),
            b.send_input_request(PLAN, "r-1", "approval", "May I?"),
            b.send_input_response(PLAN, "r-1", True),
            b.send(build(PlanUpdate, {"plan_id": PLAN})),
            *b.send_all(PLAN, [build(PlanUpdate, {"plan_id": PLAN})]),
        ]
        assert [place.offset for place in places] == list(range(1, 10))
        assert b.statistics().appended == 9

    def test_what_is_invalid_is_refused(self, b: Broadcaster) -> None:
        with pytest.raises(InvalidEvent, match="status"):
            b.send_plan_update(PLAN, status="begun")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="nonsense"):
            b.send_plan_update(PLAN, nonsense=1)  # type: ignore[call-arg]

    def test_they_have_the_signatures_of_the_awaited_ones(self) -> None:
        import broadcasters

        for name in blocking.__all__:
            if name.startswith("send"):
                awaited = inspect.signature(getattr(broadcasters, name))
                assert inspect.signature(getattr(blocking, name)) == awaited
                assert not inspect.iscoroutinefunction(getattr(blocking, name))

    def test_under_one_key_there_is_one_event(self, b: Broadcaster, log_url: str) -> None:
        assert b.send_agent_message(PLAN, "A", "once", key="k") == b.send_agent_message(PLAN, "A", "once", key="k")
        assert contents(log_url) == ["once"]

    def test_inside_a_running_event_loop_they_raise_and_name_the_alternative(self, b: Broadcaster) -> None:
        async def main() -> None:
            with pytest.raises(RuntimeError, match="await"):
                b.send_plan_update(PLAN)
            with pytest.raises(RuntimeError, match="await"):
                b.message(PLAN, "A")
            place = await asyncio.to_thread(b.send_plan_update, PLAN)
            assert place.offset == 1

        asyncio.run(main())


class TestManyThreads:
    def test_a_thread_pool_sends_a_thousand_events_and_none_is_lost(self, b: Broadcaster, log_url: str) -> None:
        with ThreadPoolExecutor(16) as pool:
            places = list(pool.map(lambda n: b.send_agent_message(PLAN, "A", str(n)), range(1000)))
        assert sorted(place.offset for place in places) == list(range(1, 1001))
        said = contents(log_url)
        assert [said[place.offset - 1] for place in places] == [str(n) for n in range(1000)]

    @pytest.mark.usefixtures("default")
    def test_a_flask_route(self, log_url: str) -> None:
        app = flask.Flask(__name__)

        @app.post("/say/<plan_id>")
        def say(plan_id: str) -> dict[str, int]:
            place = blocking.send_agent_message(plan_id, "Web", flask.request.get_data(as_text=True))
            return {"offset": place.offset}

        server = make_server("127.0.0.1", 0, app, threaded=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()

        def ask(n: int) -> int:
            url = f"http://127.0.0.1:{server.server_port}/say/{PLAN}"
            with urlopen(Request(url, data=str(n).encode(), method="POST"), timeout=60) as answer:
                offset: int = json.load(answer)["offset"]
                return offset

        try:
            with ThreadPoolExecutor(8) as pool:
                offsets = list(pool.map(ask, range(200)))
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
        said = contents(log_url)
        assert [said[offset - 1] for offset in offsets] == [str(n) for n in range(200)]
        assert len(said) == 200

    def test_threads_that_begin_it_together_share_it(self, log_url: str) -> None:
        with Broadcaster(log_url) as b, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: b.send_plan_update(PLAN), range(8)))
            assert stations().count("plancast broadcaster") == 1


class TestMessages:
    def test_a_message_is_written_piece_by_piece(self, b: Broadcaster, log_url: str) -> None:
        with b.message(PLAN, "A", "result") as m:
            for n in range(50):
                m.write(f"{n} ")
        (message,) = folded(log_url).messages
        assert (message.message_id, message.content) == (m.message_id, "".join(f"{n} " for n in range(50)))
        assert not message.streaming

    def test_closed_with_an_error_mark_when_the_agent_fails(self, b: Broadcaster, log_url: str) -> None:
        def fail() -> None:
            with b.message(PLAN, "A") as m:
                m.write("so far")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        (message,) = folded(log_url).messages
        assert (message.content, message.error) == ("so far", "the agent failed: ZeroDivisionError")

    def test_the_agents_own_exception_goes_on_when_the_broadcaster_was_closed(self, log_url: str) -> None:
        def fail(error: Exception | None) -> None:
            b = Broadcaster(log_url)
            with b.message(PLAN, "A"):
                b.close()
                if error:
                    raise error

        with pytest.raises(ZeroDivisionError):
            fail(ZeroDivisionError())
        with pytest.raises(BroadcasterClosed):
            fail(None)

    @pytest.mark.usefixtures("default")
    def test_through_the_default(self, log_url: str) -> None:
        with blocking.message(PLAN, "A") as m:
            m.write("hello")
        assert "".join(contents(log_url)) == "hello"


class TestOpeningAndClosing:
    def test_no_thread_starts_before_the_first_event(self, log_url: str) -> None:
        with Broadcaster(log_url):
            assert stations() == []

    def test_the_error_of_opening_the_log_is_raised(self) -> None:
        with Broadcaster("sqlite:////dev/null/plans.db") as b, pytest.raises(LogMisconfigured):
            b.send_plan_update(PLAN)
        with Broadcaster("carrier-pigeon://") as b, pytest.raises(LogMisconfigured):
            b.send_plan_update(PLAN)

    def test_the_deadline_is_that_of_the_whole_call(self, free_port: int) -> None:
        with (
            Broadcaster(f"redis://127.0.0.1:{free_port}", deadline=0.3) as b,
            pytest.raises(LogUnavailable, match=r"0\.3 s.*not sent"),
        ):
            b.send_plan_update(PLAN)

    def test_the_deadline_may_be_never(self, log_url: str) -> None:
        with Broadcaster(log_url, deadline=math.inf) as b:
            assert b.send_agent_message(PLAN, "A", "hello").offset == 1

    def test_closed_it_takes_nothing_more(self, log_url: str) -> None:
        b = Broadcaster(log_url)
        b.send_plan_update(PLAN)
        b.close()
        b.close()
        with pytest.raises(BroadcasterClosed):
            b.send_plan_update(PLAN)

    def test_closed_while_threads_send_each_of_them_gets_broadcaster_closed(self, log_url: str) -> None:
        b = Broadcaster(log_url)
        acknowledged: list[str] = []
        begun = threading.Event()

        def speak(who: int) -> None:
            for n in range(100_000):
                b.send_agent_message(PLAN, "A", f"{who}.{n}")
                acknowledged.append(f"{who}.{n}")
                begun.set()

        with ThreadPoolExecutor(4) as pool:
            speaking = [pool.submit(speak, who) for who in range(4)]
            assert begun.wait(20)
            b.close()
            assert {type(one.exception(20)) for one in speaking} == {BroadcasterClosed}
        assert set(acknowledged) <= set(contents(log_url))

    @pytest.mark.usefixtures("default")
    def test_the_default_can_be_closed_and_used_again(self, log_url: str) -> None:
        blocking.send_agent_message(PLAN, "A", "one")
        blocking.close_default()
        assert stations() == []
        assert blocking.send_agent_message(PLAN, "A", "two").offset == 2
        assert contents(log_url) == ["one", "two"]

    def test_after_reset_it_has_another_producer_name(self, log_url: str) -> None:
        """Under the old name, the log would take the new sequence numbers for repeated appends."""
        with Broadcaster(log_url, producer="mine") as b:
            b.send_agent_message(PLAN, "A", "one")
            b.reset()
            b.send_agent_message(PLAN, "A", "two")
        assert contents(log_url) == ["one", "two"]
