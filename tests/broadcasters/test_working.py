"""`working`, `signals`: who works on a plan, for how long that holds, and what people request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broadcasters import (
    Broadcaster,
    InvalidEvent,
    PlanBusy,
    PlanCancelled,
    SignalRequest,
    blocking,
)
from broadcasters.checkpointing import snapshot_of, take_checkpoint
from broadcasters.events import (
    MAX_EVENT_BYTES,
    PlanEvent,
    PlanUpdate,
    SignalName,
    StepUpdate,
    WorkerUpdate,
    build,
    parse,
)
from broadcasters.fold import fold
from broadcasters.log import log_of
from broadcasters.log.contract import Head, PlanLog
from broadcasters.signals import requested
from broadcasters.snapshot import Snapshot, WorkerStatus, empty
from broadcasters.workers import listens, lost_worker, works_now

PLAN = "plan-1"
DEADLINE_S = 60


async def snapshot(log: PlanLog) -> Snapshot:
    return (await snapshot_of(log, PLAN))[0]


async def worker(log: PlanLog) -> WorkerStatus:
    found = (await snapshot(log)).worker
    assert found is not None
    return found


async def told(log: PlanLog) -> list[PlanEvent]:
    return [event for payload in (await log.read(PLAN, 0)).payloads if (event := parse(payload)) is not None]


async def request(log: PlanLog, *names: SignalName, by: str = "maria") -> None:
    async with Broadcaster(log=log) as hub:
        for name in names:
            await hub.send(requested(PLAN, name, by))


async def states(log: PlanLog) -> list[tuple[str, str, str]]:
    """The signals and their states, as plan updates report them, with the plan's status."""
    updates = [e for e in await told(log) if isinstance(e, PlanUpdate) and e.data and "signal" in e.data]
    return [(e.data["signal"], e.data["state"], e.status) for e in updates if e.data]


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


