"""Processes that fork, exit, or lose their log while they publish through `broadcasters.blocking`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from broadcasters import LogUnavailable
from broadcasters.blocking import Broadcaster
from tests.broadcasters.test_blocking import PLAN, contents
from tests.servers import RedisServer, eventually

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'plans.db'}"
    server: RedisServer = request.getfixturevalue("redis")
    server.call("FLUSHALL")
    return server.url


def run(script: str, log_url: str, **environment: str) -> list[str]:
    """Runs the script as a program and returns its output lines. It must exit by itself with 0 and an empty stderr."""
    program = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", dedent(script)]
    environment |= {"PLANCAST_LOG": log_url, "PLAN": PLAN}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def until_more(count: Callable[[], int], more: int) -> None:
    enough = count() + more
    eventually(f"{more} more", lambda: count() >= enough)


class TestExit:
    def test_a_web_server_and_a_thread_pool_publish_a_thousand_events_and_the_process_exits(self, log_url: str) -> None:
        """No thread of the server, the pool, the loop thread or the log keeps the process from exiting."""
        offsets = run(
            """
            import logging, os, threading
            from concurrent.futures import ThreadPoolExecutor
            from urllib.request import urlopen
            import flask
            from werkzeug.serving import make_server
            from broadcasters.blocking import send_agent_message

            logging.getLogger("werkzeug").disabled = True
            app = flask.Flask(__name__)

            @app.get("/publish/<n>")
            def publish(n):
                return str(send_agent_message(os.environ["PLAN"], "Web", n).offset)

            server = make_server("127.0.0.1", 0, app, threaded=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()

            def send(n):
                if n % 2:
                    return send_agent_message(os.environ["PLAN"], "Pool", str(n)).offset
                with urlopen(f"http://127.0.0.1:{server.server_port}/publish/{n}") as answer:
                    return int(answer.read())

            with ThreadPoolExecutor(16) as pool:
                print(*pool.map(send, range(1000)), sep="\\n")
            server.shutdown()
            server.server_close()
            """,
            log_url,
        )
        stored = contents(log_url)
        assert len(stored) == 1000
        assert [stored[int(offset) - 1] for offset in offsets] == [str(n) for n in range(1000)]

    def test_it_exits_while_daemon_threads_still_publish(self, log_url: str) -> None:
        (count,) = run(
            """
            import os, threading
            from contextlib import suppress
            from broadcasters import BroadcasterClosed
            from broadcasters.blocking import send_agent_message

            acknowledged = []
            enough = threading.Event()

            def send():
                with suppress(BroadcasterClosed):  # at exit
                    while True:
                        acknowledged.append(send_agent_message(os.environ["PLAN"], "A", "again"))
                        if len(acknowledged) > 20:
                            enough.set()

            for _ in range(4):
                threading.Thread(target=send, daemon=True).start()
            enough.wait()
            print(len(acknowledged))
            """,
            log_url,
        )
        assert len(contents(log_url)) >= int(count)

    def test_it_exits_without_having_published(self, log_url: str) -> None:
        assert run("import broadcasters.blocking", log_url) == []

    def test_it_exits_when_nothing_was_closed(self, log_url: str) -> None:
        run(
            """
            import os
            from broadcasters.blocking import Broadcaster
            Broadcaster(os.environ["PLANCAST_LOG"]).send_agent_message(os.environ["PLAN"], "A", "hello")
            """,
            log_url,
        )
        assert contents(log_url) == ["hello"]


class TestFork:
    def test_pool_workers_publish_while_their_parent_does(self, log_url: str) -> None:
        run(
            """
            import multiprocessing, os, threading
            from broadcasters.blocking import send_agent_message

            plan = os.environ["PLAN"]

            def work(n):
                for k in range(5):
                    send_agent_message(plan, "Worker", f"w{n}.{k}")
                return os.getpid()

            send_agent_message(plan, "Parent", "begun")
            stop = threading.Event()

            def send():
                n = 0
                while not stop.is_set():
                    send_agent_message(plan, "Parent", f"p.{n}")
                    n += 1

            sending = threading.Thread(target=send)
            sending.start()
            with multiprocessing.get_context("fork").Pool(4, maxtasksperchild=5) as pool:
                pids = pool.map(work, range(40), chunksize=1)
                pool.close()
                pool.join()
            stop.set()
            sending.join()
            assert len(set(pids)) >= 4 and os.getpid() not in pids
            send_agent_message(plan, "Parent", "ended")
            """,
            log_url,
        )
        stored = contents(log_url)
        assert (stored[0], stored[-1]) == ("begun", "ended")
        assert len(set(stored)) == len(stored)
        assert {one for one in stored if one.startswith("w")} == {f"w{n}.{k}" for n in range(40) for k in range(5)}
        for n in range(40):
            mine = [one for one in stored if one.startswith(f"w{n}.")]
            assert mine == sorted(mine)
        parents = [int(one.partition(".")[2]) for one in stored if one.startswith("p")]
        assert parents == list(range(len(parents)))

    def test_each_child_has_its_own_producer_name_even_if_the_parent_was_given_one(self, log_url: str) -> None:
        producers = run(
            """
            import os, sys
            from broadcasters.blocking import Broadcaster

            plan = os.environ["PLAN"]
            unused, used = Broadcaster(producer="unused"), Broadcaster(producer="used")
            used.send_agent_message(plan, "A", "parent")
            for n in range(3):
                if not os.fork():
                    for b in (unused, used):
                        b.send_agent_message(plan, "A", f"child {n}")
                    sys.exit()
            for n in range(3):
                assert os.wait()[1] == 0
            for b in (unused, used):
                b.send_agent_message(plan, "A", "parent again")
            """,
            log_url,
        )
        assert producers == []
        stored = contents(log_url)
        assert sorted(stored) == sorted(
            ["parent", *(f"child {n}" for n in range(3) for _ in "ab"), "parent again", "parent again"]
        )

    def test_forked_children_publish_while_the_parents_loop_does(self, log_url: str) -> None:
        """An asyncio broadcaster is not notified of a fork, which may happen in the middle of a transaction."""
        (count,) = run(
            """
            import asyncio, multiprocessing, os
            import broadcasters
            from broadcasters import blocking, send_agent_message

            plan = os.environ["PLAN"]

            def work(n):
                if n % 2:
                    blocking.send_agent_message(plan, "Child", f"c{n}")
                else:
                    asyncio.run(send_agent_message(plan, "Child", f"c{n}"))

            async def send():
                for n in range(10_000):
                    await send_agent_message("of-the-parent", "Parent", "on and on " * 200)
                    if all_ended.is_set():
                        return n + 1

            async def main():
                sending = [asyncio.create_task(send()) for _ in range(8)]
                for n in range(20):
                    children.append(multiprocessing.get_context("fork").Process(target=work, args=[n]))
                    children[-1].start()
                    await asyncio.sleep(0.02)
                await asyncio.gather(*(asyncio.to_thread(child.join, 20) for child in children))
                assert [child.exitcode for child in children] == [0] * 20
                all_ended.set()
                print(sum(await asyncio.gather(*sending)))

            all_ended, children = asyncio.Event(), []
            asyncio.run(main())
            """,
            log_url,
        )
        assert sorted(contents(log_url)) == sorted(f"c{n}" for n in range(20))
        assert len(contents(log_url, "of-the-parent")) == int(count)

    @pytest.mark.parametrize("producer", [None, "given"])
    def test_a_broadcaster_made_before_the_fork_is_a_new_one_in_each_child(
        self, log_url: str, producer: str | None
    ) -> None:
        """As with a server that loads the application and then forks its workers."""
        run(
            """
            import asyncio, os, sys
            from broadcasters import Broadcaster

            b = Broadcaster(producer=os.environ.get("PRODUCER"))

            async def send(text):
                async with b:
                    for n in range(3):
                        await b.send_agent_message(os.environ["PLAN"], "A", f"{text}.{n}")

            for n in range(3):
                if not os.fork():
                    asyncio.run(send(f"child {n}"))
                    sys.exit()
                assert os.wait()[1] == 0
            asyncio.run(send("parent"))
            """,
            log_url,
            **({"PRODUCER": producer} if producer else {}),
        )
        assert contents(log_url) == [
            f"{one}.{n}" for one in ("child 0", "child 1", "child 2", "parent") for n in range(3)
        ]

    def test_a_message_begun_before_the_fork_belongs_to_the_parent(self, log_url: str) -> None:
        run(
            """
            import os, sys
            from broadcasters import BroadcasterClosed
            from broadcasters.blocking import message

            with message(os.environ["PLAN"], "A") as m:
                m.write("one ")
                if not os.fork():
                    try:
                        m.write("the child's ")
                    except BroadcasterClosed:
                        os._exit(7)
                assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
                m.write("two")
            """,
            log_url,
        )
        assert "".join(contents(log_url)) == "one two"


class TestRedisDown:
    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        with RedisServer(appendonly="yes", appendfsync="always") as server:
            yield server

    def test_appends_are_retried_until_the_deadline_and_are_atomic(self, server: RedisServer) -> None:
        with Broadcaster(server.url, deadline=1.0) as b:
            b.send_agent_message(PLAN, "A", "before")
            server.kill()
            with pytest.raises(LogUnavailable, match=r"\b1 s\b"):
                b.send_agent_message(PLAN, "A", "meanwhile")
            assert b.statistics().retries > 0
            server.start()
            b.send_agent_message(PLAN, "A", "after")
        stored = contents(server.url)
        assert [one for one in stored if one != "meanwhile"] == ["before", "after"]
        assert stored.count("meanwhile") <= 1

    def test_with_redis_back_before_the_deadline_each_event_is_stored_once_in_order(self, server: RedisServer) -> None:
        with Broadcaster(server.url) as b, ThreadPoolExecutor(8) as pool:

            def send(number: int) -> None:
                for n in range(30):
                    b.send_agent_message(PLAN, "A", f"{number}.{n:02}")

            sending = [pool.submit(send, number) for number in range(8)]
            for _ in range(2):
                until_more(lambda: b.statistics().appended, 1)
                server.kill()
                until_more(lambda: b.statistics().retries, 3)
                server.start()
            for one in sending:
                one.result(60)
        stored = contents(server.url)
        assert sorted(stored) == [f"{number}.{n:02}" for number in range(8) for n in range(30)]
        for number in range(8):
            mine = [one for one in stored if one.startswith(f"{number}.")]
            assert mine == sorted(mine)

    def test_a_fork_while_redis_is_stopped_loses_no_event_of_the_parent(self, server: RedisServer) -> None:
        run(
            """
            import os, signal, sys, threading
            from broadcasters.blocking import send_agent_message

            plan, server = os.environ["PLAN"], int(os.environ["SERVER"])
            send_agent_message(plan, "Parent", "before")
            os.kill(server, signal.SIGSTOP)
            pending = [
                threading.Thread(target=send_agent_message, args=(plan, "Parent", f"pending {n}")) for n in range(3)
            ]
            for one in pending:
                one.start()
            child = os.fork()
            if not child:
                send_agent_message(plan, "Child", "child")
                sys.exit()
            os.kill(server, signal.SIGCONT)
            for one in pending:
                one.join()
            assert os.waitpid(child, 0)[1] == 0
            send_agent_message(plan, "Parent", "after")
            """,
            server.url,
            SERVER=server.info("server")["process_id"],
        )
        stored = contents(server.url)
        assert sorted(stored) == ["after", "before", "child", "pending 0", "pending 1", "pending 2"]
        assert (stored[0], stored[-1]) == ("before", "after")
