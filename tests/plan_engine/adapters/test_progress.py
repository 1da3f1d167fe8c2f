"""`progress_callback(stage, data)`, called by synchronous code from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from broadcasters.blocking import Broadcaster as BlockingBroadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.log import log_of
from broadcasters.signals import requested
from broadcasters.snapshot import Snapshot
from plan_engine.adapters.progress import progress_callback
from tests.plan_engine.adapters.person import steps_of, words_of

STAGES = {"intent_parsed": "Understand the question", "insight_generated": "Find the insight"}


def seen(log_url: str, plan_id: str) -> Snapshot:
    async def look() -> Snapshot:
        log = log_of(log_url)
        await log.open()
        try:
            return (await snapshot_of(log, plan_id))[0]
        finally:
            await log.close()

    return asyncio.run(look())


def process_query(progress_callback: Any = None) -> dict[str, Any]:
    """A user's synchronous agent."""
    if progress_callback:
        progress_callback("intent_parsed", {"intent": "PARTICULAR", "confidence": 0.9})
    if progress_callback:
        progress_callback("insight_generated", {"text": "Umbrellas sell on Mondays."})
    return {"insight": "umbrellas"}


def test_stages_become_steps_while_it_runs_in_a_thread(log_url: str) -> None:
    def work() -> None:
        with progress_callback("insight-1", title="A question", stages=STAGES, broadcaster=broadcaster) as report:
            report.result = process_query(progress_callback=report)

    with BlockingBroadcaster(log_url) as broadcaster:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
    plan = seen(log_url, "insight-1")
    assert (plan.status, plan.title, plan.result) == ("completed", "A question", {"result": {"insight": "umbrellas"}})
    assert steps_of(plan) == [("Understand the question", "completed"), ("Find the insight", "completed")]
    assert plan.steps[0].data == {"intent": "PARTICULAR", "confidence": 0.9}
    assert all(step.started_at for step in plan.steps)
    assert words_of(plan) == [("Agent", "result", "Umbrellas sell on Mondays.")]


def test_the_current_stage_is_shown(log_url: str) -> None:
    with (
        BlockingBroadcaster(log_url) as broadcaster,
        progress_callback("insight-2", stages=STAGES, broadcaster=broadcaster) as report,
    ):
        assert [step.status for step in seen(log_url, "insight-2").steps] == ["in_progress", "pending"]
        report("intent_parsed", {"progress": 30, "text": "Reading"})
        half = seen(log_url, "insight-2").steps[0]
        assert (half.status, half.progress, half.content) == ("in_progress", 30, "Reading")
        report("intent_parsed")
        assert [step.status for step in seen(log_url, "insight-2").steps] == ["completed", "in_progress"]
    assert [step.status for step in seen(log_url, "insight-2").steps] == ["completed", "skipped"]


def test_unnamed_stages_are_shown_as_they_come(monkeypatch: pytest.MonkeyPatch, log_url: str) -> None:
    monkeypatch.setenv("PLANCAST_LOG", log_url)
    with progress_callback("insight-3") as report:
        process_query(report)
    assert steps_of(seen(log_url, "insight-3")) == [("Intent parsed", "completed"), ("Insight generated", "completed")]


@pytest.mark.parametrize(
    ("error", "status", "content", "step"),
    [
        (ValueError("no such table"), "error", "ValueError: no such table", "error"),
        (KeyboardInterrupt(), "cancelled", "Cancelled.", "cancelled"),
    ],
)
def test_an_exception_that_leaves_the_block_ends_the_plan(
    log_url: str, error: BaseException, status: str, content: str, step: str
) -> None:
    with (
        pytest.raises(type(error)),
        BlockingBroadcaster(log_url) as broadcaster,
        progress_callback("insight-4", stages=STAGES, broadcaster=broadcaster),
    ):
        raise error
    plan = seen(log_url, "insight-4")
    assert (plan.status, plan.content) == (status, content)
    assert [one.status for one in plan.steps] == [step, "skipped"]


def test_many_threads_may_report_to_one_plan(log_url: str) -> None:
    with (
        BlockingBroadcaster(log_url) as broadcaster,
        progress_callback("insight-5", broadcaster=broadcaster) as report,
    ):
        threads = [threading.Thread(target=report, args=(f"part_{i}", {"n": i})) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    plan = seen(log_url, "insight-5")
    assert sorted(steps_of(plan)) == sorted((f"Part {i}", "completed") for i in range(8))


def test_a_person_pauses_resumes_and_cancels(log_url: str) -> None:
    with (
        BlockingBroadcaster(log_url) as broadcaster,
        ThreadPoolExecutor(1) as pool,
        progress_callback("insight-6", stages=STAGES, broadcaster=broadcaster) as report,
    ):
        broadcaster.send(requested("insight-6", "pause", "maria"))
        report_until_paused(log_url, lambda: pool.submit(report, "intent_parsed", {"progress": 10}))
        broadcaster.send(requested("insight-6", "resume", "maria"))
        pool.submit(report, "intent_parsed").result(60)
        broadcaster.send(requested("insight-6", "cancel", "maria"))
        for _ in count():
            report("insight_generated", {"progress": 10})
    assert report.cancelled
    plan = seen(log_url, "insight-6")
    assert (plan.status, plan.content) == ("cancelled", "Stopped by maria")
    assert [step.status for step in plan.steps] == ["completed", "cancelled"]
    assert plan.worker is not None
    assert (plan.worker.name, plan.worker.state) == ("Agent", "released")


def report_until_paused(log_url: str, call: Callable[[], Future[None]]) -> None:
    """Call until the plan is shown as waiting while a call has not returned."""
    while True:
        reported = call()
        while not reported.done():
            if seen(log_url, "insight-6").status == "waiting":
                return