class TestWhoWorks:
    async def test_a_worker_is_shown_until_it_leaves(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN, name="Mailer", lease=60, obeys=["cancel"]) as work:
            plan = await snapshot(log)
            found = works_now(plan)
            assert found is not None
            assert (found.worker_id, found.name, found.lease_s) == (work.worker_id, "Mailer", 60)
            assert listens(plan, "cancel")
            assert not listens(plan, "pause")
            assert (work.cancelled, work.paused, work.taken_over) == (False, False, False)
            assert plan.status == "in_progress"
        plan = await snapshot(log)
        assert (await worker(log)).state == "released"
        assert works_now(plan) is None

    async def test_a_worker_without_a_name_has_that_of_its_process(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN):
            assert ":" in (await worker(log)).name

    async def test_signs_of_life_extend_the_lease_and_change_nothing_else(self, log: PlanLog, b: Broadcaster) -> None:
        await b.send_plan_update(PLAN, title="A")
        before = await snapshot(log)
        async with b.working(PLAN, lease=0.06):
            await until_state(log, "alive")
        plan = (await snapshot(log)).model_copy(update={"offset": before.offset, "worker": None})
        assert plan == before

    async def test_a_plan_that_has_ended_has_no_worker(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN):
            await b.send_plan_update(PLAN, status="completed")
            assert works_now(await snapshot(log)) is None

    async def test_of_two_workers_the_second_is_refused(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN, name="Mailer"), Broadcaster(log=log) as other:
            with pytest.raises(PlanBusy, match=r"Mailer, since .* works on plan 'plan-1'.*take_over=True"):
                async with other.working(PLAN, name="Printer"):
                    pass
            assert (await worker(log)).name == "Mailer"
        async with b.working(PLAN, name="Printer"):
            assert (await worker(log)).name == "Printer"

    async def test_of_several_that_begin_at_once_one_works(self, log: PlanLog) -> None:
        async def work(begun: list[str], end: asyncio.Event) -> None:
            async with Broadcaster(log=log) as own, own.working(PLAN) as work:
                begun.append(work.worker_id)
                await end.wait()

        begun, end = list[str](), asyncio.Event()
        tasks = [asyncio.create_task(work(begun, end)) for _ in range(6)]
        await until(lambda: sum(task.done() for task in tasks) == 5 and begun)
        assert [(await worker(log)).worker_id] == begun
        end.set()
        failed = [type(one) for one in await asyncio.gather(*tasks, return_exceptions=True) if one is not None]
        assert failed == [PlanBusy] * 5

    @pytest.mark.parametrize(("name", "take_over"), [("Mailer", False), ("Printer", True)])
    async def test_one_that_takes_over_displaces_the_first(
        self, log: PlanLog, b: Broadcaster, name: str, take_over: bool
    ) -> None:
        async with (
            Broadcaster(log=log) as other,
            b.working(PLAN, name="Mailer", lease=0.1) as first,
            other.working(PLAN, name=name, take_over=take_over) as second,
        ):
            await until(lambda: first.taken_over)
            with pytest.raises(PlanBusy, match=f"{name} has taken over plan 'plan-1'"):
                await first.checkpoint()
            await second.checkpoint()
            await asyncio.sleep(0.05)  # signs of life of the first
            assert (await worker(log)).worker_id == second.worker_id
        assert (await worker(log)).state == "released"

    async def test_a_worker_whose_lease_has_run_out_is_followed_by_any(
        self, log: PlanLog, b: Broadcaster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        work = b.working(PLAN, name="Mailer", lease=0.05)
        monkeypatch.setattr(work, "_live", _nothing)
        async with work:
            async with asyncio.timeout(DEADLINE_S):
                while works_now(await snapshot(log)) is not None:
                    await asyncio.sleep(0.01)
            async with Broadcaster(log=log) as other, other.working(PLAN, name="Printer"):
                await until(lambda: work.taken_over)

    @pytest.mark.parametrize("wrong", [{"lease": 0}, {"lease": 86_401}, {"obeys": ["stop"]}, {"name": "x" * 257}])
    async def test_what_is_invalid_is_refused(self, b: Broadcaster, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidEvent):
            b.working(PLAN, **wrong)

    async def test_an_error_leaves_the_block_and_releases_the_plan(self, log: PlanLog, b: Broadcaster) -> None:
        with pytest.raises(ZeroDivisionError):
            async with b.working(PLAN):
                _ = 1 / 0
        assert (await worker(log)).state == "released"
        assert (await snapshot(log)).status == "in_progress"


async def _nothing() -> None:
    pass


async def until_state(log: PlanLog, state: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await worker(log)).state != state:
            await asyncio.sleep(0.01)


class TestSignals:
    async def test_they_arrive_from_now_on(self, log: PlanLog, b: Broadcaster, monkeypatch: pytest.MonkeyPatch) -> None:
        await request(log, "pause")
        begun, head = asyncio.Event(), log.head

        async def head_then_begun(plan_id: str) -> Head:
            found = await head(plan_id)
            begun.set()
            return found

        monkeypatch.setattr(log, "head", head_then_begun)
        received: list[SignalRequest] = []

        async def listen() -> None:
            async with aclosing(b.signals(PLAN)) as signals:
                async for signal in signals:
                    received.append(signal)
                    if len(received) == 2:
                        return

        listening = asyncio.create_task(listen())
        await asyncio.wait_for(begun.wait(), DEADLINE_S)
        await b.send_agent_message(PLAN, "A", "x", data={"signal": "cancel"})
        await b.send_agent_message(PLAN, "A", "x", data={"signal": "explode", "state": "requested"})
        await request(log, "resume", "cancel")
        await asyncio.wait_for(listening, DEADLINE_S)
        assert [(signal.name, signal.by, signal.offset) for signal in received] == [
            ("resume", "maria", 4),
            ("cancel", "maria", 5),
        ]

    async def test_a_cancel_is_acknowledged_and_the_plan_ends_with_the_block(
        self, log: PlanLog, b: Broadcaster
    ) -> None:
        await b.send_step_update(PLAN, "a", "completed")
        await b.send_step_update(PLAN, "b", "in_progress")
        async with b.working(PLAN) as work:
            await request(log, "cancel")
            await until(lambda: work.cancelled)
            while True:
                await work.checkpoint()
                raise AssertionError("the plan was cancelled")
        assert work.cancelled
        plan = await snapshot(log)
        assert (plan.status, plan.content) == ("cancelled", "Stopped by maria")
        assert [step.status for step in plan.steps] == ["completed", "cancelled"]
        assert await states(log) == [("cancel", "acknowledged", "in_progress"), ("cancel", "stopped", "cancelled")]

    async def test_a_plan_that_was_completed_nevertheless_stays_so(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN) as work:
            await request(log, "cancel")
            await until(lambda: work.cancelled)
            await b.send_plan_update(PLAN, status="completed")
        assert (await snapshot(log)).status == "completed"

    async def test_a_pause_holds_the_work_at_its_checkpoint(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN) as work:
            await request(log, "pause")
            await until(lambda: work.paused)
            waiting = asyncio.create_task(work.checkpoint())
            await until_plan(log, "waiting")
            assert not waiting.done()
            await request(log, "pause", "resume", "resume", by="jo")
            await asyncio.wait_for(waiting, DEADLINE_S)
            await until_plan(log, "in_progress")
        assert await states(log) == [("pause", "acknowledged", "waiting"), ("resume", "acknowledged", "in_progress")]

    async def test_an_acknowledgement_keeps_the_plans_data(self, log: PlanLog, b: Broadcaster) -> None:
        await b.send_plan_update(PLAN, data={"route": ["Rome"], "by": "the author"})
        async with b.working(PLAN) as work:
            await request(log, "pause")
            await until_plan(log, "waiting")
            paused = {"signal": "pause", "state": "acknowledged", "by": "maria"}
            assert (await snapshot(log)).data == {"route": ["Rome"], **paused}
            await b.send_plan_update(PLAN, status="waiting", data={"route": ["Rome", "Bari"]})
            await request(log, "cancel", by="jo")
            await until(lambda: work.cancelled)
        cancelled = {"signal": "cancel", "state": "acknowledged", "by": "jo"}
        assert (await snapshot(log)).data == {"route": ["Rome", "Bari"], **cancelled}

    async def test_an_acknowledgement_that_does_not_fit_beside_the_plans_data_leaves_it(
        self, log: PlanLog, b: Broadcaster
    ) -> None:
        data = {"route": "x" * (MAX_EVENT_BYTES - 200)}
        await b.send_plan_update(PLAN, data=data)
        async with b.working(PLAN):
            await request(log, "pause")
            await until_plan(log, "waiting")
        assert (await snapshot(log)).data == data

    async def test_a_paused_work_can_be_cancelled(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN) as work:
            await request(log, "pause")
            await until(lambda: work.paused)
            await request(log, "cancel")
            with pytest.raises(PlanCancelled, match="maria cancelled plan 'plan-1'"):
                await work.checkpoint()

    async def test_signals_that_it_does_not_obey_are_only_reported(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN, obeys=["cancel"]) as work, aclosing(work.signals()) as signals:
            first = asyncio.ensure_future(anext(signals))
            await asyncio.sleep(0)
            await request(log, "pause")
            assert (await asyncio.wait_for(first, DEADLINE_S)).name == "pause"
            assert not work.paused
        assert await states(log) == []

    async def test_a_cancel_ends_the_wait_for_an_answer(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN) as work:
            asked = asyncio.create_task(work.unless_cancelled(b.ask(PLAN, "Which city?", key="city")))
            await until_plan(log, "waiting")
            await request(log, "pause")
            await until(lambda: work.paused)
            await request(log, "cancel")
            with pytest.raises(PlanCancelled):
                await asyncio.wait_for(asked, DEADLINE_S)
            assert await work.unless_cancelled(_value()) == 1

    async def test_a_question_and_a_pause_wait_together(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN) as work:
            asked = asyncio.create_task(b.ask(PLAN, "Which city?", key="city"))
            await until_plan(log, "waiting")
            await request(log, "pause")
            await until(lambda: work.paused)
            await b.send_input_response(PLAN, "city", "Rome")
            assert await asyncio.wait_for(asked, DEADLINE_S) == "Rome"
            assert (await snapshot(log)).status == "waiting"
            await request(log, "resume")
            await until_plan(log, "in_progress")

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_a_worker_that_comes_back_obeys_what_was_requested_meanwhile(
        self, log: PlanLog, trimmed: bool
    ) -> None:
        async with Broadcaster(log=log) as first:
            work = await first.working(PLAN, name="Mailer").__aenter__()
            await request(log, "pause")
            await until(lambda: work.paused)
            await work._supervisor.close()  # as if it were killed
        await request(log, "resume", "cancel", by="jo")
        if trimmed:
            await take_checkpoint(log, PLAN, window=0)
        async with Broadcaster(log=log) as restarted, restarted.working(PLAN, name="Mailer") as again:
            await until(lambda: again.cancelled)
            assert not again.paused
        assert (await snapshot(log)).content == "Stopped by jo"

    async def test_one_that_begins_after_a_release_obeys_no_earlier_request(self, log: PlanLog, b: Broadcaster) -> None:
        async with b.working(PLAN):
            pass
        await request(log, "cancel")
        async with b.working(PLAN) as work:
            await request(log, "pause")
            await until(lambda: work.paused)
            assert not work.cancelled


async def _value() -> int:
    return 1


async def until_plan(log: PlanLog, status: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await snapshot(log)).status != status:
            await asyncio.sleep(0.005)


# ---- a worker that is gone

BEGAN = datetime(2026, 1, 31, 9, tzinfo=UTC)


def plan_with_worker(*steps: str, state: str = "begun", status: str = "in_progress") -> Snapshot:
    known = {"plan_id": PLAN, "timestamp": BEGAN}
    begun = {"worker_id": "w", "state": "begun", "name": "Mailer", "lease_s": 30.0, "obeys": ["cancel"]}
    events: list[Any] = [build(WorkerUpdate, {**known, **begun})]
    if state != "begun":
        events.append(build(WorkerUpdate, {**known, "worker_id": "w", "state": state}))
    events += [build(StepUpdate, {**known, "step_id": step, "status": step}) for step in steps]
    events.append(build(PlanUpdate, {**known, "status": status}))
    return fold(empty(PLAN), 1, events)


def kinds(plan: Snapshot, after_s: float) -> Sequence[tuple[str, str]]:
    events = lost_worker(plan, BEGAN + timedelta(seconds=after_s))
    return [(event.type, getattr(event, "status", getattr(event, "state", ""))) for event, _ in events]


def test_a_worker_is_lost_when_its_lease_has_run_out() -> None:
    plan = plan_with_worker("in_progress", "waiting", "completed")
    assert kinds(plan, 30) == []
    assert kinds(plan, 30.1) == [("worker_update", "lost"), ("step_update", "stalled")]


def test_a_plan_without_steps_at_work_says_so_itself() -> None:
    assert kinds(plan_with_worker("waiting", status="waiting"), 31) == [
        ("worker_update", "lost"),
        ("plan_update", "waiting"),
    ]


@pytest.mark.parametrize("plan", [{"state": "lost"}, {"state": "released"}, {"status": "completed"}])
def test_nothing_is_reported_of_one_that_is_not_expected(plan: dict[str, str]) -> None:
    assert kinds(plan_with_worker("in_progress", **plan), 31) == []


# ---- for synchronous code


def test_the_blocking_calls(log_url: str) -> None:
    async def cancel() -> None:
        log = log_of(log_url)
        await log.open()
        await until_plan(log, "in_progress")
        await request(log, "pause", "resume", "cancel")
        await log.close()

    with blocking.Broadcaster(log_url) as b, ThreadPoolExecutor(1) as pool:
        b.send_plan_update(PLAN)
        with b.working(PLAN, name="Mailer") as work:
            signals = work.signals()
            assert (work.cancelled, work.paused, work.taken_over) == (False, False, False)
            pool.submit(lambda: asyncio.run(cancel())).result(DEADLINE_S)
            assert work.unless_cancelled(lambda broadcaster: _one(broadcaster)) == 1
            assert next(signals).name in ("pause", "resume", "cancel")
            signals.close()
            while True:
                work.checkpoint()
        assert work.cancelled

        b.send_plan_update(PLAN)  # it goes on
        with b.working(PLAN), pytest.raises(PlanBusy), b.working(PLAN):
            pass
        watching = b.signals(PLAN)
        first = pool.submit(lambda: next(watching))
        while not first.done():
            asyncio.run(requested_by_another(log_url))
        assert first.result().name == "pause"
        watching.close()


async def _one(_: Broadcaster) -> int:
    return 1


async def requested_by_another(log_url: str) -> None:
    log = log_of(log_url)
    await log.open()
    await request(log, "pause")
    await log.close()
