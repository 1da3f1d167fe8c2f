"""`ask`, `choose`, `approve`: asked once, answered once, whatever happens to the program that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from broadcasters import AnswerTrimmed, Broadcaster, Expired, InvalidEvent, LogUnavailable, asking, blocking, events
from broadcasters.checkpointing import snapshot_of, take_checkpoint
from broadcasters.events import PlanEvent, parse
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.questions import CLOCK, Answer
from broadcasters.snapshot import InputState, Snapshot

PLAN = "plan-1"
DEADLINE_S = 60


async def snapshot(log: PlanLog) -> Snapshot:
    return (await snapshot_of(log, PLAN))[0]


async def told(log: PlanLog) -> list[PlanEvent]:
    return [event for payload in (await log.read(PLAN, 0)).payloads if (event := parse(payload)) is not None]


async def statuses(log: PlanLog, step_id: str | None = None) -> list[str]:
    reported = [e for e in await told(log) if isinstance(e, events.StepUpdate | events.PlanUpdate)]
    return [event.status for event in reported if event.step_id == step_id]


async def until_open(log: PlanLog, prompt: str = "Send it?") -> InputState:
    """The open question with this prompt, as soon as the plan waits for it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            plan = await snapshot(log)
            for request in plan.inputs:
                if (request.prompt, request.answered_at, plan.status) == (prompt, None, "waiting"):
                    return request
            await asyncio.sleep(0.005)


async def answer(log: PlanLog, value: Any, prompt: str = "Send it?", by: str = "maria") -> str:
    request_id = (await until_open(log, prompt)).request_id
    async with Broadcaster(log=log) as other:
        await other.send_input_response(PLAN, request_id, value, by=by)
    return request_id


async def within(work: asyncio.Future[Any] | Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        return await work


async def test_the_answer_is_returned_and_the_plan_waits_meanwhile(log: PlanLog, b: Broadcaster) -> None:
    await b.send_step_update(PLAN, "send", "in_progress")
    asked = asyncio.create_task(b.approve(PLAN, "Send it?", key="send", step_id="send", agent_name="Mailer"))
    request = await until_open(log)
    assert (request.request_id, request.kind, request.options) == ("send", "approval", ("yes", "no"))
    assert (request.step_id, request.agent_name) == ("send", "Mailer")
    assert (await snapshot(log)).steps[0].status == "waiting"
    await answer(log, "yes")
    approval = await within(asked)
    assert approval
    assert (approval.value, approval.by) == ("yes", "maria")
    assert await statuses(log) == ["waiting", "in_progress"]
    assert await statuses(log, "send") == ["in_progress", "waiting", "in_progress"]


async def test_choices_and_open_questions_return_values(log: PlanLog, b: Broadcaster) -> None:
    for work, given, kind in (
        (b.choose(PLAN, "Send it?", [{"value": "r", "label": "Red"}, "green"], key="1"), "r", "choice"),
        (b.ask(PLAN, "Send it?", options=["now", "later"], key="2"), "later", "choice"),
        (b.ask(PLAN, "Send it?", schema={"type": "string"}, key="3"), "Rome", "clarification"),
        (b.ask(PLAN, "Send it?"), None, "clarification"),
    ):
        asked = asyncio.create_task(work)
        assert (await until_open(log)).kind == kind
        await answer(log, given)
        assert await within(asked) == given


async def test_the_same_key_gets_the_old_answer_at_once(log: PlanLog, b: Broadcaster) -> None:
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send"))
    await answer(log, "yes")
    await answer_too_late(b)
    assert await within(asked) == "yes"
    before = (await log.head(PLAN)).offset
    async with Broadcaster(log=log) as restarted:
        assert await within(restarted.ask(PLAN, "Send it?", key="send")) == "yes"
    assert (await log.head(PLAN)).offset == before


async def answer_too_late(b: Broadcaster) -> None:
    await b.send_input_response(PLAN, "send", "no", by="jo")


async def test_an_answer_that_was_given_while_nothing_ran_is_found_and_the_plan_goes_on(
    log: PlanLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LEAVE_S", 0)  # as if it were killed
    async with Broadcaster(log=log) as first:
        asked = asyncio.create_task(first.ask(PLAN, "Send it?", key="send"))
        await until_open(log)
        asked.cancel()
        await asyncio.wait([asked])
    await answer(log, "yes")
    async with Broadcaster(log=log) as restarted:
        assert await within(restarted.ask(PLAN, "Send it?", key="send")) == "yes"
    assert await statuses(log) == ["waiting", "in_progress"]


async def test_an_answer_is_found_in_the_checkpoint_of_a_trimmed_log(log: PlanLog, b: Broadcaster) -> None:
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send"))
    await answer(log, {"yes": 1})
    await within(asked)
    await take_checkpoint(log, PLAN, window=0)
    async with Broadcaster(log=log) as restarted:
        assert await within(restarted.ask(PLAN, "Send it?", key="send")) == {"yes": 1}


async def test_an_answer_that_no_snapshot_has_any_more_is_an_error(log: PlanLog, b: Broadcaster) -> None:
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send"))
    await answer(log, "yes")
    await within(asked)
    for number in range(5):  # an answered request is left out of a snapshot that is too large
        await b.send_artifact(PLAN, f"a-{number}", "a", "text/plain", data="x" * 200_000)
    await take_checkpoint(log, PLAN, window=0)
    assert (await snapshot(log)).inputs == ()
    with pytest.raises(AnswerTrimmed, match="another key"):
        await within(b.ask(PLAN, "Send it?", key="send"))
    assert (await snapshot(log)).status == "in_progress"


async def test_without_a_key_an_open_question_is_joined_and_an_answered_one_asked_again(
    log: PlanLog, b: Broadcaster
) -> None:
    asked = asyncio.create_task(b.ask(PLAN, "Send it?"))
    first = (await until_open(log)).request_id
    async with Broadcaster(log=log) as restarted:
        joined = asyncio.create_task(restarted.ask(PLAN, "Send it?"))
        assert await answer(log, "yes") == first
        assert [await within(asked), await within(joined)] == ["yes", "yes"]
        again = asyncio.create_task(restarted.ask(PLAN, "Send it?"))
        assert await answer(log, "no") != first
        assert await within(again) == "no"


async def test_two_questions_at_once_wait_until_both_are_answered(log: PlanLog, b: Broadcaster) -> None:
    ask = [b.ask(PLAN, "Send it?", step_id="a"), b.ask(PLAN, "Send it?", step_id="a"), b.ask(PLAN, "Who?")]
    both = asyncio.gather(*ask)
    await answer(log, "Ada", "Who?")
    for value in (1, 2):
        assert (await snapshot(log)).status == "waiting"
        await answer(log, value)
    assert sorted((await within(both))[:2]) == [1, 2]
    assert await statuses(log) == ["waiting", "in_progress"]
    assert await statuses(log, "a") == ["waiting", "in_progress"]


async def test_a_question_that_expires_is_answered_by_the_clock(log: PlanLog, b: Broadcaster) -> None:
    answered = await within(b.approve(PLAN, "Send it?", key="send", expires_in=timedelta(0), default="no"))
    assert (bool(answered), answered.value, answered.by) == (False, "no", CLOCK)
    with pytest.raises(Expired, match="No answer in time: Send it"):
        await within(b.ask(PLAN, "Send it?", key="send", expires_in=60))
    responses = [e for e in await told(log) if isinstance(e, events.InputResponse)]
    assert [(e.request_id, e.answer, e.by) for e in responses] == [("send", None, CLOCK)]
    assert (await snapshot(log)).status == "in_progress"


async def test_the_time_counts_from_when_it_was_first_asked(log: PlanLog, b: Broadcaster) -> None:
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send", expires_in=3600))
    expires_at = (await until_open(log)).expires_at
    async with Broadcaster(log=log) as restarted:
        again = asyncio.create_task(restarted.ask(PLAN, "Send it?", key="send", expires_in=7200))
        await asyncio.sleep(0.02)
        assert [request.expires_at for request in (await snapshot(log)).inputs] == [expires_at]
        await answer(log, "yes")
        assert [await within(asked), await within(again)] == ["yes", "yes"]


async def test_who_stops_waiting_leaves_the_question_open_and_the_plan_in_progress(
    log: PlanLog, b: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LEAVE_S", DEADLINE_S)
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send"))
    await until_open(log)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    plan = await snapshot(log)
    assert (plan.status, plan.inputs[0].answered_at) == ("in_progress", None)


async def test_a_plan_that_ends_meanwhile_stays_ended(log: PlanLog, b: Broadcaster) -> None:
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send"))
    await until_open(log)
    await b.send_step_update(PLAN, "s", "completed")
    await b.send_plan_update(PLAN, status="cancelled")
    await b.send_input_response(PLAN, "send", "yes")
    assert await within(asked) == "yes"
    assert await statuses(log) == ["waiting", "cancelled"]
    await within(b.ask(PLAN, "Send it?", key="send", step_id="s"))
    assert await statuses(log, "s") == ["completed"]


async def test_a_step_that_has_ended_does_not_begin_again(log: PlanLog, b: Broadcaster) -> None:
    await b.send_step_update(PLAN, "s", "completed")
    asked = asyncio.create_task(b.ask(PLAN, "Send it?", key="send", step_id="s"))
    await answer(log, "yes")
    await within(asked)
    assert await statuses(log, "s") == ["completed"]


async def test_what_is_invalid_is_refused_before_anything_is_sent(log: PlanLog, b: Broadcaster) -> None:
    wrong: list[dict[str, Any]] = [{"key": ""}, {"key": "x" * 201}, {"key": "a\n"}, {"step_id": "x" * 257}]
    wrong.append({"options": [object()]})
    for given in wrong:
        with pytest.raises(InvalidEvent):
            await b.ask(PLAN, "Send it?", **given)
    with pytest.raises(InvalidEvent, match="plan_id"):
        await b.ask("a b", "Send it?")
    assert (await log.head(PLAN)).offset == 0


async def test_a_log_that_stays_unavailable_is_an_error(log: PlanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise LogUnavailable("out of reach")

    monkeypatch.setattr(log, "checkpoint", away)
    async with Broadcaster(log=log, deadline=0.05) as b:
        with pytest.raises(LogUnavailable, match="out of reach"):
            await b.ask(PLAN, "Send it?")


class CutLog:
    """Kills its program at the n-th append: before it, or when it is stored but not answered."""

    def __init__(self, log: PlanLog, cut: int, *, stored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dead = asyncio.Event()
        self._append = log.append
        self._left = cut
        self._stored = stored
        monkeypatch.setattr(log, "append", self.append)

    async def append(self, *given: Any) -> Any:
        self._left -= 1
        if self._left > 0:
            return await self._append(*given)
        if self._left == 0 and self._stored:
            await self._append(*given)
        self.dead.set()
        return await asyncio.get_running_loop().create_future()


async def agent(b: Broadcaster) -> None:
    await b.send_step_update(PLAN, "send", "in_progress", key="begin")
    approval = await b.approve(PLAN, "Send it?", key="send", step_id="send")
    await b.send_agent_message(PLAN, "Mailer", f"{approval.value} by {approval.by}", key="sent")


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
async def test_a_program_that_is_killed_at_any_append_asks_once_and_is_answered_once(
    log_url: str, log: PlanLog, cut: int, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LEAVE_S", 0)
    answering = asyncio.create_task(answer(log, "yes"))
    own = log_of(log_url)
    await own.open()
    cut_log = CutLog(own, cut, stored=stored, monkeypatch=monkeypatch)
    b = Broadcaster(log=own, deadline=0.01)
    killed = asyncio.create_task(agent(b))
    dies = asyncio.create_task(cut_log.dead.wait())
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait({killed, dies}, return_when=asyncio.FIRST_COMPLETED)
    killed.cancel()
    dies.cancel()
    await asyncio.wait({killed, dies})
    await b.close()
    await own.close()
    async with Broadcaster(log=log) as restarted:
        await within(agent(restarted))
    await within(answering)
    kinds = [type(event).__name__ for event in await told(log)]
    assert (kinds.count("InputRequest"), kinds.count("InputResponse")) == (1, 1)
    plan = await snapshot(log)
    assert [message.content for message in plan.messages] == ["yes by maria"]
    assert (plan.status, plan.steps[0].status) == ("in_progress", "in_progress")


# ---- for synchronous code


async def answer_each(log_url: str, values: Sequence[Any]) -> None:
    log = log_of(log_url)
    await log.open()
    for value in values:
        await answer(log, value)
    await log.close()


def test_the_blocking_calls_wait_beyond_the_deadline(log_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with blocking.Broadcaster(log_url) as b, ThreadPoolExecutor(1) as pool:
        b.send_plan_update(PLAN)
        answering = pool.submit(lambda: asyncio.run(answer_each(log_url, ["Rome", "r", "yes", None])))
        with monkeypatch.context() as impatient:
            impatient.setattr(b, "_patience", 0.0)
            assert b.ask(PLAN, "Send it?", key="1") == "Rome"
            assert b.choose(PLAN, "Send it?", ["r", "g"], key="2") == "r"
            assert b.approve(PLAN, "Send it?", key="3").by == "maria"
            assert b.await_input(PLAN, "clarification", "Send it?", key="4").value is None
            with pytest.raises(Expired):
                b.ask(PLAN, "Send it?", expires_in=0)
        answering.result(DEADLINE_S)


def test_the_log_is_let_go_for_a_fork_while_a_question_waits(log_url: str) -> None:
    """A thread waits for an answer for days; until a fork is over, its connection is closed."""
    with blocking.Broadcaster(log_url) as b:
        b.send_plan_update(PLAN)
        answers: list[Answer] = []
        thread = Thread(target=lambda: answers.append(b.approve(PLAN, "Send it?", key="1")))
        thread.start()
        asyncio.run(_open(log_url))
        held = b.wait_for(lambda broadcaster: broadcaster.hold())
        assert held is None  # `hold` waits until nothing uses the log
        b.wait_for(_resume)
        asyncio.run(answer_each(log_url, ["yes"]))
        thread.join(DEADLINE_S)
        assert [answer.value for answer in answers] == ["yes"]


async def _open(log_url: str) -> None:
    log = log_of(log_url)
    await log.open()
    await until_open(log)
    await log.close()


async def _resume(broadcaster: Broadcaster) -> None:
    broadcaster.resume()
